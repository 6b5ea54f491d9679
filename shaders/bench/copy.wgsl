// Measures bandwidth: reads and writes one vec4 per invocation.
// Reads from [any]; writes to [the same]. Dispatch: 64 vec4s per workgroup. No loop.

@group(0) @binding(0) var<storage, read_write> from_values: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> to_values: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    to_values[id.x] = from_values[id.x];
}
