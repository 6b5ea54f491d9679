//! Shared by all convolutions as matrix products: the pieces of a batch, and the product itself. A batch goes from kernel to kernel
//! in pieces, so that the tensors between the kernels stay in the caches and take little memory.

use super::{Lowering, TensorId};
use crate::graph::Shape;
use crate::kernels::params::MatrixParams;
use crate::kernels::{self, grids};
use bytemuck::bytes_of;
use std::ops::Range;

/// Values of the largest tensor between the kernels of one piece. The weight is read again for every piece: with half as many values
/// a step at width 1 takes 3 to 4 % longer. At width 0.25 there is no difference.
const PIECE_VALUES: usize = 1 << 21;

/// A binding begins at a multiple of this many values.
const ALIGNED: usize = 64;

/// The least number of images after which a tensor of `values` per image is at a place where a binding may begin.
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
    /// Pieces of a batch whose images take `values` each. Pieces are nearly equal, because a small one leaves most of the product's
    /// tiles empty. All but the last have a multiple of `step` images.
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
    /// The number of images.
    pub images: usize,
    /// Whether the piece is the whole batch.
    pub whole: bool,
}

/// A matrix of a product, and its layout.
#[derive(Clone, Copy)]
pub(super) enum Matrix {
    /// In the layout of `shaders/shared/blocks.wgsl`, rows and columns rounded up to multiples of eight.
    Blocks(TensorId),
    /// Row after row, like any tensor. Nothing is rounded up; the columns are a multiple of eight.
    RowMajor(TensorId),
}

impl Matrix {
    fn tensor(self) -> TensorId {
        match self {
            Self::Blocks(tensor) | Self::RowMajor(tensor) => tensor,
        }
    }

    fn is_row_major(self) -> bool {
        matches!(self, Self::RowMajor(_))
    }
}

impl Lowering<'_> {
    /// The products of matrices in blocks, `[matrices, rows, inner]` by `[matrices, inner, columns]`. There may be fewer left
    /// matrices (see [`MatrixParams`]). A few rows beyond whole tiles are a call of their own, for the form `lavapipe.few_rows`.
    pub(super) fn products(&mut self, reads: [TensorId; 2], y: TensorId, accumulate: bool, flops: u64) {
        let [rows, columns] = [self.matrix_extents(reads[0])[1], self.matrix_extents(reads[1])[2]];
        let [tile, low] = grids::PRODUCT_ROWS.map(|rows| rows as usize);
        let whole = rows / tile * tile;
        let end = if (1..=low).contains(&(rows - whole)) { whole } else { rows };
        for part in [0..end, end..rows].into_iter().filter(|part| !part.is_empty()) {
            let own = [reads[0], y].map(|matrices| self.matrix_rows(matrices, part.clone()));
            let [lefts, height, inner] = self.matrix_extents(own[0]).map(|extent| extent as u32);
            let params = MatrixParams {
                matrices: self.matrix_extents(reads[1])[0] as u32,
                rows: height,
                inner,
                columns: columns as u32,
                lefts,
                row_major: 0,
                height,
                depth: inner,
            };
            let share = flops * part.len() as u64 / rows as u64;
            self.matrix_product(&params, [own[0], reads[1]], own[1], accumulate, share);
        }
    }

    /// The number of matrices, and the rows and columns of each.
    fn matrix_extents(&self, matrices: TensorId) -> [usize; 3] {
        self.tensors[matrices.0].shape.extents().try_into().expect("matrices have three extents")
    }

    /// Some rows of matrices in blocks. They are whole blocks, and those of all matrices lie together.
    fn matrix_rows(&mut self, matrices: TensorId, rows: Range<usize>) -> TensorId {
        let [count, all, columns] = self.matrix_extents(matrices);
        if rows.len() == all {
            return matrices;
        }
        let whole = self.tensors[matrices.0].clone();
        let offset = whole.offset + rows.start * count * columns;
        self.tensor(whole.label, Shape::new(&[count, rows.len(), columns]), whole.root, offset)
    }

    /// The product of `left`, `[rows, inner]`, and `right`, `[inner, columns]`.
    pub(super) fn product(
        &mut self,
        [left, right, product]: [Matrix; 3],
        extents: [usize; 3],
        accumulate: bool,
        flops: u64,
    ) {
        let [height, depth, _] = extents.map(|extent| extent as u32);
        let [rows, inner, columns] = extents.map(|extent| extent.next_multiple_of(8) as u32);
        let row_major = [left, right, product].into_iter().enumerate();
        let row_major = row_major.map(|(bit, matrix)| u32::from(matrix.is_row_major()) << bit).sum();
        // Matrices in blocks have all their rows.
        let height = if left.is_row_major() || product.is_row_major() { height } else { rows };
        let depth = if right.is_row_major() { depth } else { inner };
        let params = MatrixParams { matrices: 1, rows, inner, columns, lefts: 1, row_major, height, depth };
        self.matrix_product(&params, [left.tensor(), right.tensor()], product.tensor(), accumulate, flops);
    }

    fn matrix_product(
        &mut self,
        params: &MatrixParams,
        reads: [TensorId; 2],
        y: TensorId,
        accumulate: bool,
        flops: u64,
    ) {
        let constants = vec![("ACCUMULATE", u32::from(accumulate))];
        self.call(&kernels::matrix_product, bytes_of(params), constants, &reads, &[y]);
        self.calls.last_mut().expect("just pushed").flops = flops;
    }

    /// A piece of a batch, without a copy.
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
