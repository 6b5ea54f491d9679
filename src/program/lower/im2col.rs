//! Convolutions as matrix products by `im2col` and `col2im`, for lavapipe. They serve 3x3 kernels at stride 2 that Winograd's
//! algorithms do not fit, convolutions from or to few channels, and dense layers.
//!
//! `im2col` writes the values that a coarse position meets as a row of a matrix. One product with the weight does the rest.
//! `col2im` is the adjoint of `im2col`. A weight or a coarse side of whole blocks of eight channels is a matrix without being copied.
//!
//! At stride 2 a direct kernel fetches a window for every tap, because neighbours share next to nothing. With three channels it
//! leaves most of eight lanes idle. On lavapipe direct kernels reach a third of the speed of `matrix_product`, and `im2col` costs a
//! tenth of the product. Images of three channels have direct forms (`shaders/lavapipe/conv2d.rgb.wgsl` and its adjoint): their
//! taps are nine times as many values as the image. These forms take two thirds of the time, and a bit over half.
//!
//! At stride 1 the two sides may be swapped. `im2col` and `col2im` then work on the side with fewer channels: the classifier's last
//! layer has ten channels on one side and 512 on the other.

use super::pieces::{Matrix, Piece, Pieces, aligned_images};
use super::winograd::Transform;
use super::{Lowering, TensorId};
use crate::graph::{Epilogue, Shape, Usual};
use crate::kernels;
use crate::kernels::params::{ConvolutionParams, RowsParams};
use crate::program::MOST_GROUPS;
use bytemuck::bytes_of;

/// A dense layer pays from this many channels on either side. Measured: a PGN step took 7 to 17 % less time where the
/// generator has 1034→8192, a few per cent less with 266→2048, a few per cent more with 138→512.
const DENSE_CHANNELS: u32 = 256;
/// From this many coarse channels on the fine channels do not matter. Such a layer is the gradient of rows that images chose,
/// where a row is a whole image.
const LONG_ROW: u32 = 1 << 13;
/// Up to this many fine channels `im2col` pays at stride 1, for any number of coarse channels.
const FEW_CHANNELS: u32 = 8;

/// A convolution by `im2col` or `col2im`.
pub(super) struct Im2col {
    g: Usual,
    /// The parameters of the whole batch.
    params: ConvolutionParams,
}

impl Im2col {
    /// `None` if it does not fit.
    pub fn new(g: Usual, p: &ConvolutionParams) -> Option<Self> {
        // A kernel of one tap does not see images: all positions are one row.
        let row = ConvolutionParams { batch: 1, height: 1, width: p.batch * p.height * p.width, ..*p };
        let p = if g == ONE_TAP { &row } else { p };
        let positions = p.height * p.width * (g.stride * g.stride) as u32;
        let eights = |channels: u32| channels.is_multiple_of(8);
        let pays = match g {
            // With a multiple of sixteen fine channels, the border biases of every image begin where a binding may begin.
            Usual { size: 3, stride: 2 } => p.fine_channels.is_multiple_of(16),
            Usual { size: 3, stride: 1 } => {
                p.fine_channels <= FEW_CHANNELS || !eights(p.fine_channels) || !eights(p.coarse_channels)
            }
            ONE_TAP => {
                eights(p.coarse_channels)
                    && (p.fine_channels.min(p.coarse_channels) >= DENSE_CHANNELS
                        || p.coarse_channels >= LONG_ROW)
            }
            _ => false,
        };
        let taps = (g.size * g.size) as u32;
        let params = ConvolutionParams { columns: (taps * p.fine_channels).next_multiple_of(8), ..*p };
        // The kernels take eight positions at a time, with a row of workgroups for each eight, and they divide in f32.
        let whole = g == ONE_TAP || (p.height * p.width).is_multiple_of(8);
        let least = step(p, g).min(p.batch as usize);
        let countable = (p.height * p.width) as usize * least <= 8 * MOST_GROUPS as usize;
        let fits = whole && (positions as usize) * step(p, g) < 1 << 22;
        (pays && fits && countable).then_some(Self { g, params })
    }

