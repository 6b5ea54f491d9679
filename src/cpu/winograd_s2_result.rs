//! Twin of `shaders/winograd_s2_result.wgsl`: `M m Mᵀ` for every tile and channel, and the epilogue, of the fine side phase by
//! phase, or of the coarse side, where phases are added.

use super::geometry::{element, finish};
use crate::graph::operation::codes::BORDER_BIAS_LEAKY;
use super::winograd_s2::{FINE_ELEMENTS, PHASES, Phase, RESULT, fine_element};
use super::winograd::both;
use crate::graph::Borders;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the product, 81 matrices tiles x outputs, and a bias, an activation like the result or border biases
/// `[n, 6, 6, outputs]`; writes the fine side `[n, 2h, 2w, outputs]` or the coarse side `[n, h, w, outputs]`.
pub fn winograd_s2_result(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (product, beside, outputs) = (call.reads[0], call.reads[1], p.outputs as usize);
    // What of a phase's element k goes to a channel.
    let part = |phase: [Phase; 2], tile: usize, channel: usize, k: usize| {
        let at = fine_element(phase, k).map(|k| element(FINE_ELEMENTS, outputs, [k, tile, channel]));
        at.map_or(0.0, |at| f64::from(product[at]))
    };
    for tile in 0..p.tiles as usize {
        let Some([n, y, x]) = p.tile(tile) else { continue };
        let groups: &[&[[Phase; 2]]] = match p.adjoint {
            1 => &[&PHASES[..1], &PHASES[1..2], &PHASES[2..3], &PHASES[3..]],
            _ => &[&PHASES],
        };
        for phases in groups {
            let pixels: Vec<[[f64; 4]; 4]> = (0..outputs)
                .map(|c| both(&RESULT, |k| phases.iter().map(|&phase| part(phase, tile, c, k)).sum()))
                .collect();
            for k in 0..16 {
                let [y, x] = [y + k / 4, x + k % 4];
                let Some(coarse) = p.pixel(n, y, x) else { continue };
                let sums: Vec<f64> = pixels.iter().map(|pixels| pixels[k / 4][k % 4]).collect();
                let [fine_y, fine_x] = [2 * y + phases[0][0].offset(), 2 * x + phases[0][1].offset()];
                let pixel = match p.adjoint {
                    1 => p.fine_pixel(n, fine_y, fine_x).expect("inside, as the coarse one is"),
                    _ => coarse,
                };
                let borders = Borders { stride: 2 };
                let place = [borders.class(fine_y, 2 * p.height as usize), borders.class(fine_x, 2 * p.width as usize)];
                let own = match p.epilogue {
                    BORDER_BIAS_LEAKY => (n * borders.side() + place[0]) * borders.side() + place[1],
                    _ => pixel,
                };
                let at = pixel * outputs;
                finish((p.epilogue, p.slope), &sums, beside, own * outputs, &mut call.writes[0][at..][..outputs]);
            }
        }
    }
}
