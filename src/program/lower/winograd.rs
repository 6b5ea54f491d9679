//! Convolutions by Winograd's algorithms (Lavin and Gray, "Fast algorithms for convolutional neural networks"), for lavapipe.
//!
//! At stride 1 (`winograd_s1_*`) F(4x4, 3x3) computes a convolution and its adjoint: 36 multiplications for the 16 pixels of a
//! tile in place of 144. F(3x3, 4x4) computes the gradient by the weight: 36 for the nine taps in place of 144. Both transform
//! an image in the same way; `backward.rs` decides which side is the image.
//!
//! F(2x2, 3x3) needs 64 multiplications for 16 pixels and passes on 64 values in place of 36. It rounds less, but the points of
//! the larger tiles were chosen to round little (`cpu/winograd_s1.rs`), and larger tiles win at every size that they fit.
//!
//! At stride 2 (`winograd_s2_*`) the fine side has four phases: its even or odd rows with its even or odd columns. Each phase is a
//! convolution of its own with one or two taps in each direction. So 16 coarse pixels take 81 multiplications in place of 144
//! (`shaders/shared/winograd_s2_points.wgsl`). The coarse side is transformed once for all phases.
//!
//! One kernel could transform, multiply and transform back in registers. But on lavapipe a fetch costs as much as thirty
//! multiply-adds, and a matrix product needs the fewest fetches. So there are separate transforms around `matrix_product`, each
//! with its twin, and a batch goes through them in pieces that stay in the caches.

use super::backward::{Convolved, WeightGradient};
use super::pieces::{Piece, Pieces, aligned_images};
use super::{Lowering, TensorId};
use crate::graph::operation::codes;
use crate::graph::{Shape, Usual};
use crate::kernels::params::{ConvolutionParams, WinogradParams};
use crate::kernels::{self, Constants, Kernel};
use crate::program::MOST_GROUPS;
use bytemuck::bytes_of;

/// The algorithms win from this many channels on either side (measured; `docs/lavapipe.md` has figures).
const LEAST_CHANNELS: u32 = 16;
/// At stride 1 they win with fewer channels on one side if the other side has this many.
const MANY_CHANNELS: u32 = 32;
/// Coarse pixels along a side of a tile.
const SIDE: u32 = 4;
/// A tile with this many coarse pixels inside the image takes as many multiplications as a direct convolution, at either stride.
const FEW_PIXELS: usize = 9;

/// Multiply-adds that take as long as the transform of one value (lavapipe: 1.7 ns on a core with 14 multiply-adds per ns).
const TRANSFORMED_VALUE: usize = 24;

/// One of the algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    /// Stride 1.
    Same,
    /// Stride 2, from the fine side to the coarse one.
    Down,
    /// Stride 2, from the coarse side to the fine one.
    Up,
}

/// How a tensor is transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transform {
    /// As an image.
    Image(Algorithm),
    /// As a weight.
    Weight(Algorithm),
    /// As a weight of the adjoint.
    AdjointWeight(Algorithm),
    /// As a weight for swapped sides, for `im2col`.
    Swapped,
}

/// The kernels of an algorithm, and the numbers of elements of their transformed tiles.
struct Parts {
    weight: &'static Kernel,
    image: &'static Kernel,
    result: &'static Kernel,
    coarse: &'static Kernel,
    gradient: &'static Kernel,
    /// Elements of a transformed image.
    image_elements: usize,
    /// Elements of a transformed coarse side.
    coarse_elements: usize,
    /// Elements of a transformed weight and of a product.
    elements: usize,
}

impl Algorithm {
    fn parts(self) -> Parts {
        let halved = Parts {
            weight: &kernels::winograd_s2_weight,
            image: &kernels::winograd_s2_image,
            result: &kernels::winograd_s2_result,
            coarse: &kernels::winograd_s2_coarse,
            gradient: &kernels::winograd_s2_gradient,
            image_elements: 81,
            coarse_elements: 25,
            elements: 81,
        };
        match self {
            Self::Same => Parts {
                weight: &kernels::winograd_s1_weight,
                image: &kernels::winograd_s1_image,
                result: &kernels::winograd_s1_result,
                coarse: &kernels::winograd_s1_coarse,
                gradient: &kernels::winograd_s1_gradient,
                image_elements: 36,
                coarse_elements: 36,
                elements: 36,
            },
            Self::Down => halved,
            Self::Up => Parts { image_elements: 25, ..halved },
        }
    }
}

/// A convolution that fits an algorithm.
pub(super) struct Winograd {
    algorithm: Algorithm,
    /// The parameters of the whole batch.
    params: WinogradParams,
}

