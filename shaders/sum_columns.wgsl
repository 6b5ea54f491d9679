// The sum of each row of a matrix, for instance a squared norm per image.
// Reads x [rows, columns]; writes y [rows].
// Dispatch: one workgroup of 64 per row; each invocation adds every 64th value, then a tree in workgroup
// memory adds the 64 sums. Longest loop: columns / 64.
// needs: grid, rows_params

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.y * GRID_WIDTH + group.x;
    var sum = 0.0;
    if row < params.rows {
        let end = (row + 1u) * params.columns;
        for (var i = row * params.columns + local; i < end; i += 64u) {
            sum += x[i];
        }
    }
    partial[local] = sum;
    for (var half = 32u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local < half {
            partial[local] += partial[local + half];
        }
    }
    if local == 0u && row < params.rows {
        y[row] = partial[0];
    }
}
