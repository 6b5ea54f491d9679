// adam, form lavapipe.eights: as shaders/adam.wgsl; one step over all parameters and their moving average, in place. It asks
// for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     gradient [count] and schedule [step size, average's decay]; count is a multiple of 8.
// Updates   (writes) parameters, momentum, variance and, if AVERAGE = 1, average [count], every element once.
// Dispatch  one invocation per sixteen parameters, 64 per workgroup.
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, adam_params, lavapipe/eights
//
// Why this shape: a fetch or store of one 64-bit integer costs what one of 32 bits costs, and putting two values together is a
// shuffle; vectors of four values took 1.4 times as long. Sixteen parameters are a cache line of each tensor: with eight per
// invocation it took 1.17 times as long, with two eights far from each other 1.25 times. Invocations beyond the last
// parameters fetch them again instead of ending, which would mask the fetches of the others.

@group(0) @binding(1) var<storage, read_write> gradient: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> schedule: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameters: array<vec4<u64>>;
@group(0) @binding(4) var<storage, read_write> momentum: array<vec4<u64>>;
@group(0) @binding(5) var<storage, read_write> variance: array<vec4<u64>>;
@group(0) @binding(6) var<storage, read_write> average: array<vec4<u64>>;

// Eight parameters and what belongs to them.
struct States {
    parameters: Eight,
    momentum: Eight,
    variance: Eight,
    average: Eight,
}

fn root_plus(values: Eight, more: f32) -> Eight {
    return Eight(sqrt(values.low) + more, sqrt(values.high) + more);
}

fn step(states: States, g: Eight, size: f32, share: f32) -> States {
    let m = plus_times(times(states.momentum, params.beta1), g, 1.0 - params.beta1);
    let fresh = times(g, 1.0 - params.beta2);
    let v = plus(times(states.variance, params.beta2), Eight(fresh.low * g.low, fresh.high * g.high));
    let over = root_plus(v, params.epsilon);
    let p = minus(states.parameters, Eight(size * m.low / over.low, size * m.high / over.high));
    return States(p, m, v, plus_times(states.average, minus(p, states.average), share));
}

// Eight parameters. Those beyond the last are the last again, fetched and not stored.
fn update(own: u32) {
    let count = params.count / 8u;
    let i = min(own, count - 1u);
    let g = unpack(gradient[i]);
    var old_average = Eight();
    if (AVERAGE == 1u) {
        old_average = unpack(average[i]);
    }
    let before = States(unpack(parameters[i]), unpack(momentum[i]), unpack(variance[i]), old_average);
    let after = step(before, g, schedule[0], 1.0 - schedule[1]);
    if (own < count) {
        parameters[i] = pack(after.parameters);
        momentum[i] = pack(after.momentum);
        variance[i] = pack(after.variance);
        if (AVERAGE == 1u) {
            average[i] = pack(after.average);
        }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let own = 2u * flat_index(group, local);
    update(own);
    update(own + 1u);
}
