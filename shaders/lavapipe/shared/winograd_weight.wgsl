// Shared by the lavapipe.eights forms of winograd_s1_weight and winograd_s2_weight, each of which declares the SIDE of a transformed tile,
// `weight_factors` and `store_row`. A lane fetches the nine taps of one input and eight outputs.
// With params.adjoint = 1 it fetches one output and eight inputs: rows become columns among the eight lanes, and one
// pipeline serves both.

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
    let adjoint = params.adjoint == 1u;
    let values = unpack(weight[place.at + select(tap, 8u - tap, adjoint) * place.taps]);
    let columns = transpose8(values, place.lane);
    return Eight(select(values.low, columns.low, adjoint), select(values.high, columns.high, adjoint));
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

// Where the first tap of a lane of this workgroup is.
fn first_tap(group: vec3<u32>, lane: u32) -> Place {
    let pitch = params.outputs / 8u;
    var at = (8u * group.y + lane) * pitch + group.x;
    if (params.adjoint == 1u) {
        at = (8u * group.x + lane) * (params.inputs / 8u) + group.y;
    }
    return Place(at, params.inputs * pitch, lane);
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
    let to = (group.y * SIDE * SIDE * pitch + group.x) * 8u + lane;
    var row = 0u;
    loop {
        let factors = weight_factors(row);
        store_row(
            to + SIDE * row * matrix,
            matrix,
            sum(row0.first, row1.first, row2.first, factors),
            sum(row0.second, row1.second, row2.second, factors),
            sum(row0.third, row1.third, row2.third, factors),
        );
        row++;
        // The bound is known only at run time, so that the compiler does not unroll the stores, which it is slow at.
        if (row >= min(SIDE, params.inputs + 1u)) {
            break;
        }
    }
}
