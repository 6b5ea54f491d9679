//! Twin of `shaders/pool.wgsl`.

use crate::kernels::Arguments;
use crate::kernels::params::PoolParams;
use rayon::prelude::*;

/// Reads x `[n, h, w, c]`; writes `scale` times the sum over each window, `[n, h / wh, w / ww, c]`.
pub fn pool(call: &mut Arguments) {
    let p: PoolParams = call.params();
    let [height, width, channels] = [p.height, p.width, p.channels].map(|v| v as usize);
    let [window_height, window_width] = [p.window_height, p.window_width].map(|v| v as usize);
    let (rows, columns) = (height / window_height, width / window_width);
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(columns * channels).enumerate().for_each(|(index, out)| {
        let (image, row) = (index / rows, index % rows);
        for (i, out) in out.iter_mut().enumerate() {
            let (column, channel) = (i / channels, i % channels);
            let mut sum = 0.0f64;
            for dy in 0..window_height {
                let line = (image * height + row * window_height + dy) * width + column * window_width;
                for dx in 0..window_width {
                    sum += f64::from(x[(line + dx) * channels + channel]);
                }
            }
            *out = (f64::from(p.scale) * sum) as f32;
        }
    });
}
