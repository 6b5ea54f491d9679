// One Adam step over all parameters of a network, and the moving average of the result, in place:
// m = β1 m + (1 − β1) g;  v = β2 v + (1 − β2) g²;  p −= step · m / (√v + ε);  average += (1 − decay)(p − average).
// Reads gradient [count] and schedule [step size, average's decay]; updates parameters, momentum, variance
// and, if AVERAGE = 1, average [count]. The host folds the bias correction into the step size: lr · √(1 − β2^t) / (1 − β1^t).
// Dispatch: one invocation per VALUES parameters, 64 per workgroup. Longest loop: VALUES.
// needs: grid, adam_params

@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> schedule: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(4) var<storage, read_write> momentum: array<f32>;
@group(0) @binding(5) var<storage, read_write> variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> average: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = first_value(group, local);
    let end = min(first + VALUES * GROUP, params.count);
    let step = schedule[0];
    let share = 1.0 - schedule[1];
    for (var i = first; i < end; i += GROUP) {
        let g = gradient[i];
        let m = params.beta1 * momentum[i] + (1.0 - params.beta1) * g;
        let v = params.beta2 * variance[i] + (1.0 - params.beta2) * g * g;
        let p = parameters[i] - step * m / (sqrt(v) + params.epsilon);
        momentum[i] = m;
        variance[i] = v;
        parameters[i] = p;
        if (AVERAGE == 1u) {
            average[i] = average[i] + share * (p - average[i]);
        }
    }
}
