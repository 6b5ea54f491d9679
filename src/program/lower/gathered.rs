//! Convolutions at stride 2 that Winograd's algorithms do not fit, those from or to few channels, and dense layers as matrix
//! products: the values that each coarse position meets are gathered into a row, and one product with the weight does the
//! rest; the adjoint goes the other way and scatters. A weight or a coarse side of whole blocks of eight channels is such
//! a matrix as it is.
//!
//! Direct kernels fetch a window for every tap, because at stride 2 neighbours share next to nothing, and leave most of
//! eight lanes idle where there are three channels; on the adapter that this is for they reach a third of what
//! `matrix_product` does, and gathering costs a tenth of the product. From three channels, and towards them from few, whose taps are
//! nine times as many, there are direct forms (`lavapipe/conv2d.rgb.wgsl` and its adjoint), which take two thirds and a bit over half as long.
//!
//! At stride 1 the sides may change places, and the side with fewer channels is the one that is gathered or scattered: the
//! classifier's last layer has ten channels where it has 512 on the other side.

use super::pieces::{Matrix, Piece, Pieces, aligned_images};
use super::winograd::Transform;
use super::{Lowering, TensorId};
use crate::graph::{Epilogue, Plain, Shape};
use crate::kernels;
use crate::kernels::params::{ConvolutionParams, RowsParams};
use bytemuck::bytes_of;

/// Channels of either side from which on a dense layer was seen to pay: a PGN step whose generator has 1034→8192 took 7 to 17 %
/// less time, with 266→2048 a few per cent less, with 138→512 a few per cent more.
const DENSE_CHANNELS: u32 = 256;
/// Coarse channels from which on the fine ones do not matter: the gradient of rows that images chose, with whole images for rows.
const LONG_ROW: u32 = 1 << 13;
/// Fine channels up to which gathering at stride 1 pays whatever the other side has.
const FEW_CHANNELS: u32 = 8;

/// A convolution that goes by gathering.
pub(super) struct Gathered {
    g: Plain,
    /// Of the whole batch.
    params: ConvolutionParams,
}

impl Gathered {
    /// `None` if it does not fit.
    pub fn new(g: Plain, p: &ConvolutionParams) -> Option<Self> {
        // With one tap images do not matter: all positions are one row.
        let row = ConvolutionParams { batch: 1, height: 1, width: p.batch * p.height * p.width, ..*p };
        let p = if g == PLAIN { &row } else { p };
        let positions = p.height * p.width * (g.stride * g.stride) as u32;
        let eights = |channels: u32| channels.is_multiple_of(8);
        let pays = match g {
            // With sixteen fine channels, an image's border biases begin where a binding may.
            Plain { size: 3, stride: 2 } => p.in_channels.is_multiple_of(16),
            Plain { size: 3, stride: 1 } => {
                p.in_channels <= FEW_CHANNELS || !eights(p.in_channels) || !eights(p.out_channels)
            }
            PLAIN => {
                eights(p.out_channels)
                    && (p.in_channels.min(p.out_channels) >= DENSE_CHANNELS || p.out_channels >= LONG_ROW)
            }
            _ => false,
        };
        let taps = (g.size * g.size) as u32;
        let params = ConvolutionParams { columns: (taps * p.in_channels).next_multiple_of(8), ..*p };
        // The kernels take eight positions at a time and divide by way of f32.
        let whole = g == PLAIN || (p.height * p.width).is_multiple_of(8);
        let fits = whole && (positions as usize) * step(p, g) < 1 << 22;
        (pays && fits).then_some(Self { g, params })
    }

    /// Coarse channels, and columns of zeros up to a multiple of 8.
    fn outputs(&self) -> usize {
        self.params.out_channels.next_multiple_of(8) as usize
    }

    /// Taps times fine channels: rows of the weight.
    fn taps(&self) -> usize {
        self.g.size * self.g.size * self.params.in_channels as usize
    }

    /// Columns of a row of gathered values: the taps, and zeros up to a multiple of 8.
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

    /// What a direct convolution needs for some images.
    fn flops(&self, images: usize) -> u64 {
        2 * (images * self.positions_per_image() * self.taps()) as u64 * u64::from(self.params.out_channels)
    }
}

/// At stride 1 the sides of a convolution may change places (`backward.rs` has the formula): that with fewer channels has the fewer
/// taps to gather or to scatter. The other way round, if it is the coarse one.
pub(super) fn exchanged(g: Plain, p: &ConvolutionParams) -> Option<ConvolutionParams> {
    let exchanged = ConvolutionParams { in_channels: p.out_channels, out_channels: p.in_channels, ..*p };
    let fewer = g == Plain { size: 3, stride: 1 } && p.out_channels < p.in_channels;
    (fewer && Gathered::new(g, &exchanged).is_some()).then_some(exchanged)
}

