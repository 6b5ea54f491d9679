// 1 at each label, 0 elsewhere.
// Reads labels [rows] (class indices as numbers); writes y [rows, columns].
// Dispatch: one invocation per value, 64 per workgroup. No loop.
// needs: grid, rows_params

@group(0) @binding(1) var<storage, read_write> labels: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if i >= params.rows * params.columns {
        return;
    }
    let row = i / params.columns;
    y[i] = select(0.0, 1.0, u32(labels[row]) == i - row * params.columns);
}