impl Winograd {
    /// `None` if the algorithms do not fit or do not pay. `adjoint` is for the adjoint, which reads the coarse side.
    pub fn new(g: Usual, p: &ConvolutionParams, adjoint: bool) -> Option<Self> {
        let [inputs, outputs] = match adjoint {
            false => [p.fine_channels, p.coarse_channels],
            true => [p.coarse_channels, p.fine_channels],
        };
        let algorithm = match (g, adjoint) {
            (Usual { size: 3, stride: 1 }, _) => Algorithm::Same,
            (Usual { size: 3, stride: 2 }, false) => Algorithm::Down,
            (Usual { size: 3, stride: 2 }, true) => Algorithm::Up,
            _ => return None,
        };
        let (batch, height, width) = (p.batch, p.height, p.width);
        let params = WinogradParams {
            batch,
            height,
            width,
            inputs,
            outputs,
            tiles: 0,
            epilogue: codes::NOTHING,
            slope: 1.0,
            adjoint: adjoint.into(),
        };
        let winograd = Self { algorithm, params };
        // The kernels take eight channels at a time.
        let fits = inputs.is_multiple_of(8) && outputs.is_multiple_of(8);
        // Tiles that are largely beyond the image win nothing.
        let few = winograd.tiles_per_image() * FEW_PIXELS <= winograd.pixels_per_image();
        let many = algorithm == Algorithm::Same && inputs.max(outputs) >= MANY_CHANNELS;
        let pays = few && (many || inputs.min(outputs) >= LEAST_CHANNELS);
        // Some kernels have a row of workgroups per tile. The smallest piece has `step` images, so their tiles must be countable.
        let countable = winograd.piece(winograd.step().min(batch as usize)).tiles <= MOST_GROUPS;
        (fits && pays && countable).then_some(winograd)
    }

    /// A piece has a multiple of this many images. Tensors of the fine side and border biases are multiples of these sizes.
    fn step(&self) -> usize {
        let [inputs, outputs] = self.channels();
        aligned_images((self.pixels_per_image() | 4) * (inputs | outputs))
    }

    /// Pixels of an image's coarse side.
    fn pixels_per_image(&self) -> usize {
        (self.params.height * self.params.width) as usize
    }

    fn tiles_per_image(&self) -> usize {
        (self.params.height.div_ceil(SIDE) * self.params.width.div_ceil(SIDE)) as usize
    }

    fn channels(&self) -> [usize; 2] {
        [self.params.inputs as usize, self.params.outputs as usize]
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether both transform an image in the same way.
    pub fn shares_image(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.params.inputs == other.params.inputs
    }

    /// Whether the batch is one piece.
    pub fn is_whole(&self) -> bool {
        pieces([Some(self), None]).all().next().is_some_and(|piece| piece.whole)
    }

    /// The cost of a gradient by the weight per element and tile, in multiply-adds: the product, with rows and columns rounded up to
    /// 16, the transform of the coarse side, and the transform of the image unless another convolution makes it.
    pub fn gradient_cost(&self, free_image: bool) -> usize {
        let [inputs, outputs] = self.channels();
        let transformed = outputs + if free_image { 0 } else { inputs };
        outputs.next_multiple_of(16) * inputs.next_multiple_of(16) + TRANSFORMED_VALUE * transformed
    }

    fn gradient_constants(&self) -> Constants {
        match self.algorithm {
            Algorithm::Same => vec![("SWAPPED", self.params.adjoint)],
            Algorithm::Down | Algorithm::Up => vec![],
        }
    }

    fn piece(&self, images: usize) -> WinogradParams {
        let tiles = (images * self.tiles_per_image()).next_multiple_of(8) as u32;
        WinogradParams { batch: images as u32, tiles, ..self.params }
    }

    /// Operations of a direct convolution of some images.
    fn flops(&self, images: usize) -> u64 {
        let pixels = images * self.pixels_per_image();
        18 * pixels as u64 * u64::from(self.params.inputs) * u64::from(self.params.outputs)
    }
}

/// The pieces of a batch, small enough for all convolutions that share the image.
fn pieces(sharing: [Option<&Winograd>; 2]) -> Pieces {
    let sharing = sharing.into_iter().flatten();
    let sizes = sharing.map(|w| {
        let ([inputs, outputs], parts) = (w.channels(), w.algorithm.parts());
        let values = (parts.image_elements * inputs).max(parts.elements * outputs);
        (w.params.batch as usize, w.tiles_per_image() * values, w.step())
    });
    let larger = |(batch, values, step): (usize, usize, usize), (_, v, s): (usize, usize, usize)| {
        // Steps are powers of two.
        (batch, values.max(v), step.max(s))
    };
    let (batch, values, step) = sizes.reduce(larger).expect("one at least");
    Pieces::new(batch, values, step)
}

impl Lowering<'_> {
    /// The calls that compute a convolution, a gradient by a weight, or both from the same image.
    pub(super) fn winograd(&mut self, convolved: Option<&Convolved>, gradient: Option<&WeightGradient>) {
        let sharing = [convolved.map(|c| &c.winograd), gradient.map(|g| &g.winograd)];
        let image = convolved.map(|c| c.reads[0]).or(gradient.map(|g| g.sides[0])).expect("one at least");
        let weight = convolved.map(|c| self.winograd_weight(&c.winograd, c.reads[1]));
        let product = gradient.map(|g| {
            let [inputs, outputs] = g.winograd.channels();
            self.matrices("product", g.y, [g.winograd.algorithm.parts().elements, outputs, inputs])
        });
        for piece in pieces(sharing).all() {
            let w = sharing[0].or(sharing[1]).expect("one at least");
            let image = self.winograd_image(w, image, piece);
            if let (Some(gradient), Some(product)) = (gradient, product) {
                self.add_weight_gradient(gradient, image, product, piece);
            }
            if let (Some(convolved), Some(weight)) = (convolved, weight) {
                self.convolve_piece(convolved, [image, weight], piece);
            }
        }
        if let (Some(WeightGradient { winograd: w, y, .. }), Some(product)) = (gradient, product) {
            let kernel = w.algorithm.parts().gradient;
            self.call(kernel, bytes_of(&w.params), w.gradient_constants(), &[product], &[*y]);
        }
    }

