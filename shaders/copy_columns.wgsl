// Copies a block of columns: one part of a concatenation, or a slice. A source row may serve several
// destination rows (a label repeated over the positions of its image).
// Reads x [rows / spread, from_columns]; writes columns to_start.. of y [rows, to_columns], leaves the rest.
// Dispatch: one invocation per copied value, 64 per workgroup. No loop.

struct CopyColumnsParams {
    rows: u32,
    columns: u32,
    from_columns: u32,
    from_start: u32,
    to_columns: u32,
    to_start: u32,
    spread: u32,
}

@group(0) @binding(0) var<uniform> params: CopyColumnsParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if i >= params.rows * params.columns {
        return;
    }
    let row = i / params.columns;
    let column = i - row * params.columns;
    let source = (row / params.spread) * params.from_columns + params.from_start + column;
    y[row * params.to_columns + params.to_start + column] = x[source];
}
