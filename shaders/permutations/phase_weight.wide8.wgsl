// phase_weight for adapters whose subgroups are exactly eight invocations wide and that have 64-bit integers (the
// software adapter lavapipe). The contract is that of phase_weight.wgsl: M w M' for every pair of channels.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with params.turned = 1 b and a, and the weight is
//           turned by 180 degrees; both are multiples of 8.
// Writes    transformed: 81 matrices inputs x outputs (shared/phase_points.wgsl), every element once.
// Dispatch  x = outputs / 8, y = inputs / 8.
// Longest loop  9.
//
// A lane takes one input and eight outputs (shared/weight_taps.wgsl).

// One row of elements: M times three values.
fn store_row(at: u32, pitch: u32, first: Eight, second: Eight, third: Eight) {
    let near = times(first, AT_NEAR);
    let far = times(first, AT_FAR);
    store(at, plus_times(near, third, AT_NEAR * NEAR));
    store(at + pitch, plus_times(near, third, -AT_NEAR * NEAR));
    store(at + 2u * pitch, plus_times(far, third, AT_FAR * FAR));
    store(at + 3u * pitch, plus_times(far, third, -AT_FAR * FAR));
    store(at + 4u * pitch, third);
    let even_near = pack(times(second, AT_NEAR));
    let even_far = pack(times(second, AT_FAR));
    transformed[at + 5u * pitch] = even_near;
    transformed[at + 6u * pitch] = even_near;
    transformed[at + 7u * pitch] = even_far;
    transformed[at + 8u * pitch] = even_far;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let pitch = params.outputs / 8u;
    let place = first_tap(group, lane);
    let row0 = load_row(place, 0u);
    let row1 = load_row(place, 1u);
    let row2 = load_row(place, 2u);
    let matrix = params.outputs;
    let to = (group.y * FINE_ELEMENTS * pitch + group.x) * 8u + lane;
    var row = 0u;
    loop {
        let factors = scale(select(row, row - 5u, row > 4u)) * taps_of(row);
        store_row(
            to + 9u * row * matrix,
            matrix,
            sum(row0.first, row1.first, row2.first, factors),
            sum(row0.second, row1.second, row2.second, factors),
            sum(row0.third, row1.third, row2.third, factors),
        );
        row++;
        // The bound is known only at run time, so that the compiler does not unroll the stores, which it is slow at.
        if (row >= min(9u, params.inputs + 1u)) {
            break;
        }
    }
}
