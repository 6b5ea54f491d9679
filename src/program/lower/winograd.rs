//! Convolutions by Winograd's algorithms (Lavin and Gray, "Fast algorithms for convolutional neural networks"): F(4x4, 3x3)
//! for a convolution and its adjoint, 36 multiplications for the 16 pixels of a tile instead of 144, and F(3x3, 4x4)
//! for the gradient by the weight, 36 for the nine taps instead of 144. Both transform the fine side alike.
//!
//! F(2x2, 3x3) needs 64 for 16 pixels and passes on 64 values instead of 36; it rounds less, but at points that were chosen for
//! it the larger tiles round little enough (`cpu/winograd.rs`), and they win at every size that they fit at all.
//!
//! Two ways were weighed: one kernel that transforms, multiplies and transforms back in registers, and kernels of their own
//! with the transformed tensors between them. On the adapter that this is for a fetch costs as much as thirty
//! multiply-adds, and a plain matrix product needs the fewest. So it is transforms around `matrix_product`, each with
//! its twin, and the batch goes through them in pieces whose tensors stay in the caches.

use super::pieces::{Piece, Pieces, aligned_images};
use super::{Lowering, TensorId};
use crate::graph::{Convolution, Epilogue, Shape};
use crate::kernels;
use crate::kernels::params::{ConvolutionParams, WinogradParams};
use bytemuck::bytes_of;

/// Fewest channels of either side for which the algorithms were seen to win (`shaders/README.md` has the figures).
const LEAST_CHANNELS: u32 = 16;
/// Elements of a transformed tile.
const ELEMENTS: usize = 36;
/// Pixels of a side of a tile.
const SIDE: u32 = 4;

/// How a tensor is transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transform {
    /// As the fine side.
    Image,
    /// As a weight.
    Weight,
    /// As a weight of the adjoint.
    TurnedWeight,
}

/// A convolution that the algorithms can compute.
pub(super) struct Winograd {
    /// Of the whole batch.
    params: WinogradParams,
}

impl Winograd {
    /// `None` if the algorithms do not fit or do not pay. `turned` exchanges the sides, for the adjoint.
    pub fn new(g: Convolution, p: &ConvolutionParams, turned: bool) -> Option<Self> {
        let [inputs, outputs] = match turned {
            false => [p.in_channels, p.out_channels],
            true => [p.out_channels, p.in_channels],
        };
        let (batch, height, width) = (p.batch, p.height, p.width);
        let params = WinogradParams { batch, height, width, inputs, outputs, tiles: 0, epilogue: 0 };
        let winograd = Self { params };
        // The kernels take eight channels at a time.
        let eights = inputs.is_multiple_of(8) && outputs.is_multiple_of(8);
        let fits = g == (Convolution { size: 3, stride: 1 }) && eights;
        // Where much of the tiles is beyond the image there is nothing to win.
        let few = winograd.tiles_per_image() * ELEMENTS <= 4 * winograd.pixels_per_image();
        let pays = few && inputs.min(outputs) >= LEAST_CHANNELS;
        (fits && pays).then_some(winograd)
    }

    fn pixels_per_image(&self) -> usize {
        (self.params.height * self.params.width) as usize
    }

    fn tiles_per_image(&self) -> usize {
        (self.params.height.div_ceil(SIDE) * self.params.width.div_ceil(SIDE)) as usize
    }

    /// The batch in pieces whose transformed tensors are of a moderate size.
    fn pieces(&self) -> Pieces {
        let [inputs, outputs] = [self.params.inputs, self.params.outputs].map(|channels| channels as usize);
        let step = aligned_images(self.pixels_per_image() * (inputs | outputs));
        let image = ELEMENTS * self.tiles_per_image() * inputs.max(outputs);
        Pieces::new(self.params.batch as usize, image, step)
    }

    fn piece(&self, images: usize) -> WinogradParams {
        let tiles = (images * self.tiles_per_image()).next_multiple_of(8) as u32;
        WinogradParams { batch: images as u32, tiles, ..self.params }
    }

