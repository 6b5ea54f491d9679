// Shared by unfold and fold: the geometry. src/kernels/params.rs says more about the fields.

struct PatchesParams {
    batch: u32,
    height: u32,
    width: u32,
    channels: u32,
    rows: u32,
    columns: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_height: u32,
    stride_width: u32,
    dilation_height: u32,
    dilation_width: u32,
    top: u32,
    left: u32,
}

@group(0) @binding(0) var<uniform> params: PatchesParams;
