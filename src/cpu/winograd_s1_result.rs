//! Twin of `shaders/winograd_s1_result.wgsl`: `M m Mᵀ` for every tile and channel, and the epilogue.

use super::geometry::{element, finish};
use super::winograd::both;
use super::winograd_s1::{ELEMENTS, RESULT};
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the product, 36 matrices tiles x outputs, and a bias or an activation like the result; writes
/// `[n, h, w, outputs]`.
pub fn winograd_s1_result(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (product, beside, outputs) = (call.reads[0], call.reads[1], p.outputs as usize);
    for tile in 0..p.tiles as usize {
        let Some([n, y, x]) = p.tile(tile) else { continue };
        let pixels: Vec<[[f64; 4]; 4]> = (0..outputs)
            .map(|c| both(&RESULT, |k| f64::from(product[element(ELEMENTS, outputs, [k, tile, c])])))
            .collect();
        for k in 0..16 {
            let Some(pixel) = p.pixel(n, y + k / 4, x + k % 4) else { continue };
            let sums: Vec<f64> = pixels.iter().map(|pixels| pixels[k / 4][k % 4]).collect();
            let at = pixel * outputs;
            finish((p.epilogue, p.slope), &sums, beside, at, &mut call.writes[0][at..][..outputs]);
        }
    }
}