    /// What a direct convolution would need for some images.
    fn flops(&self, images: usize) -> u64 {
        let pixels = images * self.pixels_per_image();
        18 * pixels as u64 * u64::from(self.params.inputs) * u64::from(self.params.outputs)
    }
}

impl Lowering<'_> {
    /// Calls that compute `y` from image, weight and, where the epilogue has one, a third operand.
    pub(super) fn winograd(
        &mut self,
        w: &Winograd,
        epilogue: Epilogue,
        turned: bool,
        reads: &[TensorId],
        y: TensorId,
    ) {
        let weight = self.winograd_weight(w, turned, reads[1]);
        for piece in w.pieces().all() {
            let images = piece.images;
            let p = WinogradParams { epilogue: epilogue as u32, ..w.piece(images) };
            let image = self.winograd_image(w, reads[0], piece);
            let product = self.matrices("product", y, [p.tiles as usize, w.params.outputs as usize]);
            let own_y = self.piece(y, piece);
            let beside = self.beside(epilogue, reads, product, piece);
            self.products([image, weight], product, false, w.flops(images));
            self.call(&kernels::winograd_result, bytes_of(&p), vec![], &[product, beside], &[own_y]);
        }
    }

    /// Calls that compute the gradient by the weight from the fine and the coarse side.
    pub(super) fn winograd_weight_gradient(&mut self, w: &Winograd, reads: &[TensorId], y: TensorId) {
        let [inputs, outputs] = [w.params.inputs, w.params.outputs].map(|channels| channels as usize);
        let product = self.matrices("product", y, [outputs, inputs]);
        for piece in w.pieces().all() {
            let images = piece.images;
            let p = w.piece(images);
            let image = self.winograd_image(w, reads[0], piece);
            let coarse = self.matrices("coarse", y, [outputs, p.tiles as usize]);
            let own_coarse = self.piece(reads[1], piece);
            self.call(&kernels::winograd_coarse, bytes_of(&p), vec![], &[own_coarse], &[coarse]);
            self.products([coarse, image], product, piece.first > 0, w.flops(images));
        }
        self.call(&kernels::winograd_gradient, bytes_of(&w.params), vec![], &[product], &[y]);
    }

    /// A piece of `x`, transformed; kept if it is the whole batch.
    fn winograd_image(&mut self, w: &Winograd, x: TensorId, piece: Piece) -> TensorId {
        if let Some(&known) = self.transformed.get(&(x, Transform::Image)).filter(|_| piece.whole) {
            return known;
        }
        let p = w.piece(piece.images);
        let image = self.matrices("image", x, [p.tiles as usize, w.params.inputs as usize]);
        let own = self.piece(x, piece);
        self.call(&kernels::winograd_image, bytes_of(&p), vec![], &[own], &[image]);
        if piece.whole {
            self.transformed.insert((x, Transform::Image), image);
        }
        image
    }

    /// The weight `x`, transformed.
    fn winograd_weight(&mut self, w: &Winograd, turned: bool, x: TensorId) -> TensorId {
        let transform = if turned { Transform::TurnedWeight } else { Transform::Weight };
        if let Some(&known) = self.transformed.get(&(x, transform)) {
            return known;
        }
        let weight = self.matrices("weight", x, [w.params.inputs as usize, w.params.outputs as usize]);
        let constants = vec![("TURNED", u32::from(turned))];
        self.call(&kernels::winograd_weight, bytes_of(&w.params), constants, &[x], &[weight]);
        self.transformed.insert((x, transform), weight);
        weight
    }

    /// Memory for one matrix per element of a transformed tile; extents say how large it is, its layout is that of
    /// `shaders/shared/blocks.wgsl`.
    fn matrices(&mut self, what: &str, y: TensorId, [rows, columns]: [usize; 2]) -> TensorId {
        let label = format!("{} {what}", self.tensors[y.0].label);
        self.fresh(label, Shape::new(&[ELEMENTS, rows, columns]))
    }
}
