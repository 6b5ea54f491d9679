// Sums over the rows of a matrix in `splits` parts: part s adds rows s·rows_per_split onwards, in order.
// A second call over the parts finishes the sum, so the order of addition is fixed.
// Reads x [rows, columns]; writes y [splits, columns].
// Dispatch: one invocation per column and part, 64 per workgroup. Longest loop: rows_per_split.

struct SumRowsParams {
    rows: u32,
    columns: u32,
    splits: u32,
    rows_per_split: u32,
}

@group(0) @binding(0) var<uniform> params: SumRowsParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if i >= params.columns * params.splits {
        return;
    }
    let part = i / params.columns;
    let column = i - part * params.columns;
    let first = part * params.rows_per_split;
    let last = min(first + params.rows_per_split, params.rows);
    var sum = 0.0;
    var at = first * params.columns + column;
    for (var row = first; row < last; row++) {
        sum += x[at];
        at += params.columns;
    }
    y[i] = sum;
}
