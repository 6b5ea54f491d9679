//! What the ways to compute convolutions by matrix products share: the batch in pieces, so that what goes from kernel to
//! kernel stays in the caches and takes little memory, and the product itself.

use super::{Lowering, TensorId};
use crate::graph::Shape;
use crate::kernels;
use crate::kernels::params::MatrixParams;
use bytemuck::bytes_of;

/// Values of the largest tensor between the kernels of one piece.
const PIECE_VALUES: usize = 1 << 20;

/// A batch in pieces.
#[derive(Clone, Copy)]
pub(super) struct Pieces {
    /// Images of the whole.
    images: usize,
    /// Images of every piece but the last, which may have fewer.
    most: usize,
}

impl Pieces {
    /// Pieces of a batch whose images take `values` each; all but the last have a multiple of `step` images.
    pub fn new(images: usize, values: usize, step: usize) -> Self {
        let most = (PIECE_VALUES / values / step * step).max(step);
        Self { images, most: most.min(images) }
    }

    /// First image and number of images of each piece.
    pub fn all(self) -> impl Iterator<Item = (usize, usize)> {
        let Self { images, most } = self;
        (0..images).step_by(most).map(move |first| (first, most.min(images - first)))
    }
}

impl Lowering<'_> {
    /// Products of the matrices of two tensors `[matrices, rows, inner]` and `[matrices, inner, columns]`.
    pub(super) fn products(&mut self, reads: [TensorId; 2], y: TensorId, accumulate: bool, flops: u64) {
        let extents =
            |t: TensorId| self.tensors[t.0].shape.extents().iter().map(|&e| e as u32).collect::<Vec<_>>();
        let (left, right) = (extents(reads[0]), extents(reads[1]));
        let params = MatrixParams { matrices: left[0], rows: left[1], inner: left[2], columns: right[2] };
        let constants = vec![("ACCUMULATE", u32::from(accumulate))];
        self.call(&kernels::matrix_product, bytes_of(&params), constants, &reads, &[y]);
        self.calls.last_mut().expect("just pushed").flops = flops;
    }

    /// Some images of a batch; nothing is copied.
    pub(super) fn images(&mut self, batch: TensorId, first: usize, images: usize) -> TensorId {
        let mut extents = self.tensors[batch.0].shape.extents().to_vec();
        if images == extents[0] {
            return batch;
        }
        let whole = self.tensors[batch.0].clone();
        extents[0] = images;
        let offset = whole.offset + first * whole.shape.columns();
        self.tensor(whole.label, Shape::new(&extents), whole.root, offset)
    }
}