    /// Computes a piece of a convolution from the transformed image and weight.
    fn convolve_piece(&mut self, c: &Convolved, operands: [TensorId; 2], piece: Piece) {
        let w = &c.winograd;
        let p = WinogradParams {
            epilogue: c.epilogue.code(),
            slope: c.epilogue.slope(),
            ..w.piece(piece.images)
        };
        let extents = [w.algorithm.parts().elements, p.tiles as usize, w.params.outputs as usize];
        let product = self.matrices("product", c.y, extents);
        let own_y = self.piece(c.y, piece);
        let beside = self.beside(c.epilogue, &c.reads, product, piece);
        self.products(operands, product, false, w.flops(piece.images));
        self.call(w.algorithm.parts().result, bytes_of(&p), vec![], &[product, beside], &[own_y]);
    }

    /// Adds the share of a piece to the product that becomes the gradient by the weight.
    fn add_weight_gradient(&mut self, g: &WeightGradient, image: TensorId, product: TensorId, piece: Piece) {
        let w = &g.winograd;
        let (p, parts) = (w.piece(piece.images), w.algorithm.parts());
        let extents = [parts.coarse_elements, w.params.outputs as usize, p.tiles as usize];
        let coarse = self.matrices("coarse", g.y, extents);
        let own_coarse = self.piece(g.sides[1], piece);
        self.call(parts.coarse, bytes_of(&p), vec![], &[own_coarse], &[coarse]);
        self.products([coarse, image], product, piece.first > 0, w.flops(piece.images));
    }

    /// The transformed image of a piece of `x`. It is kept for other convolutions if the piece is the whole batch.
    fn winograd_image(&mut self, w: &Winograd, x: TensorId, piece: Piece) -> TensorId {
        let transform = Transform::Image(w.algorithm);
        if let Some(&known) = self.transformed.get(&(x, transform)).filter(|_| piece.whole) {
            return known;
        }
        let (p, parts) = (w.piece(piece.images), w.algorithm.parts());
        let extents = [parts.image_elements, p.tiles as usize, w.params.inputs as usize];
        let image = self.matrices("image", x, extents);
        let own = self.piece(x, piece);
        self.call(parts.image, bytes_of(&p), vec![], &[own], &[image]);
        if piece.whole {
            self.transformed.insert((x, transform), image);
        }
        image
    }

    /// The transformed weight `x`, kept for other calls.
    fn winograd_weight(&mut self, w: &Winograd, x: TensorId) -> TensorId {
        let transform = match w.params.adjoint {
            0 => Transform::Weight(w.algorithm),
            _ => Transform::AdjointWeight(w.algorithm),
        };
        if let Some(&known) = self.transformed.get(&(x, transform)) {
            return known;
        }
        let parts = w.algorithm.parts();
        let extents = [parts.elements, w.params.inputs as usize, w.params.outputs as usize];
        let weight = self.matrices("weight", x, extents);
        self.call(parts.weight, bytes_of(&w.params), vec![], &[x], &[weight]);
        self.transformed.insert((x, transform), weight);
        weight
    }

    /// Memory for one matrix per element of a transformed tile, in the layout of `shaders/shared/blocks.wgsl`. `extents` are the
    /// number of matrices, their rows and their columns.
    fn matrices(&mut self, what: &str, y: TensorId, extents: [usize; 3]) -> TensorId {
        let label = format!("{} {what}", self.tensors[y.0].label);
        self.fresh(label, Shape::new(&extents))
    }
}
