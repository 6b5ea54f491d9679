// winograd_result: from the products of Winograd's algorithm F(2x2, 3x3) to the pixels, A' m A with
// A' = (1, 1, 1, 0; 0, 1, -1, -1), for every tile and every channel, and the epilogue.
//
// Reads     product [16, tiles / 4, output_places] of vec4 over four neighbouring tiles,
//           beside: bias [outputs], or an activation like the result (EPILOGUE = 3), or nothing (EPILOGUE = 0).
// Writes    result [batch, height, width, outputs], every element once.
// Dispatch  x = ceil(outputs / 8), y = tiles / 32.
// Longest loop  4.

@group(0) @binding(1) var<storage, read_write> product: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> beside: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

// One row of products, transformed along the row: the left and the right pixel of each of four tiles.
struct Pixels {
    left: vec4<f32>,
    right: vec4<f32>,
}

fn load_row(at: u32, pitch: u32) -> Pixels {
    let first = product[at];
    let second = product[at + pitch];
    let third = product[at + 2u * pitch];
    let fourth = product[at + 3u * pitch];
    return Pixels(first + second + third, second - third - fourth);
}

// Stores one pixel of each of four tiles: every other one from `pixel` on.
fn store_four(pixel: u32, channel: u32, sums: vec4<f32>) {
    let at = (pixel + vec4<u32>(0u, 2u, 4u, 6u)) * params.outputs + channel;
    var others = vec4<f32>();
    if (EPILOGUE == 3u) {
        others = vec4<f32>(beside[at.x], beside[at.y], beside[at.z], beside[at.w]);
    } else if (EPILOGUE != 0u) {
        others = vec4<f32>(beside[channel]);
    }
    let values = finish(sums, others);
    result[at.x] = values.x;
    result[at.y] = values.y;
    result[at.z] = values.z;
    result[at.w] = values.w;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = 8u * group.x + local.x;
    let own_group = 8u * group.y + local.y;
    let first = first_pixel(own_group);
    if (channel >= params.outputs || first.x >= params.batch) {
        return;
    }
    let pitch = params.tiles / 4u * params.output_places;
    let at = own_group * params.output_places + channel;
    let row0 = load_row(at, pitch);
    let row1 = load_row(at + 4u * pitch, pitch);
    let row2 = load_row(at + 8u * pitch, pitch);
    let row3 = load_row(at + 12u * pitch, pitch);
    var own = Pixels(row0.left + row1.left + row2.left, row0.right + row1.right + row2.right);
    let below = Pixels(row1.left - row2.left - row3.left, row1.right - row2.right - row3.right);
    var pixel = (first.x * params.height + first.y) * params.width + first.z;
    // The bound is known only at run time, so that the compiler does not unroll the stores, which it is slow at.
    for (var row = 0u; row < min(2u, params.tiles); row++) {
        store_four(pixel, channel, own.left);
        store_four(pixel + 1u, channel, own.right);
        pixel += params.width;
        own = below;
    }
}
