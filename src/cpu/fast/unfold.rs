//! The patches of an image, a run of channels at a time.

use crate::cpu::patches::Geometry;
use crate::kernels::Arguments;
use rayon::prelude::*;

/// As the twin, `cpu::unfold::unfold`.
pub fn unfold(call: &mut Arguments) {
    let g = Geometry::new(&call.params());
    let ([height, width, channels], [rows, columns]) = (g.image, g.places);
    let (x, patch) = (call.reads[0], g.taps() * channels);
    call.writes[0].par_chunks_mut(columns * patch).enumerate().for_each(|(line, out)| {
        let (image, row) = (line / rows, line % rows);
        for (column, patch) in out.chunks_mut(patch).enumerate() {
            for (tap, to) in patch.chunks_mut(channels).enumerate() {
                match g.source(0, row, tap / g.kernel[1]).zip(g.source(1, column, tap % g.kernel[1])) {
                    Some((y, x_at)) => {
                        let from = ((image * height + y) * width + x_at) * channels;
                        to.copy_from_slice(&x[from..][..channels]);
                    }
                    None => to.fill(0.0),
                }
            }
        }
    });
}
