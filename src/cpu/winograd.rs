//! Shared by the twins of all Winograd kernels: the geometry of tiles, and the transforms that differ only in their matrix. The matrices of
//! stride 1 are in `winograd_s1.rs`, those of stride 2 in `winograd_s2.rs`.

use super::geometry::element;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// `M w Mᵀ` for every pair of channels: reads the weight `[3, 3, a, b]`, writes R² matrices inputs x outputs.
pub fn weight<const R: usize>(call: &mut Arguments, matrix: &[[f64; 3]; R]) {
    let p: WinogradParams = call.params();
    let (adjoint, weight) = (p.adjoint == 1, call.reads[0]);
    let (inputs, outputs) = (p.inputs as usize, p.outputs as usize);
    for (input, output) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
        let tap = |tap: usize| {
            f64::from(match adjoint {
                false => weight[(tap * inputs + input) * outputs + output],
                true => weight[((8 - tap) * outputs + output) * inputs + input],
            })
        };
        for (at, value) in both(matrix, tap).into_iter().flatten().enumerate() {
            call.writes[0][element(R * R, outputs, [at, input, output])] = value as f32;
        }
    }
}

/// `M d Mᵀ` for every tile of 4 x 4 pixels and every channel: reads the coarse side `[n, h, w, outputs]`, writes R² matrices
/// outputs x tiles.
pub fn coarse<const R: usize>(call: &mut Arguments, matrix: &[[f64; 4]; R]) {
    let p: WinogradParams = call.params();
    let (outputs, tiles, coarse) = (p.outputs as usize, p.tiles as usize, call.reads[0]);
    for (tile, channel) in (0..tiles).flat_map(|tile| (0..outputs).map(move |c| (tile, c))) {
        let value = |k: usize| {
            let pixel = p.tile(tile).and_then(|[n, y, x]| p.pixel(n, y + k / 4, x + k % 4));
            pixel.map_or(0.0, |pixel| f64::from(coarse[pixel * outputs + channel]))
        };
        for (at, value) in both(matrix, value).into_iter().flatten().enumerate() {
            call.writes[0][element(R * R, tiles, [at, channel, tile])] = value as f32;
        }
    }
}

/// `M m Mᵀ` for every pair of channels: reads the product, C² matrices outputs x inputs, writes the gradient
/// `[3, 3, inputs, outputs]`, or with `swapped` `[3, 3, outputs, inputs]` and the last tap first.
pub fn gradient<const C: usize>(call: &mut Arguments, matrix: &[[f64; C]; 3], swapped: bool) {
    let p: WinogradParams = call.params();
    let (inputs, outputs, product) = (p.inputs as usize, p.outputs as usize, call.reads[0]);
    for (input, output) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
        let value = |k: usize| f64::from(product[element(C * C, inputs, [k, output, input])]);
        for (tap, value) in both(matrix, value).into_iter().flatten().enumerate() {
            let at = match swapped {
                false => (tap * inputs + input) * outputs + output,
                true => ((8 - tap) * outputs + output) * inputs + input,
            };
            call.writes[0][at] = value as f32;
        }
    }
}

/// `M v Mᵀ`, for `v` of C x C values.
pub fn both<const R: usize, const C: usize>(
    matrix: &[[f64; C]; R],
    values: impl Fn(usize) -> f64,
) -> [[f64; R]; R] {
    let values: [[f64; C]; C] = std::array::from_fn(|row| std::array::from_fn(|k| values(row * C + k)));
    let dot = |a: &[f64; C], b: [f64; C]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let half: [[f64; C]; R] = std::array::from_fn(|row| {
        std::array::from_fn(|k| dot(&matrix[row], std::array::from_fn(|i| values[i][k])))
    });
    std::array::from_fn(|row| std::array::from_fn(|column| dot(&matrix[column], half[row])))
}

impl WinogradParams {
    /// Image, first row and first column of the coarse pixels of a tile; `None` for those beyond the last one.
    pub(super) fn tile(&self, tile: usize) -> Option<[usize; 3]> {
        let [columns, rows] = [self.width, self.height].map(|extent| extent.div_ceil(4) as usize);
        let image = tile / columns / rows;
        (image < self.batch as usize).then(|| [image, 4 * (tile / columns % rows), 4 * (tile % columns)])
    }

    /// Which pixel this is, if it is inside.
    pub(super) fn pixel(&self, image: usize, y: usize, x: usize) -> Option<usize> {
        let [height, width] = [self.height, self.width].map(|extent| extent as usize);
        // Rows and columns before the first one wrap around.
        (y < height && x < width).then(|| (image * height + y) * width + x)
    }

    /// Which pixel of the fine side at stride 2 this is, if it is inside.
    pub(super) fn fine_pixel(&self, image: usize, y: usize, x: usize) -> Option<usize> {
        Self { height: 2 * self.height, width: 2 * self.width, ..*self }.pixel(image, y, x)
    }
}
