// Copies a block of columns: one part of a concatenation, or a slice. A source row may serve several
// destination rows (a label repeated over the positions of its image).
// Reads x [rows / spread, from_columns]; writes columns to_start.. of y [rows, to_columns], leaves the rest.
// Dispatch: a workgroup of 8 x 8 per ROWS rows, in x and y; lanes run along the columns. With fewer than
// eight columns they run through the rows one after the other. Longest loop: ROWS / 8 times columns / 8.
// needs: grid, copy_columns_params

// Rows of a workgroup.
const ROWS: u32 = 32u;

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Where a row's block begins in x.
fn source_of(row: u32) -> u32 {
    var source_row = row;
    if params.spread > 1u {
        source_row = row / params.spread;
    }
    return source_row * params.from_columns + params.from_start;
}

// Where it begins in y.
fn destination_of(row: u32) -> u32 {
    return row * params.to_columns + params.to_start;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first = (group.y * GRID_WIDTH + group.x) * ROWS;
    let end = min(first + ROWS, params.rows);
    if params.columns < 8u {
        for (var i = 8u * local.y + local.x; i < (end - min(first, end)) * params.columns; i += 64u) {
            let row = small_divide(i, params.columns);
            let column = i - row * params.columns;
            y[destination_of(first + row) + column] = x[source_of(first + row) + column];
        }
        return;
    }
    for (var row = first + local.y; row < end; row += 8u) {
        let source = source_of(row);
        let destination = destination_of(row);
        for (var column = local.x; column < params.columns; column += 8u) {
            y[destination + column] = x[source + column];
        }
    }
}
