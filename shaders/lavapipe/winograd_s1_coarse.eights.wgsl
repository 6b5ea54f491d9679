// winograd_s1_coarse, form lavapipe.eights: as shaders/winograd_s1_coarse.wgsl; M d M' for every tile d of 4 x 4 pixels. It
// asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     coarse [batch, height, width, outputs], zero outside.
// Writes    transformed: 36 matrices outputs x tiles (shared/winograd.wgsl), every element once; outputs and tiles are
//           multiples of 8.
// Dispatch  x = outputs / 8, y = tiles / 8.
// Longest loop  6.
// needs: grid, winograd, winograd_s1_points, lavapipe/eights, lavapipe/transpose
//
// A lane fetches eight channels of a tile's pixels, and stores eight tiles of one channel: in between, rows become
// columns among the eight lanes.

@group(0) @binding(1) var<storage, read_write> coarse: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4<u64>>;

// Four values of eight tiles: a row of a tile.
struct Line {
    first: Eight,
    second: Eight,
    third: Eight,
    fourth: Eight,
}

// Where a tile's pixels are, and which of its columns are inside.
struct Place {
    lane: u32,
    pitch: u32,
    columns: vec4<bool>,
}

fn load(place: Place, at: u32, inside: bool) -> Eight {
    return transpose8(keep(unpack(coarse[select(0u, at, inside)]), inside), place.lane);
}

fn load_row(place: Place, at: u32, inside: bool) -> Line {
    return Line(
        load(place, at, inside && place.columns.x),
        load(place, at + place.pitch, inside && place.columns.y),
        load(place, at + 2u * place.pitch, inside && place.columns.z),
        load(place, at + 3u * place.pitch, inside && place.columns.w),
    );
}

fn store(at: u32, values: Eight) {
    transformed[at] = pack(values);
}

fn sum(first: Eight, second: Eight, third: Eight, fourth: Eight, factors: vec4<f32>) -> Eight {
    let even = plus_times(times(first, factors.x), third, factors.z);
    return plus_times(plus_times(even, second, factors.y), fourth, factors.w);
}

// One row of elements: M times four values.
fn store_row(at: u32, pitch: u32, first: Eight, second: Eight, third: Eight, fourth: Eight) {
    let even_near = times(plus_times(first, third, NEAR2), AT_NEAR);
    let odd_near = times(plus_times(second, fourth, NEAR2), AT_NEAR * NEAR);
    let even_far = times(plus_times(first, third, FAR2), AT_FAR);
    let odd_far = times(plus_times(second, fourth, FAR2), AT_FAR * FAR);
    store(at, times(first, AT_ZERO));
    store(at + pitch, plus(even_near, odd_near));
    store(at + 2u * pitch, minus(even_near, odd_near));
    store(at + 3u * pitch, plus(even_far, odd_far));
    store(at + 4u * pitch, minus(even_far, odd_far));
    store(at + 5u * pitch, fourth);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first = first_pixel(8u * group.y + local.x);
    let pitch = params.outputs / 8u;
    let line = params.width * pitch;
    let at = ((first.x * params.height + first.y) * params.width + first.z) * pitch + group.x;
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let rows = first.y + steps < vec4<u32>(select(0u, params.height, first.x < params.batch));
    let place = Place(local.x, pitch, first.z + steps < vec4<u32>(params.width));
    let row0 = load_row(place, at, rows.x);
    let row1 = load_row(place, at + line, rows.y);
    let row2 = load_row(place, at + 2u * line, rows.z);
    let row3 = load_row(place, at + 3u * line, rows.w);
    let matrix = params.tiles;
    let to = (group.x * ELEMENTS * params.tiles / 8u + group.y) * 8u + local.x;
    var row = 0u;
    loop {
        let factors = scale(row) * four_powers(row);
        store_row(
            to + 6u * row * matrix,
            matrix,
            sum(row0.first, row1.first, row2.first, row3.first, factors),
            sum(row0.second, row1.second, row2.second, row3.second, factors),
            sum(row0.third, row1.third, row2.third, row3.third, factors),
            sum(row0.fourth, row1.fourth, row2.fourth, row3.fourth, factors),
        );
        row++;
        // The bound is known only at run time, so that the compiler does not unroll the stores, which it is slow at.
        if (row >= min(6u, params.tiles)) {
            break;
        }
    }
}
