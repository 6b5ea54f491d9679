//! Twin of `shaders/phase_coarse.wgsl`: `M d Mᵀ` for every tile of 4 x 4 pixels and every channel.

use super::geometry::element;
use super::phases::{COARSE, COARSE_ELEMENTS};
use super::winograd::both;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the coarse side `[n, h, w, outputs]`; writes 25 matrices outputs x tiles.
pub fn phase_coarse(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (outputs, tiles, coarse) = (p.outputs as usize, p.tiles as usize, call.reads[0]);
    for (tile, channel) in (0..tiles).flat_map(|tile| (0..outputs).map(move |c| (tile, c))) {
        let value = |k: usize| {
            let pixel = p.tile(tile).and_then(|[n, y, x]| p.pixel(n, y + k / 4, x + k % 4));
            pixel.map_or(0.0, |pixel| f64::from(coarse[pixel * outputs + channel]))
        };
        for (at, value) in both(&COARSE, value).into_iter().flatten().enumerate() {
            call.writes[0][element(COARSE_ELEMENTS, tiles, [at, channel, tile])] = value as f32;
        }
    }
}
