// Shared by pool and unpool, all forms: the geometry, and for windows of 2 x 2 their place. src/kernels/params.rs says more about the fields.

struct PoolParams {
    batch: u32,
    height: u32,
    width: u32,
    channels: u32,
    window_height: u32,
    window_width: u32,
    scale: f32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: PoolParams;

// Where the window of 2 x 2 of a block of channels begins on the large side; all in blocks, of which a pixel has `pitch`. `i`
// is the block's index on the small side, `line` the row that it is in and `window` the pixel, both over the whole batch.
fn window_place(i: u32, line: u32, window: u32, pitch: u32) -> u32 {
    let columns = params.width / 2u;
    return i + 3u * line * columns * pitch + (window - line * columns) * pitch;
}
