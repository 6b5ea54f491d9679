//! Twin of `shaders/winograd_product.wgsl`: sixteen matrix products, f64 sums.

use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;
use rayon::prelude::*;

/// Reads the transformed image `[16, tiles / 4, input_places, 4]` and weight `[16, input_places / 4, output_places, 4]`;
/// writes `[16, tiles / 4, output_places, 4]`.
pub fn winograd_product(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (image, weight) = (call.reads[0], call.reads[1]);
    let (inputs, outputs) = (p.input_places as usize, p.output_places as usize);
    let groups = p.tiles as usize / 4;
    call.writes[0].par_chunks_mut(outputs * 4).enumerate().for_each(|(row, out)| {
        let (matrix, mut sums) = (row / groups, vec![0.0f64; outputs * 4]);
        for input in 0..inputs {
            let tiles = &image[(row * inputs + input) * 4..][..4];
            let weights = &weight[(matrix * inputs / 4 + input / 4) * outputs * 4..][..outputs * 4];
            for (sums, weights) in sums.chunks_mut(4).zip(weights.chunks(4)) {
                for (sum, &tile) in sums.iter_mut().zip(tiles) {
                    *sum += f64::from(tile) * f64::from(weights[input % 4]);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    });
}
