//! The adjoint of patches, a run of channels at a time.

use crate::cpu::patches::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::fold::fold`, with sums in f32.
pub fn fold(call: &mut Arguments) {
    let g = Geometry::new(&call.params());
    let ([height, width, channels], [rows, columns]) = (g.image, g.places);
    let d = call.reads[0];
    call.writes[0].par_chunks_mut(width * channels).enumerate().for_each(|(line, out)| {
        let (image, y) = (line / height, line % height);
        out.fill(0.0);
        for tap in 0..g.taps() {
            let Some(row) = g.place(0, y, tap / g.kernel[1]) else { continue };
            for (x, to) in out.chunks_mut(channels).enumerate() {
                let Some(column) = g.place(1, x, tap % g.kernel[1]) else { continue };
                let place = (image * rows + row) * columns + column;
                let values = &d[(place * g.taps() + tap) * channels..][..channels];
                to.iter_mut().zip(values).for_each(|(to, &value)| *to += value);
            }
        }
    });
}
