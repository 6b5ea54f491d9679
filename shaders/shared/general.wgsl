// Shared by the convolution kernels for any geometry. src/kernels/params.rs says more about the fields.

struct GeneralParams {
    batch: u32,
    fine_height: u32,
    fine_width: u32,
    fine_channels: u32,
    height: u32,
    width: u32,
    coarse_channels: u32,
    groups: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_height: u32,
    stride_width: u32,
    dilation_height: u32,
    dilation_width: u32,
    top: u32,
    left: u32,
    splits: u32,
    rows_per_split: u32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: GeneralParams;

// Of `count` places `step` apart, the first of which lies `at` behind the beginning of the padding: the first that is in
// the image, and the one behind the last.
fn inside(at: u32, step: u32, count: u32, before: u32, length: u32) -> vec2<u32> {
    let first = (max(at, before) - at + step - 1u) / step;
    let end = (max(at, before + length) - at + step - 1u) / step;
    return vec2<u32>(first, min(end, count));
}
