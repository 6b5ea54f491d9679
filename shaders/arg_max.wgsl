// The column of each row's largest value, the first one of equals, as a number.
// Reads x [rows, columns]; writes y [rows].
// Dispatch: one invocation per row, 64 per workgroup. Longest loop: columns.
// needs: grid, rows_params

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = flat_index(group, local);
    if row >= params.rows {
        return;
    }
    let first = row * params.columns;
    var best = 0u;
    var largest = x[first];
    for (var column = 1u; column < params.columns; column++) {
        let value = x[first + column];
        if value > largest {
            largest = value;
            best = column;
        }
    }
    y[row] = f32(best);
}
