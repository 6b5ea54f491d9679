// copy_columns, form gpu.per_value: as shaders/copy_columns.wgsl, for GPUs, where a value is a small piece of work.
//
// Reads     x [rows / spread, from_columns].
// Writes    columns to_start.. of y [rows, to_columns], leaves the rest.
// Dispatch  one invocation per value copied, 64 per workgroup, in x and y.
// Longest loop  none.
// needs: grid, copy_columns_params

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if (i >= params.rows * params.columns) {
        return;
    }
    let row = i / params.columns;
    let column = i - row * params.columns;
    let from_row = row / params.spread;
    y[row * params.to_columns + params.to_start + column] = x[from_row * params.from_columns + params.from_start + column];
}
