//! Fast form of `max_pool`: whole pixels at a time.

use crate::cpu::simd;
use crate::cpu::windows::{Windows, wins};
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::max_pool::max_pool`, to the bit.
pub fn max_pool(call: &mut Arguments) {
    let windows = Windows::new(&call.params());
    let channels = windows.channels;
    let (x, keys) = (call.reads[0], call.reads[1]);
    let line = windows.columns * channels;
    call.writes[0].par_chunks_mut(line).enumerate().for_each_init(
        || vec![0.0f32; channels],
        |largest, (line, out)| {
            let (image, row) = (line / windows.rows, line % windows.rows);
            let x = &x[image * windows.height * windows.width * channels..];
            let keys = windows.keys(keys, image);
            for (column, out) in out.chunks_mut(channels).enumerate() {
                for (i, cell) in windows.cells(row, column).enumerate() {
                    let (x, keys) = (&x[cell * channels..][..channels], &keys[cell * channels..][..channels]);
                    if i == 0 {
                        out.copy_from_slice(x);
                        largest.copy_from_slice(keys);
                        continue;
                    }
                    let best = out.iter_mut().zip(largest.iter_mut());
                    for ((out, largest), (&x, &key)) in best.zip(x.iter().zip(keys)) {
                        let won = wins(key, *largest);
                        *out = if won { x } else { *out };
                        *largest = if won { key } else { *largest };
                    }
                }
            }
            simd::flush(out);
        },
    );
}
