//! Twin of `shaders/winograd_s1_image.wgsl`: `M d Mᵀ` for every tile of 6 x 6 pixels and every channel.

use super::geometry::element;
use super::winograd::both;
use super::winograd_s1::{ELEMENTS, IMAGE};
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the image `[n, h, w, inputs]`; writes 36 matrices tiles x inputs.
pub fn winograd_s1_image(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (inputs, image) = (p.inputs as usize, call.reads[0]);
    for (tile, channel) in (0..p.tiles as usize).flat_map(|tile| (0..inputs).map(move |c| (tile, c))) {
        let value = |k: usize| {
            let pixel = p.tile(tile).and_then(|[n, y, x]| {
                p.pixel(n, (y + k / 6).wrapping_sub(1), (x + k % 6).wrapping_sub(1))
            });
            pixel.map_or(0.0, |pixel| f64::from(image[pixel * inputs + channel]))
        };
        for (at, value) in both(&IMAGE, value).into_iter().flatten().enumerate() {
            call.writes[0][element(ELEMENTS, inputs, [at, tile, channel])] = value as f32;
        }
    }
}
