// Sums over the rows of a matrix in `splits` parts: part s adds rows s·rows_per_split onwards, in order.
// A second call over the parts finishes the sum, so the order of addition is fixed.
// Reads x [rows, columns]; writes y [splits, columns].
// Dispatch: 64 invocations per workgroup, each of which takes VALUES sums of at most SHORT rows or one longer sum.
// Longest loop: rows_per_split.

struct SumRowsParams {
    rows: u32,
    columns: u32,
    splits: u32,
    rows_per_split: u32,
}

@group(0) @binding(0) var<uniform> params: SumRowsParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Sums of so many rows are short.
const SHORT: u32 = 64u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let values = select(1u, VALUES, params.rows_per_split <= SHORT);
    let begin = (group.y * GRID_WIDTH + group.x) * GROUP * values + local;
    let end = min(begin + GROUP * values, params.columns * params.splits);
    for (var i = begin; i < end; i += GROUP) {
        var part = 0u;
        if params.splits > 1u {
            part = i / params.columns;
        }
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
}
