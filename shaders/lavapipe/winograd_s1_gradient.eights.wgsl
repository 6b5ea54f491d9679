// winograd_s1_gradient, form lavapipe.eights: as shaders/winograd_s1_gradient.wgsl; M m M' for every pair of channels. It
// asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     product: 36 matrices outputs x inputs (shared/winograd.wgsl); both are multiples of 8.
// Writes    gradient [3, 3, inputs, outputs], every element once; if SWAPPED = 1 [3, 3, outputs, inputs] and the last tap
//           first.
// Dispatch  x = outputs / 8, y = inputs / 8; if SWAPPED = 1 the other way round.
// Longest loop  6.
// needs: grid, winograd, winograd_s1_points, lavapipe/eights, lavapipe/transpose
//
// A lane fetches one output and eight inputs, and stores one input and eight outputs: in between, rows become columns
// among the eight lanes. If SWAPPED = 1 it stores one output and eight inputs.

@group(0) @binding(1) var<storage, read_write> product: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4<u64>>;

override SWAPPED: u32 = 0u;

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

// M times six values.
fn along(first: Eight, second: Eight, third: Eight, fourth: Eight, fifth: Eight, sixth: Eight) -> Line {
    let even_near = plus(second, third);
    let odd_near = minus(second, third);
    let even_far = plus(fourth, fifth);
    let odd_far = minus(fourth, fifth);
    return Line(
        plus(first, plus(even_near, even_far)),
        plus_times(times(odd_near, NEAR), odd_far, FAR),
        plus_times(plus_times(sixth, even_near, NEAR2), even_far, FAR2),
    );
}

fn load_row(at: u32, pitch: u32) -> Line {
    return along(
        unpack(product[at]),
        unpack(product[at + pitch]),
        unpack(product[at + 2u * pitch]),
        unpack(product[at + 3u * pitch]),
        unpack(product[at + 4u * pitch]),
        unpack(product[at + 5u * pitch]),
    );
}

// Where a lane's first tap goes, and from one tap to the next.
struct Place {
    at: u32,
    taps: u32,
    lane: u32,
}

fn store(place: Place, tap: u32, values: Eight) {
    if (SWAPPED == 1u) {
        gradient[place.at + (8u - tap) * place.taps] = pack(values);
    } else {
        gradient[place.at + tap * place.taps] = pack(transpose8(values, place.lane));
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let matrix = params.inputs;
    let block = select(group.xy, group.yx, SWAPPED == 1u);
    let from_pair = (block.x * ELEMENTS * params.inputs / 8u + block.y) * 8u + lane;
    var top = Line();
    var middle = Line();
    var bottom = Line();
    var row = 0u;
    loop {
        let sums = load_row(from_pair + 6u * row * matrix, matrix);
        let factors = three_powers(row);
        top = plus_line(top, sums, factors.x);
        middle = plus_line(middle, sums, factors.y);
        bottom = plus_line(bottom, sums, factors.z);
        row++;
        // The bound is known only at run time, so that the compiler does not unroll the loop.
        if (row >= min(6u, params.inputs)) {
            break;
        }
    }
    let columns = vec2<u32>(params.outputs, params.inputs) / 8u;
    let rows_to = (8u * block.y + lane) * columns.x + block.x;
    let columns_to = (8u * block.x + lane) * columns.y + block.y;
    let place = Place(select(rows_to, columns_to, SWAPPED == 1u), params.inputs * columns.x, lane);
    store(place, 0u, top.first);
    store(place, 1u, top.second);
    store(place, 2u, top.third);
    store(place, 3u, middle.first);
    store(place, 4u, middle.second);
    store(place, 5u, middle.third);
    store(place, 6u, bottom.first);
    store(place, 7u, bottom.second);
    store(place, 8u, bottom.third);
}
