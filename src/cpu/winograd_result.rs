//! Twin of `shaders/winograd_result.wgsl`: `Aᵀ m A` for every tile and channel, and the epilogue.

use super::geometry::{element, finish};
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

const A: [[f64; 4]; 2] = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, -1.0]];

/// Reads the product, sixteen matrices tiles x outputs, and a bias or an activation like the result; writes
/// `[n, h, w, outputs]`.
pub fn winograd_result(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let epilogue = call.constant("EPILOGUE");
    let (product, beside) = (call.reads[0], call.reads[1]);
    let (outputs, tiles) = (p.outputs as usize, p.tiles as usize);
    let (height, width) = (p.height as usize, p.width as usize);
    let mut sums = vec![0.0f64; outputs];
    for tile in 0..tiles {
        let [n, y, x] = p.tile(tile);
        for pixel in 0..4 {
            let (row, column) = (A[pixel / 2], A[pixel % 2]);
            for (channel, sum) in sums.iter_mut().enumerate() {
                let value = |k: usize| f64::from(product[element(16, outputs, [k, tile, channel])]);
                *sum = (0..16).map(|k| row[k / 4] * column[k % 4] * value(k)).sum();
            }
            let at = ((n * height + y + pixel / 2) * width + x + pixel % 2) * outputs;
            finish(epilogue, &sums, beside, at, &mut call.writes[0][at..][..outputs]);
        }
    }
}
