// The gradient of the cross-entropy by the logits: scale · (softmax(logits) − one-hot(label)).
// Reads logits [rows, columns], labels [rows], scale [rows]; writes y [rows, columns].
// Dispatch: one invocation per row, 64 per workgroup. Longest loop: three times columns.
// needs: grid, rows_params

@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> labels: array<f32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = flat_index(group, local);
    if row >= params.rows {
        return;
    }
    let first = row * params.columns;
    let end = first + params.columns;
    let label = first + u32(labels[row]);
    let weight = scale[row];
    var largest = logits[first];
    for (var i = first + 1u; i < end; i++) {
        largest = max(largest, logits[i]);
    }
    // The label's own term is −Σ of the others: no cancellation when the classifier is sure.
    var others = 0.0;
    for (var i = first; i < end; i++) {
        others += select(exp(logits[i] - largest), 0.0, i == label);
    }
    let sum = others + exp(logits[label] - largest);
    for (var i = first; i < end; i++) {
        let value = select(exp(logits[i] - largest), -others, i == label);
        y[i] = weight * (value / sum);
    }
}
