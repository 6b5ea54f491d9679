//! Twin of `shaders/winograd_image.wgsl`: `Bᵀ d B` for every tile of 4 x 4 pixels and every channel.

use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

const B: [[f64; 4]; 4] = [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, 1.0, 0.0, -1.0]];

impl WinogradParams {
    /// Image, first row and first column of the result's pixels of a tile.
    pub(super) fn tile(&self, tile: usize) -> [usize; 3] {
        let columns = self.width as usize / 2;
        let rows = self.height as usize / 2;
        [tile / columns / rows, 2 * (tile / columns % rows), 2 * (tile % columns)]
    }
}

/// Reads the image `[n, h, w, inputs]`; writes `[16, tiles / 4, input_places, 4]`.
pub fn winograd_image(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (inputs, places, image) = (p.inputs as usize, p.input_places as usize, call.reads[0]);
    let (height, width) = (p.height as usize, p.width as usize);
    call.writes[0].fill(0.0);
    for tile in 0..p.batch as usize * height * width / 4 {
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
                let group = at * p.tiles as usize / 4 + tile / 4;
                call.writes[0][(group * places + channel) * 4 + tile % 4] = sum as f32;
            }
        }
    }
}
