// winograd_s2_gradient, form lavapipe.eights: as shaders/winograd_s2_gradient.wgsl; M m M' for every pair of channels. It
// asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     product: 81 matrices outputs x inputs (shared/winograd_s2_points.wgsl); both are multiples of 8.
// Writes    gradient [3, 3, inputs, outputs], every element once.
// Dispatch  x = outputs / 8, y = inputs / 8.
// Longest loop  9.
// needs: grid, winograd, winograd_s2_points, lavapipe/eights, lavapipe/transpose
//
// A lane fetches one output and eight inputs, and stores one input and eight outputs: in between, rows become columns
// among the eight lanes.

@group(0) @binding(1) var<storage, read_write> product: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4<u64>>;

// Three values of eight inputs: a row of a gradient.
struct Line {
    first: Eight,
    second: Eight,
    third: Eight,
}

fn plus_line(a: Line, b: Line, factor: f32) -> Line {
    return Line(
        plus_times(a.first, b.first, factor),
        plus_times(a.second, b.second, factor),
        plus_times(a.third, b.third, factor),
    );
}

// M times nine values.
fn load_row(at: u32, pitch: u32) -> Line {
    let near = unpack(product[at]);
    let other_near = unpack(product[at + pitch]);
    let far = unpack(product[at + 2u * pitch]);
    let other_far = unpack(product[at + 3u * pitch]);
    let last = unpack(product[at + 4u * pitch]);
    let inner_near = plus(unpack(product[at + 5u * pitch]), unpack(product[at + 6u * pitch]));
    let inner_far = plus(unpack(product[at + 7u * pitch]), unpack(product[at + 8u * pitch]));
    return Line(
        plus(plus(near, other_near), plus(far, other_far)),
        plus(inner_near, inner_far),
        plus_times(plus_times(last, minus(near, other_near), NEAR), minus(far, other_far), FAR),
    );
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let matrix = params.inputs;
    let from_pair = (group.x * FINE_ELEMENTS * params.inputs / 8u + group.y) * 8u + lane;
    var top = Line();
    var middle = Line();
    var bottom = Line();
    var row = 0u;
    loop {
        let sums = load_row(from_pair + 9u * row * matrix, matrix);
        let factors = taps_of(row);
        top = plus_line(top, sums, factors.x);
        middle = plus_line(middle, sums, factors.y);
        bottom = plus_line(bottom, sums, factors.z);
        row++;
        // The bound is known only at run time, so that the compiler does not unroll the loop.
        if (row >= min(9u, params.inputs + 1u)) {
            break;
        }
    }
    let pitch = params.outputs / 8u;
    let taps = params.inputs * pitch;
    let to = (8u * group.y + lane) * pitch + group.x;
    gradient[to] = pack(transpose8(top.first, lane));
    gradient[to + taps] = pack(transpose8(top.second, lane));
    gradient[to + 2u * taps] = pack(transpose8(top.third, lane));
    gradient[to + 3u * taps] = pack(transpose8(middle.first, lane));
    gradient[to + 4u * taps] = pack(transpose8(middle.second, lane));
    gradient[to + 5u * taps] = pack(transpose8(middle.third, lane));
    gradient[to + 6u * taps] = pack(transpose8(bottom.first, lane));
    gradient[to + 7u * taps] = pack(transpose8(bottom.second, lane));
    gradient[to + 8u * taps] = pack(transpose8(bottom.third, lane));
}