    /// Coarse channels, rounded up to a multiple of 8 by columns of zeros.
    fn outputs(&self) -> usize {
        self.params.coarse_channels.next_multiple_of(8) as usize
    }

    /// Taps times fine channels: rows of the weight.
    fn taps(&self) -> usize {
        self.g.size * self.g.size * self.params.fine_channels as usize
    }

    /// Columns of a matrix of `im2col`: the taps, and zeros up to a multiple of 8.
    fn columns(&self) -> usize {
        self.params.columns as usize
    }

    fn positions_per_image(&self) -> usize {
        (self.params.height * self.params.width) as usize
    }

    fn pieces(&self) -> Pieces {
        let image = self.positions_per_image() * self.columns();
        Pieces::new(self.params.batch as usize, image, step(&self.params, self.g))
    }

    fn piece(&self, images: usize) -> ConvolutionParams {
        ConvolutionParams { batch: images as u32, ..self.params }
    }

    /// Operations of a direct convolution of some images.
    fn flops(&self, images: usize) -> u64 {
        2 * (images * self.positions_per_image() * self.taps()) as u64
            * u64::from(self.params.coarse_channels)
    }
}

/// The geometry with its sides swapped, if the coarse side has fewer channels. At stride 1 the sides may be swapped (`backward.rs`
/// has the formula), and the side with fewer channels has fewer taps.
pub(super) fn swapped(g: Usual, p: &ConvolutionParams) -> Option<ConvolutionParams> {
    let swapped =
        ConvolutionParams { fine_channels: p.coarse_channels, coarse_channels: p.fine_channels, ..*p };
    let fewer = g == Usual { size: 3, stride: 1 } && p.coarse_channels < p.fine_channels;
    (fewer && Im2col::new(g, &swapped).is_some()).then_some(swapped)
}

/// A piece has a multiple of this many images, so that both sides begin where a binding may begin.
fn step(p: &ConvolutionParams, g: Usual) -> usize {
    let [coarse, fine] = [p.coarse_channels, (g.stride * g.stride) as u32 * p.fine_channels];
    aligned_images((p.height * p.width * (coarse | fine)) as usize)
}

/// The kernels see a row-major matrix as a convolution of one tap over one row of positions.
const ONE_TAP: Usual = Usual { size: 1, stride: 1 };

fn one_tap(rows: usize, columns: u32) -> ConvolutionParams {
    let (width, fine_channels) = (rows as u32, columns);
    ConvolutionParams {
        batch: 1,
        height: 1,
        width,
        fine_channels,
        coarse_channels: fine_channels,
        splits: 1,
        rows_per_split: 1,
        columns: fine_channels.next_multiple_of(8),
        slope: 1.0,
    }
}

