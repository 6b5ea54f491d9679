// Shared by pool and unpool, all forms: the geometry. src/kernels/params.rs says more about the fields.

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
