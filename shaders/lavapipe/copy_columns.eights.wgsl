// copy_columns, form lavapipe.eights: as shaders/copy_columns.wgsl, for blocks of eight columns and a source with as many
// rows. It asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     x [rows, from_columns].
// Writes    columns to_start.. of y [rows, to_columns], leaves the rest; all columns and starts are multiples of 8.
// Dispatch  one invocation per eight values copied, 64 per workgroup.
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, copy_columns_params

@group(0) @binding(1) var<storage, read_write> x: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u64>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let pitch = params.columns / 8u;
    // Invocations beyond the last block copy it again.
    let i = min(flat_index(group, local), params.rows * pitch - 1u);
    let row = small_divide(i, pitch);
    let block = i - row * pitch;
    y[(row * params.to_columns + params.to_start) / 8u + block] = x[(row * params.from_columns + params.from_start) / 8u + block];
}
