//! Twin of `shaders/max_pool.wgsl`.

use super::windows::Windows;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads x `[n, h, w, c]` and keys of the same images, repeated over the batch; writes from each window the value where
/// the keys are largest, `[n, rows, columns, c]`.
pub fn max_pool(call: &mut Arguments) {
    let windows = Windows::new(&call.params());
    let (channels, columns) = (windows.channels, windows.columns);
    let (x, keys) = (call.reads[0], call.reads[1]);
    call.writes[0].par_chunks_mut(columns * channels).enumerate().for_each(|(line, out)| {
        let (image, row) = (line / windows.rows, line % windows.rows);
        let x = &x[image * windows.height * windows.width * channels..];
        let keys = windows.keys(keys, image);
        for (i, out) in out.iter_mut().enumerate() {
            let (column, channel) = (i / channels, i % channels);
            *out = x[windows.winner(keys, row, column, channel) * channels + channel];
        }
    });
}
