// Copies a block of columns: one part of a concatenation, or a slice. A source row may serve several
// destination rows (a label repeated over the positions of its image).
// Reads x [rows / spread, from_columns]; writes columns to_start.. of y [rows, to_columns], leaves the rest.
// Dispatch: x over columns, y over rows (8 x 8 per workgroup), z over blocks of ROWS_IN_Y rows. No loop.

struct CopyColumnsParams {
    rows: u32,
    columns: u32,
    from_columns: u32,
    from_start: u32,
    to_columns: u32,
    to_start: u32,
    spread: u32,
}

const ROWS_IN_Y: u32 = 262144u;

@group(0) @binding(0) var<uniform> params: CopyColumnsParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let column = id.x;
    let row = id.z * ROWS_IN_Y + id.y;
    if column >= params.columns || row >= params.rows {
        return;
    }
    var source_row = row;
    if params.spread > 1u {
        source_row = row / params.spread;
    }
    let source = source_row * params.from_columns + params.from_start + column;
    y[row * params.to_columns + params.to_start + column] = x[source];
}
