// Shared by the portable forms of conv2d and conv2d_input_gradient: the shape of the tile, and its stores.

const TILE: u32 = 32u;
const QUADS: u32 = 8u;
const DEPTH: u32 = 16u;

// Stores four neighbouring channels of a pixel of the result, which has `channels`. What the epilogue needs for them is
// that of pixel `other` of the third operand.
fn store_channels(pixel: u32, other: u32, first_channel: u32, channels: u32, sums: vec4<f32>) {
    let first = pixel * channels;
    var others = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
        let channel = min(first_channel + i, channels - 1u);
        if (EPILOGUE >= LEAKY_MASK) {
            others[i] = beside[other * channels + channel];
        } else if (EPILOGUE != NOTHING) {
            others[i] = beside[channel];
        }
    }
    let values = finish(sums, others);
    for (var i = 0u; i < 4u; i++) {
        if (first_channel + i < channels) {
            result[first + first_channel + i] = values[i];
        }
    }
}
