// winograd_s1_image, form lavapipe.eights: as shaders/winograd_s1_image.wgsl; M d M' for every tile d of 6 x 6 pixels. It
// asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     image [batch, height, width, inputs], zero outside; inputs is a multiple of 8.
// Writes    transformed: 36 matrices tiles x inputs (shared/winograd.wgsl), every element once; tiles is a multiple of 8.
// Dispatch  x = inputs / 4, y = tiles / 8.
// Longest loop  3.
// needs: grid, winograd, winograd_s1_points, lavapipe/eights
//
// A lane takes one tile and four channels: all 36 elements are live at once, and with eight channels the driver compiles for two
// seconds instead of one, and what it makes is no faster. Neighbouring lanes are neighbouring tiles, so a lane fetches the
// four columns of pixels in its middle and has the outer two from its neighbours; only lanes 0 and 7 fetch one of theirs,
// if they need it. Rows of elements go out in pairs.

@group(0) @binding(1) var<storage, read_write> image: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec2<u64>>;

// Six values of four channels: a line of a tile.
struct Line {
    first: vec4<f32>,
    second: vec4<f32>,
    third: vec4<f32>,
    fourth: vec4<f32>,
    fifth: vec4<f32>,
    sixth: vec4<f32>,
}

// M times a line.
fn along(d: Line) -> Line {
    let even_near = d.fifth - FAR2 * d.third;
    let odd_near = d.fourth - FAR2 * d.second;
    let even_far = d.fifth - NEAR2 * d.third;
    let odd_far = d.fourth - NEAR2 * d.second;
    return Line(
        d.fifth - (NEAR2 + FAR2) * d.third + NEAR2 * FAR2 * d.first,
        even_near + NEAR * odd_near,
        even_near - NEAR * odd_near,
        even_far + FAR * odd_far,
        even_far - FAR * odd_far,
        d.sixth - (NEAR2 + FAR2) * d.fourth + NEAR2 * FAR2 * d.second,
    );
}

// Zero in the lanes that hold false.
fn keep_four(values: vec4<f32>, valid: bool) -> vec4<f32> {
    return select(vec4<f32>(), values, valid);
}

// Where a lane's columns are: offsets of its own four within a row of the image, which of them are inside, and what
// is beyond.
struct Place {
    lane: u32,
    at: vec4<u32>,
    inside: vec4<bool>,
    outer: u32,
    left: bool,
    right: bool,
}

// One row of a tile, transformed: that which begins at image[row], zero where it is not inside.
fn load_row(place: Place, row: u32, inside: bool) -> Line {
    let second = keep_four(unpack_four(image[row + place.at.x]), inside && place.inside.x);
    let third = keep_four(unpack_four(image[row + place.at.y]), inside && place.inside.y);
    let fourth = keep_four(unpack_four(image[row + place.at.z]), inside && place.inside.z);
    let fifth = keep_four(unpack_four(image[row + place.at.w]), inside && place.inside.w);
    var outer = vec4<f32>();
    if (inside && ((place.lane == 0u && place.left) || (place.lane == 7u && place.right))) {
        outer = unpack_four(image[row + place.outer]);
    }
    let from_left = select(subgroupShuffle(fifth, (place.lane + 7u) % 8u), outer, place.lane == 0u);
    let from_right = select(subgroupShuffle(second, (place.lane + 1u) % 8u), outer, place.lane == 7u);
    return along(Line(keep_four(from_left, place.left), second, third, fourth, fifth, keep_four(from_right, place.right)));
}

fn store(at: u32, values: vec4<f32>) {
    transformed[at] = pack_four(values);
}

// Two rows of elements, those of both points of one size or of 0 and infinity: where they go, and what they take of even
// and of odd lines of a tile.
struct Pair {
    first: u32,
    second: u32,
    even: vec2<f32>,
    odd: vec3<f32>,
    both: f32,
}

// Two elements of one column.
fn store_pair(at: u32, pair: Pair, column: Line) {
    let even = column.fifth + pair.even.y * column.third + pair.even.x * column.first;
    let odd = pair.odd.x * column.second + pair.odd.y * column.fourth + pair.odd.z * column.sixth;
    store(at + pair.first, even + pair.both * odd);
    store(at + pair.second, pair.both * even + (1.0 - 2.0 * pair.both) * odd);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first = first_pixel(8u * group.y + local.x);
    let pitch = params.inputs / 4u;
    let last = vec2<u32>(params.height - 1u, params.width - 1u);
    let columns = first.z + vec4<u32>(0u, 1u, 2u, 3u);
    let left = first.z > 0u;
    let outer = select(min(first.z + 4u, last.y), max(first.z, 1u) - 1u, local.x == 0u);
    let at = min(columns, vec4<u32>(last.y)) * pitch + group.x;
    let place = Place(
        local.x,
        at,
        columns <= vec4<u32>(last.y),
        outer * pitch + group.x,
        left,
        first.z + 4u <= last.y,
    );
    let known = first.x < params.batch;
    let top = select(0u, first.x * params.height, known);
    let line = params.width * pitch;
    let rows = first.y + vec4<u32>(1u, 2u, 3u, 4u);
    let inside = rows <= vec4<u32>(last.x);
    let begin = (top + min(rows, vec4<u32>(last.x))) * line;
    let row0 = load_row(place, (top + max(first.y, 1u) - 1u) * line, known && first.y > 0u);
    let row1 = load_row(place, (top + first.y) * line, known);
    let row2 = load_row(place, begin.x, known && inside.x);
    let row3 = load_row(place, begin.y, known && inside.y);
    let row4 = load_row(place, begin.z, known && inside.z);
    let row5 = load_row(place, begin.w, known && inside.w);
    let matrix = 2u * params.inputs;
    let to = (group.y * ELEMENTS * pitch / 2u + group.x / 2u) * 16u + local.x * 2u + group.x % 2u;
    var i = 0u;
    loop {
        // The ends, the near points, the far ones.
        let other = select(NEAR2, FAR2, i == 1u);
        let size = select(FAR, NEAR, i == 1u);
        let odd = size * vec3<f32>(-other, 1.0, 0.0);
        var pair = Pair((2u * i - 1u) * 6u * matrix, 2u * i * 6u * matrix, vec2<f32>(0.0, -other), odd, 1.0);
        if (i == 0u) {
            let sum = -NEAR2 - FAR2;
            pair = Pair(0u, 30u * matrix, vec2<f32>(NEAR2 * FAR2, sum), vec3<f32>(NEAR2 * FAR2, sum, 1.0), 0.0);
        }
        store_pair(to, pair, Line(row0.first, row1.first, row2.first, row3.first, row4.first, row5.first));
        store_pair(to + matrix, pair, Line(row0.second, row1.second, row2.second, row3.second, row4.second, row5.second));
        store_pair(to + 2u * matrix, pair, Line(row0.third, row1.third, row2.third, row3.third, row4.third, row5.third));
        store_pair(to + 3u * matrix, pair, Line(row0.fourth, row1.fourth, row2.fourth, row3.fourth, row4.fourth, row5.fourth));
        store_pair(to + 4u * matrix, pair, Line(row0.fifth, row1.fifth, row2.fifth, row3.fifth, row4.fifth, row5.fifth));
        store_pair(to + 5u * matrix, pair, Line(row0.sixth, row1.sixth, row2.sixth, row3.sixth, row4.sixth, row5.sixth));
        i++;
        // The bound is known only at run time, so that the compiler does not unroll the stores, which it is slow at.
        if (i >= min(3u, params.tiles)) {
            break;
        }
    }
}
