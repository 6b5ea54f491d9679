// copy_columns, form any.few_columns: as shaders/copy_columns.wgsl, for at most four columns and a source with as many rows.
//
// Reads     x [rows, from_columns].
// Writes    columns to_start.. of y [rows, to_columns], leaves the rest; at most four columns.
// Dispatch  one invocation per row, 64 per workgroup.
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, copy_columns_params
//
// Why this shape: the portable form finds row and column of every value and tests every one in a loop, which on a software
// adapter costs several times what the fetch and the store do. Here columns beyond the last one are that one once more.

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // Invocations beyond the last row copy it again.
    let row = min(flat_index(group, local), params.rows - 1u);
    let source = row * params.from_columns + params.from_start;
    let destination = row * params.to_columns + params.to_start;
    let columns = min(vec3<u32>(1u, 2u, 3u), vec3<u32>(params.columns - 1u));
    y[destination] = x[source];
    y[destination + columns.x] = x[source + columns.x];
    y[destination + columns.y] = x[source + columns.y];
    y[destination + columns.z] = x[source + columns.z];
}
