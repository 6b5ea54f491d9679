// winograd_image for adapters whose subgroups are exactly eight invocations wide and that have 64-bit integers (the
// software adapter lavapipe). The contract is that of winograd_image.wgsl: B' d B for every tile d of 4 x 4 pixels.
//
// Reads     image [batch, height, width, inputs], zero outside; height and width are even, inputs a multiple of 8.
// Writes    transformed: 16 matrices tiles x inputs (shared/winograd.wgsl), every element once; tiles is a multiple of 8.
// Dispatch  x = inputs / 8, y = tiles / 8.
// Longest loop  none: outside loops a fetch has no mask to test.
//
// A lane takes one tile and eight channels. Neighbouring lanes are neighbouring tiles, so it fetches the two columns of
// pixels in its middle and has the outer two from its neighbours; only lanes 0 and 7 fetch one of theirs.

@group(0) @binding(1) var<storage, read_write> image: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4<u64>>;

// One row of a tile, transformed along the row.
struct Row {
    first: Eight,
    second: Eight,
    third: Eight,
    fourth: Eight,
}

// What another lane holds.
fn shuffled(values: Eight, from_lane: u32) -> Eight {
    return Eight(subgroupShuffle(values.low, from_lane), subgroupShuffle(values.high, from_lane));
}

// The second where `second` holds.
fn choose(a: Eight, b: Eight, second: bool) -> Eight {
    return Eight(select(a.low, b.low, second), select(a.high, b.high, second));
}

// Where the lanes' rows are, and what is beyond the eight tiles: lane 0 fetches the pixel to the left, lane 7 that to the
// right.
struct Place {
    pitch: u32,
    lane: u32,
    outer: u32,
    left: bool,
    right: bool,
}

// The row whose second and third pixel are image[at] and the next one; zero where it is not inside.
fn load_row(place: Place, at: u32, line: u32, inside: bool) -> Row {
    let second = keep(unpack(image[at]), inside);
    let third = keep(unpack(image[at + place.pitch]), inside);
    var outer = Eight();
    if (place.lane == 0u || place.lane == 7u) {
        outer = keep(unpack(image[place.outer + line]), inside);
    }
    let from_left = choose(shuffled(third, (place.lane + 7u) % 8u), outer, place.lane == 0u);
    let from_right = choose(shuffled(second, (place.lane + 1u) % 8u), outer, place.lane == 7u);
    let first = keep(from_left, place.left);
    let fourth = keep(from_right, place.right);
    return Row(minus(first, third), plus(second, third), minus(third, second), minus(second, fourth));
}

fn store(at: u32, values: Eight) {
    transformed[at] = pack(values);
}

fn store_row(at: u32, pitch: u32, row: Row) {
    store(at, row.first);
    store(at + pitch, row.second);
    store(at + 2u * pitch, row.third);
    store(at + 3u * pitch, row.fourth);
}

fn plus_row(a: Row, b: Row) -> Row {
    return Row(plus(a.first, b.first), plus(a.second, b.second), plus(a.third, b.third), plus(a.fourth, b.fourth));
}

fn minus_row(a: Row, b: Row) -> Row {
    return Row(minus(a.first, b.first), minus(a.second, b.second), minus(a.third, b.third), minus(a.fourth, b.fourth));
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = 8u * group.y + local.x;
    let first = first_pixel(tile);
    let pitch = params.inputs / 8u;
    let line = params.width * pitch;
    let at = ((first.x * params.height + first.y) * params.width + first.z) * pitch + group.x;
    let up = first.y > 0u;
    let down = first.y + 2u < params.height;
    let left = first.z > 0u;
    let right = first.z + 2u < params.width;
    let outer = select(at + select(pitch, 2u * pitch, right), select(at, at - pitch, left), local.x == 0u);
    let place = Place(pitch, local.x, outer, left, right);
    let row0 = load_row(place, select(at, at - line, up), select(0u, 0u - line, up), up);
    let row1 = load_row(place, at, 0u, true);
    let row2 = load_row(place, at + line, line, true);
    let row3 = load_row(place, at + select(line, 2u * line, down), select(line, 2u * line, down), down);
    let matrix = params.inputs;
    let to = (group.y * ELEMENTS * pitch + group.x) * 8u + local.x;
    store_row(to, matrix, minus_row(row0, row2));
    store_row(to + 4u * matrix, matrix, plus_row(row1, row2));
    store_row(to + 8u * matrix, matrix, minus_row(row2, row1));
    store_row(to + 12u * matrix, matrix, minus_row(row1, row3));
}
