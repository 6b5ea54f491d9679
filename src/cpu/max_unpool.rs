//! Twin of `shaders/max_unpool.wgsl`.

use super::windows::Windows;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads d `[n, rows, columns, c]` and keys of images of the large side, repeated over the batch; writes each value where
/// its window's keys are largest, added up, `[n, h, w, c]`.
pub fn max_unpool(call: &mut Arguments) {
    let windows = Windows::new(&call.params());
    let channels = windows.channels;
    let (d, keys) = (call.reads[0], call.reads[1]);
    call.writes[0].par_chunks_mut(windows.width * channels).enumerate().for_each(|(line, out)| {
        let (image, y) = (line / windows.height, line % windows.height);
        let keys = windows.keys(keys, image);
        for (i, out) in out.iter_mut().enumerate() {
            let (x, channel) = (i / channels, i % channels);
            let own = |&[row, column]: &[usize; 2]| {
                windows.winner(keys, row, column, channel) == y * windows.width + x
            };
            let at = |[row, column]: [usize; 2]| ((image * windows.rows + row) * windows.columns + column) * channels;
            let sum: f64 =
                windows.covering(y, x).filter(own).map(|window| f64::from(d[at(window) + channel])).sum();
            *out = sum as f32;
        }
    });
}
