// winograd_s2_result, form lavapipe.eights: as shaders/winograd_s2_result.wgsl; M m M' for every tile, and the epilogue. It
// asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     product: 81 matrices tiles x outputs (shared/winograd_s2_points.wgsl); tiles and outputs are multiples of 8;
//           beside: bias [outputs], or an activation like the result (params.epilogue = LEAKY_MASK), or border biases
//           [batch, 6, 6, outputs] (params.epilogue = BORDER_BIAS_LEAKY, only with params.adjoint = 1), or nothing (params.epilogue = NOTHING).
// Writes    result: coarse [batch, height, width, outputs], or with params.adjoint = 1 fine [batch, 2*height, 2*width, outputs],
//           every element once.
// Dispatch  x = outputs / 4, y = tiles / 8, z = 1, or with params.adjoint = 1 z = 4 phases.
// Longest loop  18.
// needs: grid, winograd, winograd_s2_points, epilogue, lavapipe/eights
//
// A lane takes one tile and four channels, a row of a phase's elements at a time.

@group(0) @binding(1) var<storage, read_write> product: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> beside: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec2<u64>>;

// Four values of four channels: a row of a tile.
struct Line {
    first: vec4<f32>,
    second: vec4<f32>,
    third: vec4<f32>,
    fourth: vec4<f32>,
}

fn plus_line(a: Line, b: Line, factor: f32) -> Line {
    return Line(
        a.first + factor * b.first,
        a.second + factor * b.second,
        a.third + factor * b.third,
        a.fourth + factor * b.fourth,
    );
}

// M times five values, of which an even phase has four.
fn load_row(at: u32, pitch: u32, even: bool) -> Line {
    let first = unpack_four(product[at]);
    let second = unpack_four(product[at + pitch]);
    let third = unpack_four(product[at + 2u * pitch]);
    let fourth = unpack_four(product[at + 3u * pitch]);
    let fifth = unpack_four(product[at + select(4u * pitch, 0u, even)]);
    let even_near = first + second;
    let odd_near = first - second;
    let even_far = third + fourth;
    let odd_far = third - fourth;
    return Line(
        even_near + even_far,
        NEAR * odd_near + FAR * odd_far,
        NEAR2 * even_near + FAR2 * even_far,
        select(fifth, vec4<f32>(), even) + NEAR * NEAR2 * odd_near + FAR * FAR2 * odd_far,
    );
}

// Where a tile's pixels are, which of its rows and columns are inside, and what is beside them.
struct Place {
    at: u32,
    pitch: u32,
    line: u32,
    rows: vec4<bool>,
    columns: vec4<bool>,
    channel: u32,
    // Of border biases: those of the first pixel's image, and its rows and columns among them.
    border: u32,
    border_rows: vec4<u32>,
    border_columns: vec4<u32>,
}

fn store(place: Place, at: u32, border: u32, sums: vec4<f32>, inside: bool) {
    // Fetched whether wanted or not: under a condition it would take the driver longer to compile.
    let own = select(select(place.channel, at, params.epilogue == LEAKY_MASK), border, params.epilogue == BORDER_BIAS_LEAKY);
    let others = unpack_four(beside[select(place.channel, own, inside)]);
    if (inside) {
        result[at] = pack_four(finish_as(params.epilogue, sums, others));
    }
}

// One row of pixels.
fn store_row(place: Place, row: u32, sums: Line) {
    let at = place.at + row * place.line;
    let inside = place.rows[row];
    let border = place.border + place.border_rows[row];
    store(place, at, border + place.border_columns.x, sums.first, inside && place.columns.x);
    store(place, at + place.pitch, border + place.border_columns.y, sums.second, inside && place.columns.y);
    store(place, at + 2u * place.pitch, border + place.border_columns.z, sums.third, inside && place.columns.z);
    store(place, at + 3u * place.pitch, border + place.border_columns.w, sums.fourth, inside && place.columns.w);
}

// The row or column of border biases that stands for a row or column of the coarse side.
fn border_of(at: vec4<u32>, size: u32, odd: u32) -> vec4<u32> {
    let inner = select(vec4<u32>(1u), vec4<u32>(2u), at == vec4<u32>(size - 1u));
    return 2u * select(inner, vec4<u32>(), at == vec4<u32>()) + odd;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let pitch = params.outputs / 4u;
    let matrix = 2u * params.outputs;
    let from_tile = (group.y * FINE_ELEMENTS * pitch / 2u + group.x / 2u) * 16u + 2u * local.x + group.x % 2u;
    let up = params.adjoint == 1u;
    let evens = even(group.z);
    var pixels0 = Line();
    var pixels1 = Line();
    var pixels2 = Line();
    var pixels3 = Line();
    // Halves of the rows of all elements: those of the phase, or all.
    let begin = first_of(group.z);
    var half = select(0u, 2u * begin.x + u32(evens.y), up);
    let step = select(1u, 2u, up);
    let end = select(18u, select(10u, 18u, evens.x), up);
    loop {
        let row = half / 2u;
        let second = half % 2u == 1u;
        let sums = load_row(from_tile + (FINE_SIDE * row + select(0u, 5u, second)) * matrix, matrix, second);
        let factors = four_powers(select(row, row - 5u, row > 4u));
        pixels0 = plus_line(pixels0, sums, factors.x);
        pixels1 = plus_line(pixels1, sums, factors.y);
        pixels2 = plus_line(pixels2, sums, factors.z);
        pixels3 = plus_line(pixels3, sums, factors.w);
        half += step;
        if (half >= end) {
            break;
        }
    }
    let first = first_pixel(8u * group.y + local.x);
    let known = first.x < params.batch;
    let size = vec2<u32>(params.height, params.width);
    let odd = select(vec2<u32>(1u), vec2<u32>(), evens | vec2<bool>(!up));
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let pixel = step * first.yz + odd;
    let place = Place(
        ((first.x * step * size.x + pixel.x) * step * size.y + pixel.y) * pitch + group.x,
        step * pitch,
        step * step * size.y * pitch,
        first.y + steps < vec4<u32>(select(0u, size.x, known)),
        first.z + steps < vec4<u32>(size.y),
        group.x,
        first.x * 36u * pitch + group.x,
        border_of(first.y + steps, size.x, odd.x) * 6u * pitch,
        border_of(first.z + steps, size.y, odd.y) * pitch,
    );
    store_row(place, 0u, pixels0);
    store_row(place, 1u, pixels1);
    store_row(place, 2u, pixels2);
    store_row(place, 3u, pixels3);
}