/// Images after which either side is where a binding may begin: the fewest of a piece.
fn step(p: &ConvolutionParams, g: Plain) -> usize {
    let [coarse, fine] = [p.out_channels, (g.stride * g.stride) as u32 * p.in_channels];
    aligned_images((p.height * p.width * (coarse | fine)) as usize)
}

/// A plain matrix as the kernels see it: a kernel of one tap over one row of positions.
const PLAIN: Plain = Plain { size: 1, stride: 1 };

fn plain(rows: usize, columns: u32) -> ConvolutionParams {
    let (width, in_channels) = (rows as u32, columns);
    ConvolutionParams {
        batch: 1,
        height: 1,
        width,
        in_channels,
        out_channels: in_channels,
        splits: 1,
        rows_per_split: 1,
        columns: in_channels.next_multiple_of(8),
        slope: 1.0,
    }
}

impl Lowering<'_> {
    /// Calls that compute the coarse `y` from the fine side, the weight and what the epilogue needs.
    pub(super) fn gathered(&mut self, c: &Gathered, epilogue: Epilogue, reads: &[TensorId], y: TensorId) {
        let (columns, outputs, channels) = (c.columns(), c.outputs(), c.params.out_channels);
        let weight = self.rows_as_matrix([c.taps(), columns], channels, reads[1], y, "weight");
        for piece in c.pieces().all() {
            let images = piece.images;
            let rows = images * c.positions_per_image();
            let (fine, own_y) = (self.piece(reads[0], piece), self.piece(y, piece));
            let gathered = self.matrix(y, "taps", [rows, columns]);
            self.gather(c.g, &c.piece(images), false, fine, gathered);
            let (left, size) = (Matrix::Blocks(gathered), [rows, c.taps(), outputs]);
            if epilogue == Epilogue::None && is_whole(channels) {
                self.product([left, weight, Matrix::Plain(own_y)], size, false, c.flops(images));
                continue;
            }
            let product = self.matrix(y, "product", [rows, outputs]);
            self.product([left, weight, Matrix::Blocks(product)], size, false, c.flops(images));
            let beside = self.beside(epilogue, reads, product, piece);
            self.scatter(PLAIN, &plain(rows, channels), epilogue, [product, beside], own_y);
        }
    }

    /// Calls that compute the fine `y` from the coarse side, the weight and what the epilogue needs.
    pub(super) fn scattered(&mut self, c: &Gathered, epilogue: Epilogue, reads: &[TensorId], y: TensorId) {
        let (columns, inputs, channels) = (c.columns(), c.outputs(), c.params.out_channels);
        // A dense layer's weight is much more than its images: it stays as it is, and they are turned, twice.
        let dense = c.g == PLAIN;
        let weight = (!dense).then(|| {
            let weight = self.matrix(y, "weight", [inputs, columns]);
            self.gather(PLAIN, &plain(c.taps(), channels), true, reads[1], weight);
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
                let turned = self.matrix(y, "turned coarse", [inputs, rows]);
                self.gather(PLAIN, &plain(rows, channels), true, coarse, turned);
                let padded = rows.next_multiple_of(8);
                let label = format!("{} turned", self.tensors[y.0].label);
                let taps = self.fresh(label, Shape::new(&[c.taps(), padded]));
                let matrices = [Matrix::Plain(reads[1]), Matrix::Blocks(turned), Matrix::Plain(taps)];
                self.product(matrices, [c.taps(), inputs, rows], false, c.flops(images));
                self.gather(PLAIN, &plain(c.taps(), padded as u32), true, taps, product);
            }
            let beside = self.beside(epilogue, reads, product, piece);
            self.scatter(c.g, &c.piece(images), epilogue, [product, beside], own_y);
        }
    }

    /// Calls that compute the gradient by the weight from the fine and the coarse side.
    pub(super) fn gathered_weight_gradient(&mut self, c: &Gathered, reads: &[TensorId], y: TensorId) {
        let (columns, outputs, channels) = (c.columns(), c.outputs(), c.params.out_channels);
        let product = match is_whole(channels) {
            true => Matrix::Plain(y),
            false => Matrix::Blocks(self.matrix(y, "product", [columns, outputs])),
        };
        for piece in c.pieces().all() {
            let images = piece.images;
            let rows = images * c.positions_per_image();
            let (fine, coarse) = (self.piece(reads[0], piece), self.piece(reads[1], piece));
            let gathered = self.matrix(y, "taps", [columns, rows]);
            self.gather(c.g, &c.piece(images), true, fine, gathered);
            let own = self.rows_as_matrix([rows, rows], channels, coarse, y, "coarse");
            let size = [c.taps(), rows, outputs];
            let matrices = [Matrix::Blocks(gathered), own, product];
            self.product(matrices, size, piece.first > 0, c.flops(images));
        }
        if let Matrix::Blocks(product) = product {
            self.scatter(PLAIN, &plain(c.taps(), channels), Epilogue::None, [product, product], y);
        }
    }

    /// Calls that compute the gradient by the weight from the fine and the coarse side, where `c` has these exchanged.
    pub(super) fn exchanged_weight_gradient(&mut self, c: &Gathered, reads: &[TensorId], y: TensorId) {
        let extents = [3, 3, c.params.in_channels as usize, c.params.out_channels as usize];
        let label = format!("{} exchanged", self.tensors[y.0].label);
        let exchanged = self.fresh(label, Shape::new(&extents));
        self.gathered_weight_gradient(c, &[reads[1], reads[0]], exchanged);
        self.swap_channels(&c.params, exchanged, y);
    }

    /// The weight `x` of a convolution for its sides in each other's place.
    pub(super) fn exchanged_weight(&mut self, p: &ConvolutionParams, x: TensorId) -> TensorId {
        if let Some(&known) = self.transformed.get(&(x, Transform::Exchanged)) {
            return known;
        }
        let extents = [3, 3, p.out_channels as usize, p.in_channels as usize];
        let label = format!("{} exchanged", self.tensors[x.0].label);
        let exchanged = self.fresh(label, Shape::new(&extents));
        self.swap_channels(p, x, exchanged);
        self.transformed.insert((x, Transform::Exchanged), exchanged);
        exchanged
    }

    /// The call that turns a weight for a convolution of geometry `p` into one for its sides in each other's place.
    fn swap_channels(&mut self, p: &ConvolutionParams, weight: TensorId, exchanged: TensorId) {
        let params = RowsParams { rows: p.in_channels, columns: p.out_channels };
        self.call(&kernels::swap_channels, bytes_of(&params), vec![], &[weight], &[exchanged]);
    }

    /// Rows of channels as a matrix: as they are, or with columns and rows rounded up, the latter to `padded`.
    fn rows_as_matrix(
        &mut self,
        [rows, padded]: [usize; 2],
        channels: u32,
        x: TensorId,
        y: TensorId,
        what: &str,
    ) -> Matrix {
        if is_whole(channels) {
            return Matrix::Plain(x);
        }
        let matrix = self.matrix(y, what, [padded, channels.next_multiple_of(8) as usize]);
        self.gather(PLAIN, &plain(rows, channels), false, x, matrix);
        Matrix::Blocks(matrix)
    }

    fn gather(&mut self, g: Plain, p: &ConvolutionParams, turned: bool, x: TensorId, matrix: TensorId) {
        let mut constants = geometry(g);
        constants.push(("TURNED", u32::from(turned)));
        self.call(&kernels::im2col, bytes_of(p), constants, &[x], &[matrix]);
    }

    fn scatter(&mut self, g: Plain, p: &ConvolutionParams, e: Epilogue, reads: [TensorId; 2], y: TensorId) {
        let mut constants = geometry(g);
        constants.push(("EPILOGUE", e.code()));
        let params = ConvolutionParams { slope: e.slope(), ..*p };
        self.call(&kernels::col2im, bytes_of(&params), constants, &reads, &[y]);
    }

    /// What an epilogue reads for a piece; `other` where it reads nothing, as the binding must name something.
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

    /// Memory for one matrix, both extents rounded up to multiples of eight.
    fn matrix(&mut self, y: TensorId, what: &str, extents: [usize; 2]) -> TensorId {
        let label = format!("{} {what}", self.tensors[y.0].label);
        let [rows, columns] = extents.map(|extent| extent.next_multiple_of(8));
        self.fresh(label, Shape::new(&[1, rows, columns]))
    }
}

/// Whether rows of so many channels are whole blocks.
fn is_whole(channels: u32) -> bool {
    channels.is_multiple_of(8)
}

fn geometry(g: Plain) -> Vec<(&'static str, u32)> {
    vec![("KERNEL", g.size as u32), ("STRIDE", g.stride as u32)]
}
