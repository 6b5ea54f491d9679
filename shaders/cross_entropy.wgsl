// Cross-entropy per image: log Σ exp(logits) − logit of the label.
// Reads logits [rows, columns] and labels [rows] (class indices as numbers); writes y [rows].
// Dispatch: one invocation per row, 64 per workgroup. Longest loop: twice columns.
// needs: grid, rows_params

@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> labels: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = flat_index(group, local);
    if row >= params.rows {
        return;
    }
    let first = row * params.columns;
    let end = first + params.columns;
    var largest = logits[first];
    for (var i = first + 1u; i < end; i++) {
        largest = max(largest, logits[i]);
    }
    var sum = 0.0;
    for (var i = first; i < end; i++) {
        sum += exp(logits[i] - largest);
    }
    y[row] = log(sum) - (logits[first + u32(labels[row])] - largest);
}
