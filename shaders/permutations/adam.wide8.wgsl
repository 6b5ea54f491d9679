// adam for adapters whose subgroups are exactly eight invocations wide and that have 64-bit integers (the software
// adapter lavapipe). The contract is that of adam.wgsl: one step over all parameters and their moving average, in place.
//
// Reads     gradient [count] and schedule [step size, average's decay]; count is a multiple of 8.
// Updates   (writes) parameters, momentum, variance, average [count], every element once.
// Dispatch  one invocation per eight parameters, 64 per workgroup.
// Longest loop  none: outside loops a fetch has no mask to test.
//
// Why this shape: wide fetches cost a fraction of single ones. What is updated is seen as vectors of four values, since
// making 64-bit integers of results costs more than fetching them saves. Invocations beyond the last parameters fetch
// them again instead of ending, which would mask the fetches of the others.

struct AdamParams {
    count: u32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: AdamParams;
@group(0) @binding(1) var<storage, read_write> gradient: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> schedule: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> momentum: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> variance: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> average: array<vec4<f32>>;

// Four parameters and what belongs to them.
struct Four {
    parameters: vec4<f32>,
    momentum: vec4<f32>,
    variance: vec4<f32>,
    average: vec4<f32>,
}

fn step(at: u32, g: vec4<f32>, size: f32, share: f32) -> Four {
    let m = params.beta1 * momentum[at] + (1.0 - params.beta1) * g;
    let v = params.beta2 * variance[at] + (1.0 - params.beta2) * g * g;
    let p = parameters[at] - size * m / (sqrt(v) + params.epsilon);
    let old = average[at];
    return Four(p, m, v, old + share * (p - old));
}

fn store(at: u32, four: Four) {
    momentum[at] = four.momentum;
    variance[at] = four.variance;
    parameters[at] = four.parameters;
    average[at] = four.average;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let count = params.count / 8u;
    let own = flat_index(group, local);
    let i = min(own, count - 1u);
    let size = schedule[0];
    let share = 1.0 - schedule[1];
    let g = unpack(gradient[i]);
    let first = step(2u * i, g.low, size, share);
    let second = step(2u * i + 1u, g.high, size, share);
    if (own < count) {
        store(2u * i, first);
        store(2u * i + 1u, second);
    }
}
