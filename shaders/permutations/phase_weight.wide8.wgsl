// phase_weight for adapters whose subgroups are exactly eight invocations wide and that have 64-bit integers (the
// software adapter lavapipe). The contract is that of phase_weight.wgsl: M w M' for every pair of channels.
//
// Reads     weight [3, 3, a, b]; input and output channels are a and b, or with params.turned = 1 b and a, and the weight is
//           turned by 180 degrees; both are multiples of 8.
// Writes    transformed: 81 matrices inputs x outputs (shared/phase_points.wgsl), every element once.
// Dispatch  x = outputs / 8, y = inputs / 8.
// Longest loop  9.
//
// A lane takes one input and eight outputs. With params.turned = 1 it fetches one output and eight inputs: rows become
// columns among the eight lanes, and one pipeline serves both.

@group(0) @binding(1) var<storage, read_write> weight: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4<u64>>;

// Three values of eight outputs: a row of a weight.
struct Line {
    first: Eight,
    second: Eight,
    third: Eight,
}

// Where a lane's first tap is, and from one tap to the next.
struct Place {
    at: u32,
    taps: u32,
    lane: u32,
}

fn load(place: Place, tap: u32) -> Eight {
    let turned = params.turned == 1u;
    let values = unpack(weight[place.at + select(tap, 8u - tap, turned) * place.taps]);
    let columns = turn(values, place.lane);
    return Eight(select(values.low, columns.low, turned), select(values.high, columns.high, turned));
}

fn load_row(place: Place, row: u32) -> Line {
    return Line(load(place, 3u * row), load(place, 3u * row + 1u), load(place, 3u * row + 2u));
}

fn store(at: u32, values: Eight) {
    transformed[at] = pack(values);
}

fn sum(first: Eight, second: Eight, third: Eight, factors: vec3<f32>) -> Eight {
    return plus_times(plus_times(times(first, factors.x), second, factors.y), third, factors.z);
}

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
    var at = (8u * group.y + lane) * pitch + group.x;
    if (params.turned == 1u) {
        at = (8u * group.x + lane) * (params.inputs / 8u) + group.y;
    }
    let place = Place(at, params.inputs * pitch, lane);
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
