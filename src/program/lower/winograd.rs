//! Convolutions by Winograd's algorithms (Lavin and Gray, "Fast algorithms for convolutional neural networks"), at stride 1
//! F(4x4, 3x3) for a convolution and its adjoint, 36 multiplications for the 16 pixels of a tile instead of 144, and F(3x3, 4x4)
//! for the gradient by the weight, 36 for the nine taps instead of 144. Both transform an image alike; `backward.rs` says of which side.
//!
//! F(2x2, 3x3) needs 64 for 16 pixels and passes on 64 values instead of 36; it rounds less, but at points that were chosen for
//! it the larger tiles round little enough (`cpu/winograd_s1.rs`), and they win at every size that they fit at all.
//!
//! At stride 2 each of the fine side's four phases, its even or odd rows and its even or odd columns, is a convolution of its
//! own with one or two taps either way, so that 16 coarse pixels take 81 multiplications instead of 144
//! (`shaders/shared/winograd_s2_points.wgsl`). The coarse side is transformed once for all of them.
//!
//! Two ways were weighed: one kernel that transforms, multiplies and transforms back in registers, and kernels of their own
//! with the transformed tensors between them. On the adapter that this is for a fetch costs as much as thirty
//! multiply-adds, and a plain matrix product needs the fewest. So it is transforms around `matrix_product`, each with
//! its twin, and the batch goes through them in pieces whose tensors stay in the caches.

use super::backward::{Convolved, WeightGradient};
use super::pieces::{Piece, Pieces, aligned_images};
use super::{Lowering, TensorId};
use crate::graph::operation::codes;
use crate::graph::{Plain, Shape};
use crate::kernels::params::{ConvolutionParams, WinogradParams};
use crate::kernels::{self, Constants, Kernel};
use bytemuck::bytes_of;

/// Fewest channels of either side for which the algorithms were seen to win (`shaders/README.md` has the figures).
const LEAST_CHANNELS: u32 = 16;
/// At stride 1 they win with fewer on one side if the other has so many.
const MANY_CHANNELS: u32 = 32;
/// Pixels of a side of a tile, counted on the coarse side.
const SIDE: u32 = 4;
/// Coarse pixels of a tile for which it takes as many multiplications as without these algorithms, at either stride.
const FEW_PIXELS: usize = 9;

/// Multiply-adds of a product that take as long as one value of a transformed image or coarse side (lavapipe; 1.7 ns on a core
/// that multiplies at 14 per ns).
const TRANSFORMED_VALUE: usize = 24;

/// Which of the algorithms.
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
    TurnedWeight(Algorithm),
    /// As a weight whose sides are exchanged, without these algorithms.
    Exchanged,
}

/// Kernels, and elements of what they transform.
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

/// A convolution that the algorithms can compute.
pub(super) struct Winograd {
    algorithm: Algorithm,
    /// Of the whole batch.
    params: WinogradParams,
}

impl Winograd {
    /// `None` if the algorithms do not fit or do not pay. `turned` exchanges the sides, for the adjoint.
    pub fn new(g: Plain, p: &ConvolutionParams, turned: bool) -> Option<Self> {
        let [inputs, outputs] = match turned {
            false => [p.in_channels, p.out_channels],
            true => [p.out_channels, p.in_channels],
        };
        let algorithm = match (g, turned) {
            (Plain { size: 3, stride: 1 }, _) => Algorithm::Same,
            (Plain { size: 3, stride: 2 }, false) => Algorithm::Down,
            (Plain { size: 3, stride: 2 }, true) => Algorithm::Up,
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
            turned: turned.into(),
        };
        let winograd = Self { algorithm, params };
        // The kernels take eight channels at a time.
        let fits = inputs.is_multiple_of(8) && outputs.is_multiple_of(8);
        // Where much of the tiles is beyond the image there is nothing to win.
        let few = winograd.tiles_per_image() * FEW_PIXELS <= winograd.pixels_per_image();
        let many = algorithm == Algorithm::Same && inputs.max(outputs) >= MANY_CHANNELS;
        let pays = few && (many || inputs.min(outputs) >= LEAST_CHANNELS);
        (fits && pays).then_some(winograd)
    }

