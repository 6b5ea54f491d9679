// gather_rows, form lavapipe.eights: as shaders/gather_rows.wgsl, for rows of whole blocks of eight values. It asks for
// subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     x [any, columns], indices [rows] (as numbers) and beside [rows, columns], or nothing there (EPILOGUE = NOTHING).
// Writes    y [rows, columns]; columns is a multiple of 8.
// Dispatch  one invocation per eight values, 64 per workgroup.
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, gather_rows_params, epilogue, lavapipe/eights

@group(0) @binding(1) var<storage, read_write> x: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> indices: array<f32>;
@group(0) @binding(3) var<storage, read_write> beside: array<vec4<u64>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<u64>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let pitch = params.columns / 8u;
    // Invocations beyond the last block compute it again.
    let i = min(flat_index(group, local), params.rows * pitch - 1u);
    let row = small_divide(i, pitch);
    let words = x[u32(indices[row]) * pitch + i - row * pitch];
    if (EPILOGUE == NOTHING) {
        y[i] = words;
        return;
    }
    let chosen = unpack(words);
    let others = unpack(beside[i]);
    y[i] = pack(Eight(finish(chosen.low, others.low), finish(chosen.high, others.high)));
}
