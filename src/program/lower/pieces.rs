//! What the ways to compute convolutions by matrix products share: the batch in pieces, so that what goes from kernel to
//! kernel stays in the caches and takes little memory, and the product itself.

use super::{Lowering, TensorId};
use crate::graph::Shape;
use crate::kernels;
use crate::kernels::params::MatrixParams;
use bytemuck::bytes_of;

/// Values of the largest tensor between the kernels of one piece.
const PIECE_VALUES: usize = 1 << 20;

/// A binding begins at a multiple of so many values.
const ALIGNED: usize = 64;

/// Images after which a tensor of `values` per image is where a binding may begin: the fewest of a piece.
pub(super) fn aligned_images(values: usize) -> usize {
    ALIGNED >> values.trailing_zeros().min(ALIGNED.trailing_zeros())
}

/// A batch in pieces.
#[derive(Clone, Copy)]
pub(super) struct Pieces {
    /// Images of the whole.
    images: usize,
    /// Images of every piece but the last, which may have fewer.
    most: usize,
}

impl Pieces {
    /// Pieces of a batch whose images take `values` each, as equal as may be, for a small one leaves most of the product's tiles
    /// empty; all but the last have a multiple of `step` images.
    pub fn new(images: usize, values: usize, step: usize) -> Self {
        let fit = (PIECE_VALUES / values / step * step).max(step);
        let most = images.div_ceil(images.div_ceil(fit)).next_multiple_of(step);
        Self { images, most: most.min(images) }
    }

    /// The pieces in order.
    pub fn all(self) -> impl Iterator<Item = Piece> {
        let Self { images, most } = self;
        (0..images).step_by(most).map(move |first| Piece {
            first,
            images: most.min(images - first),
            whole: most == images,
        })
    }
}

/// Neighbouring images of a batch.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// The first of them.
    pub first: usize,
    /// How many.
    pub images: usize,
    /// Whether they are all of the batch.
    pub whole: bool,
}

impl Lowering<'_> {
    /// Products of the matrices of two tensors `[matrices, rows, inner]` and `[matrices, inner, columns]`; there may be fewer left
    /// ones (see [`MatrixParams`]).
    pub(super) fn products(&mut self, reads: [TensorId; 2], y: TensorId, accumulate: bool, flops: u64) {
        let extents =
            |t: TensorId| self.tensors[t.0].shape.extents().iter().map(|&e| e as u32).collect::<Vec<_>>();
        let (left, right) = (extents(reads[0]), extents(reads[1]));
        let [lefts, rows, inner] = left[..] else { unreachable!("matrices have three extents") };
        let params = MatrixParams { matrices: right[0], rows, inner, columns: right[2], lefts };
        let constants = vec![("ACCUMULATE", u32::from(accumulate))];
        self.call(&kernels::matrix_product, bytes_of(&params), constants, &reads, &[y]);
        self.calls.last_mut().expect("just pushed").flops = flops;
    }

    /// A piece of a batch; nothing is copied.
    pub(super) fn piece(&mut self, batch: TensorId, piece: Piece) -> TensorId {
        if piece.whole {
            return batch;
        }
        let whole = self.tensors[batch.0].clone();
        let mut extents = whole.shape.extents().to_vec();
        extents[0] = piece.images;
        let offset = whole.offset + piece.first * whole.shape.columns();
        self.tensor(whole.label, Shape::new(&extents), whole.root, offset)
    }
}
