//! Twin of `shaders/winograd_coarse.wgsl`: `H d Hᵀ` for every tile of 2 x 2 pixels and every channel.

use super::geometry::element;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

const H: [[f64; 2]; 4] = [[1.0, 0.0], [0.5, 0.5], [0.5, -0.5], [0.0, 1.0]];

/// Reads the coarse side `[n, h, w, outputs]`; writes sixteen matrices outputs x tiles.
pub fn winograd_coarse(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (outputs, tiles, coarse) = (p.outputs as usize, p.tiles as usize, call.reads[0]);
    let (height, width) = (p.height as usize, p.width as usize);
    for tile in 0..tiles {
        let [n, y, x] = p.tile(tile);
        for channel in 0..outputs {
            let pixel = |k: usize| {
                f64::from(coarse[((n * height + y + k / 2) * width + x + k % 2) * outputs + channel])
            };
            for at in 0..16 {
                let (row, column) = (H[at / 4], H[at % 4]);
                let sum: f64 = (0..4).map(|k| row[k / 2] * column[k % 2] * pixel(k)).sum();
                call.writes[0][element(16, tiles, [at, channel, tile])] = sum as f32;
            }
        }
    }
}