    /// Pixels of the coarse side.
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

    /// Whether both transform the same image in the same way.
    pub fn shares_image(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.params.inputs == other.params.inputs
    }

    /// Whether the batch is one piece.
    pub fn is_whole(&self) -> bool {
        pieces([Some(self), None]).all().next().is_some_and(|piece| piece.whole)
    }

    /// What a gradient by the weight takes per element and tile, in multiply-adds: the product, whose rows and columns are
    /// taken 16 at a time at least, the coarse side's transform and, unless another convolution has it made anyway, the image's.
    pub fn gradient_cost(&self, free_image: bool) -> usize {
        let [inputs, outputs] = self.channels();
        let transformed = outputs + if free_image { 0 } else { inputs };
        outputs.next_multiple_of(16) * inputs.next_multiple_of(16) + TRANSFORMED_VALUE * transformed
    }

    fn gradient_constants(&self) -> Constants {
        match self.algorithm {
            Algorithm::Same => vec![("TURNED", self.params.turned)],
            Algorithm::Down | Algorithm::Up => vec![],
        }
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

/// A batch in pieces whose transformed tensors are of a moderate size for all convolutions that share its image.
fn pieces(sharing: [Option<&Winograd>; 2]) -> Pieces {
    let sharing = sharing.into_iter().flatten();
    let sizes = sharing.map(|w| {
        let ([inputs, outputs], parts) = (w.channels(), w.algorithm.parts());
        // Those of the fine side, and border biases, are multiples of these.
        let step = aligned_images((w.pixels_per_image() | 4) * (inputs | outputs));
        let values = (parts.image_elements * inputs).max(parts.elements * outputs);
        (w.params.batch as usize, w.tiles_per_image() * values, step)
    });
    let larger = |(batch, values, step): (usize, usize, usize), (_, v, s): (usize, usize, usize)| {
        // Steps are powers of two.
        (batch, values.max(v), step.max(s))
    };
    let (batch, values, step) = sizes.reduce(larger).expect("one at least");
    Pieces::new(batch, values, step)
}

impl Lowering<'_> {
    /// Calls that compute a convolution, a gradient by a weight, or both from the same image.
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

    /// A piece of a convolution, from the transformed image and weight.
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

    /// Adds a piece's share to the product that becomes a gradient by the weight.
    fn add_weight_gradient(&mut self, g: &WeightGradient, image: TensorId, product: TensorId, piece: Piece) {
        let w = &g.winograd;
        let (p, parts) = (w.piece(piece.images), w.algorithm.parts());
        let extents = [parts.coarse_elements, w.params.outputs as usize, p.tiles as usize];
        let coarse = self.matrices("coarse", g.y, extents);
        let own_coarse = self.piece(g.sides[1], piece);
        self.call(parts.coarse, bytes_of(&p), vec![], &[own_coarse], &[coarse]);
        self.products([coarse, image], product, piece.first > 0, w.flops(piece.images));
    }

    /// A piece of `x`, transformed; kept if it is the whole batch.
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

    /// The weight `x`, transformed.
    fn winograd_weight(&mut self, w: &Winograd, x: TensorId) -> TensorId {
        let transform = match w.params.turned {
            0 => Transform::Weight(w.algorithm),
            _ => Transform::TurnedWeight(w.algorithm),
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

    /// Memory for one matrix per element of a transformed tile; extents say how many and how large they are, their layout
    /// is that of `shaders/shared/blocks.wgsl`.
    fn matrices(&mut self, what: &str, y: TensorId, extents: [usize; 3]) -> TensorId {
        let label = format!("{} {what}", self.tensors[y.0].label);
        self.fresh(label, Shape::new(&extents))
    }
}
