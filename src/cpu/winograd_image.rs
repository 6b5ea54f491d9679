//! Twin of `shaders/winograd_image.wgsl`: `Bᵀ d B` for every tile of 4 x 4 pixels and every channel.

use super::geometry::element;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

const B: [[f64; 4]; 4] = [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, 1.0, 0.0, -1.0]];

impl WinogradParams {
    /// Image, first row and first column of the coarse pixels of a tile.
    pub(super) fn tile(&self, tile: usize) -> [usize; 3] {
        let columns = self.width as usize / 2;
        let rows = self.height as usize / 2;
        [tile / columns / rows, 2 * (tile / columns % rows), 2 * (tile % columns)]
    }
}

/// Reads the image `[n, h, w, inputs]`; writes sixteen matrices tiles x inputs.
pub fn winograd_image(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (inputs, tiles, image) = (p.inputs as usize, p.tiles as usize, call.reads[0]);
    let (height, width) = (p.height as usize, p.width as usize);
    for tile in 0..tiles {
        let [n, y, x] = p.tile(tile);
        for channel in 0..inputs {
            let pixel = |k: usize| match ((y + k / 4).checked_sub(1), (x + k % 4).checked_sub(1)) {
                (Some(y), Some(x)) if y < height && x < width => {
                    f64::from(image[((n * height + y) * width + x) * inputs + channel])
                }
                _ => 0.0,
            };
            let pixels: [f64; 16] = std::array::from_fn(pixel);
            for at in 0..16 {
                let (row, column) = (B[at / 4], B[at % 4]);
                let sum: f64 = (0..16).map(|k| row[k / 4] * column[k % 4] * pixels[k]).sum();
                call.writes[0][element(16, inputs, [at, tile, channel])] = sum as f32;
            }
        }
    }
}
