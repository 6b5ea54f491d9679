// Sums over the rows of a matrix in `splits` parts: part s adds rows s·rows_per_split onwards, every fourth in one sum.
// A second call over the parts finishes the sum, so the order of addition is fixed.
// Reads x [rows, columns]; writes y [splits, columns].
// Dispatch: one invocation per column and part, 64 per workgroup.
// Longest loop: rows_per_split.
// needs: grid, sum_rows_params

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if (i >= params.columns * params.splits) {
        return;
    }
    var part = 0u;
    if (params.splits > 1u) {
        part = i / params.columns;
    }
    let first = part * params.rows_per_split;
    let last = min(first + params.rows_per_split, params.rows);
    let columns = params.columns;
    var at = first * columns + i - part * columns;
    // Four rows at a time: loads that do not wait for each other.
    var sums = vec4<f32>();
    var row = first;
    for (; row + 4u <= last; row += 4u) {
        sums += vec4<f32>(x[at], x[at + columns], x[at + 2u * columns], x[at + 3u * columns]);
        at += 4u * columns;
    }
    for (; row < last; row++) {
        sums.x += x[at];
        at += columns;
    }
    y[i] = (sums.x + sums.y) + (sums.z + sums.w);
}
