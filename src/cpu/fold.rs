//! Twin of `shaders/fold.wgsl`: f64 sums.

use super::patches::Geometry;
use crate::kernels::Arguments;

/// Reads d `[n, rows, columns, taps · c]`; writes the sum of each value's places, `[n, h, w, c]`.
pub fn fold(call: &mut Arguments) {
    let g = Geometry::new(&call.params());
    let ([height, width, channels], [rows, columns]) = (g.image, g.places);
    let d = call.reads[0];
    for (i, out) in call.writes[0].iter_mut().enumerate() {
        let (channel, pixel) = (i % channels, i / channels);
        let (x, line) = (pixel % width, pixel / width);
        let (y, image) = (line % height, line / height);
        let mut sum = 0.0f64;
        for tap in 0..g.taps() {
            let place = g.place(0, y, tap / g.kernel[1]).zip(g.place(1, x, tap % g.kernel[1]));
            if let Some((row, column)) = place {
                let place = (image * rows + row) * columns + column;
                sum += f64::from(d[(place * g.taps() + tap) * channels + channel]);
            }
        }
        *out = sum as f32;
    }
}