impl Lowering<'_> {
    /// The calls that compute the coarse side `y`. `reads` are the fine side, the weight and the operand of the epilogue.
    pub(super) fn by_im2col(&mut self, c: &Im2col, epilogue: Epilogue, reads: &[TensorId], y: TensorId) {
        let (columns, outputs, channels) = (c.columns(), c.outputs(), c.params.coarse_channels);
        let weight = self.rows_as_matrix([c.taps(), columns], channels, reads[1], y, "weight");
        for piece in c.pieces().all() {
            let images = piece.images;
            let rows = images * c.positions_per_image();
            let (fine, own_y) = (self.piece(reads[0], piece), self.piece(y, piece));
            let taps = self.matrix(y, "taps", [rows, columns]);
            self.im2col(c.g, &c.piece(images), false, fine, taps);
            let (left, size) = (Matrix::Blocks(taps), [rows, c.taps(), outputs]);
            if epilogue == Epilogue::None && is_whole(channels) {
                self.product([left, weight, Matrix::RowMajor(own_y)], size, false, c.flops(images));
                continue;
            }
            let product = self.matrix(y, "product", [rows, outputs]);
            self.product([left, weight, Matrix::Blocks(product)], size, false, c.flops(images));
            let beside = self.beside(epilogue, reads, product, piece);
            self.col2im(ONE_TAP, &one_tap(rows, channels), epilogue, [product, beside], own_y);
        }
    }

    /// The calls that compute the fine side `y`. `reads` are the coarse side, the weight and the operand of the epilogue.
    pub(super) fn by_col2im(&mut self, c: &Im2col, epilogue: Epilogue, reads: &[TensorId], y: TensorId) {
        let (columns, inputs, channels) = (c.columns(), c.outputs(), c.params.coarse_channels);
        // A dense layer's weight is much larger than its images. So the images are transposed, twice, and the weight stays as it is.
        let dense = c.g == ONE_TAP;
        let weight = (!dense).then(|| {
            let weight = self.matrix(y, "weight", [inputs, columns]);
            self.im2col(ONE_TAP, &one_tap(c.taps(), channels), true, reads[1], weight);
            Matrix::Blocks(weight)
        });
        for piece in c.pieces().all() {
            let images = piece.images;
            let rows = images * c.positions_per_image();
            let (coarse, own_y) = (self.piece(reads[0], piece), self.piece(y, piece));
            let product = self.matrix(y, "taps", [rows, columns]);
            if let Some(weight) = weight {
                let own = self.rows_as_matrix([rows, rows], channels, coarse, y, "coarse");
                let size = [rows, inputs, columns];
                self.product([own, weight, Matrix::Blocks(product)], size, false, c.flops(images));
            } else {
                let transposed = self.matrix(y, "transposed coarse", [inputs, rows]);
                self.im2col(ONE_TAP, &one_tap(rows, channels), true, coarse, transposed);
                let padded = rows.next_multiple_of(8);
                let label = format!("{} transposed", self.tensors[y.0].label);
                let taps = self.fresh(label, Shape::new(&[c.taps(), padded]));
                let matrices =
                    [Matrix::RowMajor(reads[1]), Matrix::Blocks(transposed), Matrix::RowMajor(taps)];
                self.product(matrices, [c.taps(), inputs, rows], false, c.flops(images));
                self.im2col(ONE_TAP, &one_tap(c.taps(), padded as u32), true, taps, product);
            }
            let beside = self.beside(epilogue, reads, product, piece);
            self.col2im(c.g, &c.piece(images), epilogue, [product, beside], own_y);
        }
    }

    /// The calls that compute the gradient by the weight from the fine and the coarse side.
    pub(super) fn im2col_weight_gradient(&mut self, c: &Im2col, reads: &[TensorId], y: TensorId) {
        let (columns, outputs, channels) = (c.columns(), c.outputs(), c.params.coarse_channels);
        let product = match is_whole(channels) {
            true => Matrix::RowMajor(y),
            false => Matrix::Blocks(self.matrix(y, "product", [columns, outputs])),
        };
        for piece in c.pieces().all() {
            let images = piece.images;
            let rows = images * c.positions_per_image();
            let (fine, coarse) = (self.piece(reads[0], piece), self.piece(reads[1], piece));
            let taps = self.matrix(y, "taps", [columns, rows]);
            self.im2col(c.g, &c.piece(images), true, fine, taps);
            let own = self.rows_as_matrix([rows, rows], channels, coarse, y, "coarse");
            let size = [c.taps(), rows, outputs];
            let matrices = [Matrix::Blocks(taps), own, product];
            self.product(matrices, size, piece.first > 0, c.flops(images));
        }
        if let Matrix::Blocks(product) = product {
            self.col2im(ONE_TAP, &one_tap(c.taps(), channels), Epilogue::None, [product, product], y);
        }
    }

    /// The same for a geometry `c` whose sides are swapped; `reads` are in the order of the unswapped sides.
    pub(super) fn swapped_weight_gradient(&mut self, c: &Im2col, reads: &[TensorId], y: TensorId) {
        let extents = [3, 3, c.params.fine_channels as usize, c.params.coarse_channels as usize];
        let label = format!("{} swapped", self.tensors[y.0].label);
        let swapped = self.fresh(label, Shape::new(&extents));
        self.im2col_weight_gradient(c, &[reads[1], reads[0]], swapped);
        self.swap_channels(&c.params, swapped, y);
    }

    /// The weight `x` of a convolution for swapped sides.
    pub(super) fn swapped_weight(&mut self, p: &ConvolutionParams, x: TensorId) -> TensorId {
        if let Some(&known) = self.transformed.get(&(x, Transform::Swapped)) {
            return known;
        }
        let extents = [3, 3, p.coarse_channels as usize, p.fine_channels as usize];
        let label = format!("{} swapped", self.tensors[x.0].label);
        let swapped = self.fresh(label, Shape::new(&extents));
        self.swap_channels(p, x, swapped);
        self.transformed.insert((x, Transform::Swapped), swapped);
        swapped
    }

    /// The call that rewrites the weight of a convolution of geometry `p` for swapped sides.
    fn swap_channels(&mut self, p: &ConvolutionParams, weight: TensorId, swapped: TensorId) {
        let params = RowsParams { rows: p.fine_channels, columns: p.coarse_channels };
        self.call(&kernels::swap_channels, bytes_of(&params), vec![], &[weight], &[swapped]);
    }

    /// Rows of channels as a matrix: without a copy where the channels are whole blocks, else with the columns rounded up to a
    /// multiple of 8 and the rows to `padded`.
    fn rows_as_matrix(
        &mut self,
        [rows, padded]: [usize; 2],
        channels: u32,
        x: TensorId,
        y: TensorId,
        what: &str,
    ) -> Matrix {
        if is_whole(channels) {
            return Matrix::RowMajor(x);
        }
        let matrix = self.matrix(y, what, [padded, channels.next_multiple_of(8) as usize]);
        self.im2col(ONE_TAP, &one_tap(rows, channels), false, x, matrix);
        Matrix::Blocks(matrix)
    }

    fn im2col(&mut self, g: Usual, p: &ConvolutionParams, transposed: bool, x: TensorId, matrix: TensorId) {
        let mut constants = geometry(g);
        constants.push(("TRANSPOSED", u32::from(transposed)));
        self.call(&kernels::im2col, bytes_of(p), constants, &[x], &[matrix]);
    }

    fn col2im(&mut self, g: Usual, p: &ConvolutionParams, e: Epilogue, reads: [TensorId; 2], y: TensorId) {
        let mut constants = geometry(g);
        constants.push(("EPILOGUE", e.code()));
        let params = ConvolutionParams { slope: e.slope(), ..*p };
        self.call(&kernels::col2im, bytes_of(&params), constants, &reads, &[y]);
    }

    /// The operand of an epilogue for a piece. Without an operand it is `other`, because a binding must name a tensor.
    pub(super) fn beside(
        &mut self,
        epilogue: Epilogue,
        reads: &[TensorId],
        other: TensorId,
        piece: Piece,
    ) -> TensorId {
        match epilogue {
            Epilogue::None => other,
            Epilogue::Bias | Epilogue::BiasLeaky(_) => reads[2],
            Epilogue::LeakyMask(_) | Epilogue::BorderBiasLeaky(_) => self.piece(reads[2], piece),
        }
    }

    /// Memory for one matrix. Both extents are rounded up to multiples of eight.
    fn matrix(&mut self, y: TensorId, what: &str, extents: [usize; 2]) -> TensorId {
        let label = format!("{} {what}", self.tensors[y.0].label);
        let [rows, columns] = extents.map(|extent| extent.next_multiple_of(8));
        self.fresh(label, Shape::new(&[1, rows, columns]))
    }
}

/// Whether rows of this many channels are whole blocks.
fn is_whole(channels: u32) -> bool {
    channels.is_multiple_of(8)
}

fn geometry(g: Usual) -> Vec<(&'static str, u32)> {
    vec![("KERNEL", g.size as u32), ("STRIDE", g.stride as u32)]
}
