// Row-wise softmax, shifted by the row's largest value.
// Reads x [rows, columns]; writes y [rows, columns].
// Dispatch: one invocation per row, 64 per workgroup. Longest loop: three times columns.
// needs: grid, rows_params

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = flat_index(group, local);
    if row >= params.rows {
        return;
    }
    let first = row * params.columns;
    let end = first + params.columns;
    var largest = x[first];
    for (var i = first + 1u; i < end; i++) {
        largest = max(largest, x[i]);
    }
    var sum = 0.0;
    for (var i = first; i < end; i++) {
        sum += exp(x[i] - largest);
    }
    for (var i = first; i < end; i++) {
        y[i] = exp(x[i] - largest) / sum;
    }
}
