//! Twin of `shaders/unpool.wgsl`.

use crate::kernels::Arguments;
use crate::kernels::params::PoolParams;
use rayon::prelude::*;

/// Reads d `[n, h / wh, w / ww, c]` and the mask `[n, h, w, c]`; writes d spread over its windows.
pub fn unpool(call: &mut Arguments) {
    let p: PoolParams = call.params();
    let masked = call.constant("MASK") == 1;
    let [height, width, channels] = [p.height, p.width, p.channels].map(|v| v as usize);
    let [window_height, window_width] = [p.window_height, p.window_width].map(|v| v as usize);
    let (rows, columns) = (height / window_height, width / window_width);
    let (d, mask) = (call.reads[0], call.reads[1]);
    call.writes[0].par_chunks_mut(width * channels).enumerate().for_each(|(index, out)| {
        let (image, y) = (index / height, index % height);
        for (i, out) in out.iter_mut().enumerate() {
            let (x, channel) = (i / channels, i % channels);
            let (row, column) = (y / window_height, x / window_width);
            let inside = row < rows && column < columns;
            let mut value = 0.0;
            if inside {
                value = p.scale * d[((image * rows + row) * columns + column) * channels + channel];
            }
            if masked && mask[index * width * channels + i] <= 0.0 {
                value *= p.slope;
            }
            *out = value;
        }
    });
}
