//! Fast form of `max_unpool`: every window looks for its largest keys once, whole pixels at a time, and adds its values
//! there; threads take images.

use crate::cpu::simd;
use crate::cpu::windows::{Windows, wins};
use crate::kernels::Arguments;
use rayon::prelude::*;

/// The largest keys of a window so far, and their cells, per channel.
struct Best {
    largest: Vec<f32>,
    cells: Vec<u32>,
}

/// As the twin, `cpu::max_unpool::max_unpool`.
pub fn max_unpool(call: &mut Arguments) {
    let windows = Windows::new(&call.params());
    let channels = windows.channels;
    let (d, keys) = (call.reads[0], call.reads[1]);
    let (large, small) = (windows.height * windows.width, windows.rows * windows.columns);
    call.writes[0].par_chunks_mut(large * channels).enumerate().for_each(|(image, out)| {
        let keys = windows.keys(keys, image);
        let d = &d[image * small * channels..];
        let mut best = Best { largest: vec![0.0; channels], cells: vec![0; channels] };
        out.fill(0.0);
        for window in 0..small {
            best.find(&windows, keys, window / windows.columns, window % windows.columns);
            let d = &d[window * channels..][..channels];
            for (channel, (&cell, &d)) in best.cells.iter().zip(d).enumerate() {
                out[cell as usize * channels + channel] += d;
            }
        }
        simd::flush(out);
    });
}

impl Best {
    fn find(&mut self, windows: &Windows, keys: &[f32], row: usize, column: usize) {
        let channels = windows.channels;
        for (i, cell) in windows.cells(row, column).enumerate() {
            let keys = &keys[cell * channels..][..channels];
            let cell = cell as u32;
            if i == 0 {
                self.largest.copy_from_slice(keys);
                self.cells.fill(cell);
                continue;
            }
            for ((largest, own), &key) in self.largest.iter_mut().zip(&mut self.cells).zip(keys) {
                let won = wins(key, *largest);
                *own = if won { cell } else { *own };
                *largest = if won { key } else { *largest };
            }
        }
    }
}
