//! Fast form of `pool`: whole pixels at a time, sums in f32.

use crate::kernels::Arguments;
use crate::kernels::params::PoolParams;
use rayon::prelude::*;

/// As the twin, `cpu::pool::pool`.
pub fn pool(call: &mut Arguments) {
    let p: PoolParams = call.params();
    let [height, width, channels] = [p.height, p.width, p.channels].map(|v| v as usize);
    let [window_height, window_width] = [p.window_height, p.window_width].map(|v| v as usize);
    let (rows, columns) = (height / window_height, width / window_width);
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(columns * channels).enumerate().for_each(|(index, out)| {
        let (image, row) = (index / rows, index % rows);
        for (column, out) in out.chunks_mut(channels).enumerate() {
            out.fill(0.0);
            for dy in 0..window_height {
                let line = (image * height + row * window_height + dy) * width + column * window_width;
                for pixel in x[line * channels..][..window_width * channels].chunks(channels) {
                    out.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += value);
                }
            }
            for sum in out {
                *sum *= p.scale;
            }
        }
    });
}
