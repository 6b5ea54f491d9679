// winograd_image: an image as Winograd's algorithm F(2x2, 3x3) multiplies it, B' d B with
// B' = (1, 0, -1, 0; 0, 1, 1, 0; 0, -1, 1, 0; 0, 1, 0, -1), for every tile d of 4 x 4 pixels and every channel.
//
// Reads     image [batch, height, width, inputs], zero outside; height is even, width a multiple of 8.
// Writes    transformed [16, tiles / 4, input_places] of vec4 over four neighbouring tiles, every element once; 0 for
//           tiles and channels beyond the image's.
// Dispatch  x = input_places / 8, y = tiles / 32.
// Longest loop  4.
//
// Lanes run along the channels. Four tiles of a row share 4 x 10 pixels, which an invocation fetches once.

@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4<f32>>;

// One row of four tiles, transformed along the row.
struct Row {
    first: vec4<f32>,
    second: vec4<f32>,
    third: vec4<f32>,
    fourth: vec4<f32>,
}

fn load_row(first: vec3<u32>, row: u32, channel: u32) -> Row {
    // One pixel up and one to the left of the first; rows and columns outside wrap around to large numbers.
    let y = first.y + row - 1u;
    let left = first.z - 1u;
    let line = (min(first.x, params.batch - 1u) * params.height + min(y, params.height - 1u)) * params.width;
    let own = min(channel, params.inputs - 1u);
    let at = (line + first.z) * params.inputs + own;
    let c = params.inputs;
    let before = select(image[(line + min(left, params.width - 1u)) * c + own], 0.0, left >= params.width);
    let behind = select(image[(line + min(left + 9u, params.width - 1u)) * c + own], 0.0, left + 9u >= params.width);
    let low = vec4<f32>(image[at], image[at + c], image[at + 2u * c], image[at + 3u * c]);
    let high = vec4<f32>(image[at + 4u * c], image[at + 5u * c], image[at + 6u * c], image[at + 7u * c]);
    // Pixel columns 0, 2, 4, 6 of the strip, then 1, 3, 5, 7, and so on: one component per tile.
    let zeroth = vec4<f32>(before, low.yw, high.y);
    let first_columns = vec4<f32>(low.xz, high.xz);
    let second_columns = vec4<f32>(low.yw, high.yw);
    let third_columns = vec4<f32>(low.z, high.xz, behind);
    let inside = y < params.height && channel < params.inputs && first.x < params.batch;
    let scale = select(0.0, 1.0, inside);
    return Row(
        scale * (zeroth - second_columns),
        scale * (first_columns + second_columns),
        scale * (second_columns - first_columns),
        scale * (first_columns - third_columns),
    );
}

fn add(a: Row, b: Row) -> Row {
    return Row(a.first + b.first, a.second + b.second, a.third + b.third, a.fourth + b.fourth);
}

fn subtract(a: Row, b: Row) -> Row {
    return Row(a.first - b.first, a.second - b.second, a.third - b.third, a.fourth - b.fourth);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = 8u * group.x + local.x;
    let own_group = 8u * group.y + local.y;
    let first = first_pixel(own_group);
    let row0 = load_row(first, 0u, channel);
    let row1 = load_row(first, 1u, channel);
    let row2 = load_row(first, 2u, channel);
    let row3 = load_row(first, 3u, channel);
    var next0 = subtract(row0, row2);
    var next1 = add(row1, row2);
    var next2 = subtract(row2, row1);
    var next3 = subtract(row1, row3);
    let pitch = params.tiles / 4u * params.input_places;
    var at = own_group * params.input_places + channel;
    // The bound is known only at run time, so that the compiler does not unroll the stores, which it is slow at.
    for (var row = 0u; row < min(4u, params.tiles); row++) {
        transformed[at] = next0.first;
        transformed[at + pitch] = next0.second;
        transformed[at + 2u * pitch] = next0.third;
        transformed[at + 3u * pitch] = next0.fourth;
        at += 4u * pitch;
        next0 = next1;
        next1 = next2;
        next2 = next3;
    }
}
