//! Twin of `shaders/window_pool.wgsl`.

use super::windows::Windows;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// Reads x `[n, h, w, c]`; writes the sum over each window times its share, `[n, rows, columns, c]`.
pub fn window_pool(call: &mut Arguments) {
    let windows = Windows::new(&call.params());
    let (channels, columns) = (windows.channels, windows.columns);
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(columns * channels).enumerate().for_each(|(line, out)| {
        let (image, row) = (line / windows.rows, line % windows.rows);
        let x = &x[image * windows.height * windows.width * channels..];
        for (i, out) in out.iter_mut().enumerate() {
            let (column, channel) = (i / channels, i % channels);
            let cells = windows.cells(row, column);
            let sum: f64 = cells.map(|cell| f64::from(x[cell * channels + channel])).sum();
            *out = (windows.share(row, column) * sum) as f32;
        }
    });
}
