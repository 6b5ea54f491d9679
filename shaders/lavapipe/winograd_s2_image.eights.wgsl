// winograd_s2_image, form lavapipe.eights: as shaders/winograd_s2_image.wgsl; M d M' for every tile d of 5 x 5 pixels. It
// asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     image, zero outside: fine [batch, 2*height, 2*width, inputs], or with params.adjoint = 1 coarse
//           [batch, height, width, inputs]; inputs is a multiple of 8.
// Writes    transformed: 81 matrices tiles x inputs (shared/winograd_s2_points.wgsl), or with params.adjoint = 1 25 of them, every
//           element once; tiles is a multiple of 8.
// Dispatch  x = inputs / 4, y = tiles / 8, z = 4 phases, or with params.adjoint = 1 z = 1.
// Longest loop  3.
// needs: grid, winograd, winograd_s2_points, lavapipe/eights
//
// A lane takes one tile and four channels. One pipeline serves both sides and all phases: what an even phase has no use
// for, a fifth row or column, it fetches in vain. Rows of elements go out in pairs.

@group(0) @binding(1) var<storage, read_write> image: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec2<u64>>;

// Five values of four channels: a line of a tile.
struct Line {
    first: vec4<f32>,
    second: vec4<f32>,
    third: vec4<f32>,
    fourth: vec4<f32>,
    fifth: vec4<f32>,
}

// M times a line.
fn along(d: Line) -> Line {
    let even_near = NEAR * (d.third - FAR2 * d.first);
    let odd_near = d.fourth - FAR2 * d.second;
    let even_far = FAR * (d.third - NEAR2 * d.first);
    let odd_far = d.fourth - NEAR2 * d.second;
    return Line(
        even_near + odd_near,
        even_near - odd_near,
        even_far + odd_far,
        even_far - odd_far,
        d.fifth - (NEAR2 + FAR2) * d.third + NEAR2 * FAR2 * d.first,
    );
}

// A lane's tile: its first pixel, from pixel to pixel, and what is inside.
struct Place {
    at: vec2<u32>,
    step: u32,
    size: vec2<u32>,
    top: u32,
    pitch: u32,
    channel: u32,
    known: bool,
}

fn load(place: Place, row: u32, column: u32) -> vec4<f32> {
    // Rows and columns before the first wrap around to large numbers.
    let at = place.at + place.step * vec2<u32>(row, column);
    let inside = place.known && at.x < place.size.x && at.y < place.size.y;
    let pixel = (place.top + at.x) * place.size.y + at.y;
    let values = unpack_four(image[select(0u, pixel * place.pitch + place.channel, inside)]);
    return select(vec4<f32>(), values, inside);
}

fn load_row(place: Place, row: u32) -> Line {
    return along(Line(
        load(place, row, 0u),
        load(place, row, 1u),
        load(place, row, 2u),
        load(place, row, 3u),
        load(place, row, 4u),
    ));
}

// Two rows of elements, those of both points of one size, or that of infinity alone: where they go, and what they take of
// the lines of a tile.
struct Pair {
    first: u32,
    second: u32,
    alone: bool,
    even: vec3<f32>,
    odd: vec2<f32>,
}

// Two elements of one column.
fn store_pair(at: u32, pair: Pair, first: vec4<f32>, second: vec4<f32>, third: vec4<f32>, fourth: vec4<f32>, fifth: vec4<f32>) {
    let even = pair.even.x * first + pair.even.y * third + pair.even.z * fifth;
    let odd = pair.odd.x * second + pair.odd.y * fourth;
    transformed[at + pair.first] = pack_four(even + odd);
    if (!pair.alone) {
        transformed[at + pair.second] = pack_four(even - odd);
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first = first_pixel(8u * group.y + local.x);
    let up = params.adjoint == 1u;
    let step = 2u - params.adjoint;
    let size = step * vec2<u32>(params.height, params.width);
    let evens = even(group.z);
    // Odd phases begin one pixel before the first.
    let before = select(vec2<u32>(1u), vec2<u32>(), evens | vec2<bool>(up));
    let pitch = params.inputs / 4u;
    let place = Place(
        step * first.yz - before,
        step,
        size,
        first.x * size.x,
        pitch,
        group.x,
        first.x < params.batch,
    );
    let row0 = load_row(place, 0u);
    let row1 = load_row(place, 1u);
    let row2 = load_row(place, 2u);
    let row3 = load_row(place, 3u);
    let row4 = load_row(place, 4u);
    let side = select(FINE_SIDE, COARSE_SIDE, up);
    let matrix = 2u * params.inputs;
    let begin = first_of(group.z);
    let to = (group.y * side * side * pitch / 2u + group.x / 2u) * 16u + local.x * 2u + group.x % 2u
        + (begin.x * side + begin.y) * matrix;
    let line = side * matrix;
    // Even phases have no element at infinity.
    let pairs = select(3u, 2u, evens.x);
    var i = 0u;
    loop {
        // The near points, the far ones, infinity.
        let other = select(NEAR2, FAR2, i == 0u);
        let size = select(FAR, NEAR, i == 0u);
        var pair = Pair(
            2u * i * line,
            (2u * i + 1u) * line,
            i == 2u,
            vec3<f32>(-size * other, size, 0.0),
            vec2<f32>(-other, 1.0),
        );
        if (i == 2u) {
            pair.even = vec3<f32>(NEAR2 * FAR2, -NEAR2 - FAR2, 1.0);
            pair.odd = vec2<f32>();
        }
        store_pair(to, pair, row0.first, row1.first, row2.first, row3.first, row4.first);
        store_pair(to + matrix, pair, row0.second, row1.second, row2.second, row3.second, row4.second);
        store_pair(to + 2u * matrix, pair, row0.third, row1.third, row2.third, row3.third, row4.third);
        store_pair(to + 3u * matrix, pair, row0.fourth, row1.fourth, row2.fourth, row3.fourth, row4.fourth);
        if (!evens.y) {
            store_pair(to + 4u * matrix, pair, row0.fifth, row1.fifth, row2.fifth, row3.fifth, row4.fifth);
        }
        i++;
        if (i >= pairs) {
            break;
        }
    }
}
