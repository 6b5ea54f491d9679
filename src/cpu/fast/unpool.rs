//! Fast form of `unpool`: whole pixels at a time, so that the channels of a pixel go through vectors.

use crate::kernels::Arguments;
use crate::kernels::params::PoolParams;
use rayon::prelude::*;

/// As the twin, `cpu::unpool::unpool`, to the bit.
pub fn unpool(call: &mut Arguments) {
    let p: PoolParams = call.params();
    let masked = call.constant("MASK") == 1;
    let [height, width, channels] = [p.height, p.width, p.channels].map(|v| v as usize);
    let [window_height, window_width] = [p.window_height, p.window_width].map(|v| v as usize);
    let (rows, columns) = (height / window_height, width / window_width);
    let (d, mask) = (call.reads[0], call.reads[1]);
    // In locals, so that the loops need no branch.
    let (scale, slope) = (p.scale, p.slope);
    call.writes[0].par_chunks_mut(width * channels).enumerate().for_each(move |(index, out)| {
        let (image, row) = (index / height, index % height / window_height);
        for (x, out) in out.chunks_mut(channels).enumerate() {
            let column = x / window_width;
            if row < rows && column < columns {
                let d = &d[((image * rows + row) * columns + column) * channels..][..channels];
                out.iter_mut().zip(d).for_each(|(out, &d)| *out = scale * d);
            } else {
                out.fill(0.0);
            }
        }
        if masked {
            for (out, &mask) in out.iter_mut().zip(&mask[index * width * channels..]) {
                *out *= if mask <= 0.0 { slope } else { 1.0 };
            }
        }
    });
}
