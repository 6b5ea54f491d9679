// Row i of the result is row indices[i] of x: how finished images leave an attack's batch.
// Reads x [any, columns] and indices [rows] (as numbers); writes y [rows, columns].
// Dispatch: one invocation per value, 64 per workgroup. No loop.

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if i >= params.rows * params.columns {
        return;
    }
    let row = i / params.columns;
    y[i] = x[u32(indices[row]) * params.columns + i - row * params.columns];
}
