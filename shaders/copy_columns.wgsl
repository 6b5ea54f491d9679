// Copies a block of columns: one part of a concatenation, or a slice. A source row may serve several
// destination rows (a label repeated over the positions of its image).
// Reads x [rows / spread, from_columns]; writes columns to_start.. of y [rows, to_columns], leaves the rest.
// Dispatch: a workgroup of 8 x 8 per ROWS rows, in x and y; lanes run along the columns.
// Longest loop: ROWS / 8 times columns / 8.

struct CopyColumnsParams {
    rows: u32,
    columns: u32,
    from_columns: u32,
    from_start: u32,
    to_columns: u32,
    to_start: u32,
    spread: u32,
}

// Rows of a workgroup.
const ROWS: u32 = 32u;

@group(0) @binding(0) var<uniform> params: CopyColumnsParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first = (group.y * GRID_WIDTH + group.x) * ROWS;
    let end = min(first + ROWS, params.rows);
    for (var row = first + local.y; row < end; row += 8u) {
        var source_row = row;
        if params.spread > 1u {
            source_row = row / params.spread;
        }
        let source = source_row * params.from_columns + params.from_start;
        let destination = row * params.to_columns + params.to_start;
        for (var column = local.x; column < params.columns; column += 8u) {
            y[destination + column] = x[source + column];
        }
    }
}
