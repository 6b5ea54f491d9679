//! Twin of `shaders/unfold.wgsl`.

use super::patches::Geometry;
use crate::kernels::Arguments;

/// Reads x `[n, h, w, c]`; writes what the kernel meets at each place, `[n, rows, columns, taps · c]`.
pub fn unfold(call: &mut Arguments) {
    let g = Geometry::new(&call.params());
    let ([height, width, channels], [rows, columns]) = (g.image, g.places);
    let x = call.reads[0];
    for (i, out) in call.writes[0].iter_mut().enumerate() {
        let (channel, of_tap) = (i % channels, i / channels);
        let (tap, place) = (of_tap % g.taps(), of_tap / g.taps());
        let (column, line) = (place % columns, place / columns);
        let (row, image) = (line % rows, line / rows);
        let source = g.source(0, row, tap / g.kernel[1]).zip(g.source(1, column, tap % g.kernel[1]));
        *out = source.map_or(0.0, |(y, x_at)| x[((image * height + y) * width + x_at) * channels + channel]);
    }
}
