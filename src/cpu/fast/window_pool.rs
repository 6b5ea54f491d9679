//! Fast form of `window_pool`: whole pixels at a time, sums in f32.

use crate::cpu::flushed;
use crate::cpu::windows::Windows;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::window_pool::window_pool`.
pub fn window_pool(call: &mut Arguments) {
    let windows = Windows::new(&call.params());
    let channels = windows.channels;
    let x = call.reads[0];
    call.writes[0].par_chunks_mut(windows.columns * channels).enumerate().for_each(|(line, out)| {
        let (image, row) = (line / windows.rows, line % windows.rows);
        let x = &x[image * windows.height * windows.width * channels..];
        for (column, out) in out.chunks_mut(channels).enumerate() {
            out.fill(0.0);
            for cell in windows.cells(row, column) {
                out.iter_mut().zip(&x[cell * channels..]).for_each(|(sum, &value)| *sum += value);
            }
            let share = windows.share(row, column) as f32;
            for sum in out {
                *sum = flushed(*sum * share);
            }
        }
    });
}
