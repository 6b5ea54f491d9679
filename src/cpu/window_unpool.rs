//! Twin of `shaders/window_unpool.wgsl`.

use super::windows::Windows;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads d `[n, rows, columns, c]`; writes each value times its window's share at all cells of the window, added up,
/// `[n, h, w, c]`.
pub fn window_unpool(call: &mut Arguments) {
    let windows = Windows::new(&call.params());
    let channels = windows.channels;
    let d = call.reads[0];
    call.writes[0].par_chunks_mut(windows.width * channels).enumerate().for_each(|(line, out)| {
        let (image, y) = (line / windows.height, line % windows.height);
        let mut sums = vec![0.0f64; channels];
        for (x, out) in out.chunks_mut(channels).enumerate() {
            sums.fill(0.0);
            for [row, column] in windows.covering(y, x) {
                let share = windows.share(row, column);
                let at = ((image * windows.rows + row) * windows.columns + column) * channels;
                sums.iter_mut().zip(&d[at..]).for_each(|(sum, &d)| *sum += share * f64::from(d));
            }
            out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32);
        }
    });
}
