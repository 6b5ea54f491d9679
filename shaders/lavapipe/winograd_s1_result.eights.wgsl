// winograd_s1_result, form lavapipe.eights: as shaders/winograd_s1_result.wgsl; M m M' for every tile, and the epilogue. It
// asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     product: 36 matrices tiles x outputs (shared/winograd.wgsl); tiles and outputs are multiples of 8;
//           beside: bias [outputs], or an activation like the result (params.epilogue = LEAKY_MASK), or nothing (params.epilogue = NOTHING).
// Writes    result [batch, height, width, outputs], every element once.
// Dispatch  x = outputs / 4, y = tiles / 8.
// Longest loop  6.
// needs: grid, winograd, winograd_s1_points, epilogue, lavapipe/eights
//
// A lane takes one tile and four channels, a row of elements at a time. With eight channels the driver compiles three times as
// long, with all elements at once as well, and what it makes is no faster: what it cannot hold in registers it spills
// within the fetches.

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

// M times six values.
fn along(first: vec4<f32>, second: vec4<f32>, third: vec4<f32>, fourth: vec4<f32>, fifth: vec4<f32>, sixth: vec4<f32>) -> Line {
    let even_near = second + third;
    let odd_near = second - third;
    let even_far = fourth + fifth;
    let odd_far = fourth - fifth;
    return Line(
        first + even_near + even_far,
        NEAR * odd_near + FAR * odd_far,
        NEAR2 * even_near + FAR2 * even_far,
        sixth + NEAR * NEAR2 * odd_near + FAR * FAR2 * odd_far,
    );
}

fn load_row(at: u32, pitch: u32) -> Line {
    return along(
        unpack_four(product[at]),
        unpack_four(product[at + pitch]),
        unpack_four(product[at + 2u * pitch]),
        unpack_four(product[at + 3u * pitch]),
        unpack_four(product[at + 4u * pitch]),
        unpack_four(product[at + 5u * pitch]),
    );
}

// Where a tile's pixels are, which of its rows and columns are inside, and which bias is theirs.
struct Place {
    at: u32,
    pitch: u32,
    line: u32,
    rows: vec4<bool>,
    columns: vec4<bool>,
    channel: u32,
}

fn store(place: Place, at: u32, sums: vec4<f32>, inside: bool) {
    // Fetched whether wanted or not: under a condition it would take the driver longer to compile.
    let others = unpack_four(beside[select(place.channel, at, inside && params.epilogue == LEAKY_MASK)]);
    if (inside) {
        result[at] = pack_four(finish_as(params.epilogue, sums, others));
    }
}

// One row of pixels.
fn store_row(place: Place, row: u32, sums: Line) {
    let at = place.at + row * place.line;
    let inside = place.rows[row];
    store(place, at, sums.first, inside && place.columns.x);
    store(place, at + place.pitch, sums.second, inside && place.columns.y);
    store(place, at + 2u * place.pitch, sums.third, inside && place.columns.z);
    store(place, at + 3u * place.pitch, sums.fourth, inside && place.columns.w);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let pitch = params.outputs / 4u;
    let matrix = 2u * params.outputs;
    let from_tile = (group.y * ELEMENTS * pitch / 2u + group.x / 2u) * 16u + 2u * local.x + group.x % 2u;
    var pixels0 = Line();
    var pixels1 = Line();
    var pixels2 = Line();
    var pixels3 = Line();
    var row = 0u;
    loop {
        let sums = load_row(from_tile + 6u * row * matrix, matrix);
        let factors = four_powers(row);
        pixels0 = plus_line(pixels0, sums, factors.x);
        pixels1 = plus_line(pixels1, sums, factors.y);
        pixels2 = plus_line(pixels2, sums, factors.z);
        pixels3 = plus_line(pixels3, sums, factors.w);
        row++;
        // The bound is known only at run time, so that the compiler does not unroll the loop.
        if (row >= min(6u, params.tiles)) {
            break;
        }
    }
    let first = first_pixel(8u * group.y + local.x);
    let known = first.x < params.batch;
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let place = Place(
        ((first.x * params.height + first.y) * params.width + first.z) * pitch + group.x,
        pitch,
        params.width * pitch,
        first.y + steps < vec4<u32>(select(0u, params.height, known)),
        first.z + steps < vec4<u32>(params.width),
        group.x,
    );
    store_row(place, 0u, pixels0);
    store_row(place, 1u, pixels1);
    store_row(place, 2u, pixels2);
    store_row(place, 3u, pixels3);
}
