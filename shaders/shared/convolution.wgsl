// Shared by the three convolution kernels, all forms: the geometry and what it is specialised by. The fine side has
// STRIDE times the height and width of the coarse side; src/kernels/params.rs says more about the fields.

struct ConvolutionParams {
    batch: u32,
    height: u32,
    width: u32,
    fine_channels: u32,
    coarse_channels: u32,
    splits: u32,
    rows_per_split: u32,
    columns: u32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: ConvolutionParams;

override KERNEL: u32 = 3u;
override STRIDE: u32 = 1u;

// Pixel tiles along y of a dispatch; the rest goes to z.
const TILES_IN_Y: u32 = 32768u;
