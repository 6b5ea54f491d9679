//! Twin of `shaders/winograd_s2_image.wgsl`: `M d Mᵀ` for every tile of 5 x 5 pixels and every channel, of the fine side phase by
//! phase, or of the coarse side once.

use super::geometry::element;
use super::winograd_s2::{COARSE_ELEMENTS, FINE_ELEMENTS, IMAGE, PHASES, fine_element};
use super::winograd::both;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the fine side `[n, 2h, 2w, inputs]` and writes 81 matrices tiles x inputs, or reads the coarse side
/// `[n, h, w, inputs]` and writes 25.
pub fn winograd_s2_image(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (inputs, image, up) = (p.inputs as usize, call.reads[0], p.adjoint == 1);
    for (tile, channel) in (0..p.tiles as usize).flat_map(|tile| (0..inputs).map(move |c| (tile, c))) {
        let at = |pixel: Option<usize>| pixel.map_or(0.0, |pixel| f64::from(image[pixel * inputs + channel]));
        if up {
            let value = |k: usize| at(p.tile(tile).and_then(|[n, y, x]| p.pixel(n, y + k / 5, x + k % 5)));
            for (k, value) in both(&IMAGE, value).into_iter().flatten().enumerate() {
                call.writes[0][element(COARSE_ELEMENTS, inputs, [k, tile, channel])] = value as f32;
            }
            continue;
        }
        for phase in PHASES {
            // Odd phases begin one pixel before the first.
            let [above, left] = phase.map(super::winograd_s2::Phase::offset);
            let value = |k: usize| {
                at(p.tile(tile).and_then(|[n, y, x]| {
                    let [y, x] = [2 * (y + k / 5), 2 * (x + k % 5)];
                    p.fine_pixel(n, y.wrapping_sub(above), x.wrapping_sub(left))
                }))
            };
            for (k, value) in both(&IMAGE, value).into_iter().flatten().enumerate() {
                let Some(k) = fine_element(phase, k) else { continue };
                call.writes[0][element(FINE_ELEMENTS, inputs, [k, tile, channel])] = value as f32;
            }
        }
    }
}
