//! Convolutions by Winograd's algorithm F(2x2, 3x3) (Lavin and Gray, "Fast algorithms for convolutional neural
//! networks"): 16 multiplications for the four pixels of a tile instead of 36.
//!
//! Two ways were weighed: one kernel that transforms, multiplies and transforms back in registers, and four kernels with
//! the transformed tensors between them. The first fetches every weight for eight tiles where the second fetches it for
//! 32, and on the adapter that this is for a fetch costs as much as sixteen multiply-adds. So it is four kernels, each
//! with its twin, and the batch goes through them in pieces whose tensors stay in the caches.

use super::{Lowering, TensorId};
use crate::graph::{Convolution, Epilogue, Shape};
use crate::kernels;
use crate::kernels::params::{ConvolutionParams, WinogradParams};
use bytemuck::bytes_of;

/// Bytes of the larger transformed tensor of one piece of the batch.
const PIECE_BYTES: usize = 8 << 20;
/// Fewest input and output channels for which the algorithm was seen to win: with fewer input channels the transforms
/// cost more than the multiplications that they save (`shaders/README.md` has the figures).
const LEAST_CHANNELS: [u32; 2] = [64, 16];

/// A convolution that the algorithm can compute.
pub(super) struct Winograd {
    /// Of one piece; the last may have fewer images.
    params: WinogradParams,
    images: usize,
    turned: bool,
    epilogue: Epilogue,
}

impl Winograd {
    /// `None` if the algorithm does not fit or does not pay. `turned` exchanges the sides, for the adjoint.
    pub fn new(g: Convolution, p: &ConvolutionParams, epilogue: Epilogue, turned: bool) -> Option<Self> {
        let [inputs, outputs] = match turned {
            false => [p.in_channels, p.out_channels],
            true => [p.out_channels, p.in_channels],
        };
        // Pieces of the batch must begin where a binding may; see `ALIGNMENT`.
        let fits = g == (Convolution { size: 3, stride: 1 })
            && p.height.is_multiple_of(2)
            && p.width.is_multiple_of(8)
            && (p.height * p.width).is_multiple_of(64)
            && epilogue != Epilogue::BorderBiasLeaky;
        let [least_inputs, least_outputs] = LEAST_CHANNELS;
        if !fits || inputs < least_inputs || outputs < least_outputs {
            return None;
        }
        let params = WinogradParams {
            batch: p.batch,
            height: p.height,
            width: p.width,
            inputs,
            outputs,
            tiles: 0,
            input_places: inputs.next_multiple_of(8),
            output_places: outputs.next_multiple_of(16),
        };
        Some(Self { params, images: p.batch as usize, turned, epilogue })
    }

    fn images_per_piece(&self) -> usize {
        let p = &self.params;
        let image = 16 * p.height * p.width * p.input_places.max(p.output_places);
        (PIECE_BYTES / image as usize).clamp(1, self.images)
    }

    fn piece(&self, images: usize) -> WinogradParams {
        let tiles = (images as u32 * self.params.height * self.params.width / 4).next_multiple_of(32);
        WinogradParams { batch: images as u32, tiles, ..self.params }
    }
}

impl Lowering<'_> {
    /// Calls that compute `y` from image, weight and, where the epilogue has one, a third operand.
    pub(super) fn winograd(&mut self, w: &Winograd, reads: &[TensorId], y: TensorId) {
        let most = w.piece(w.images_per_piece());
        let [inputs, outputs, tiles] =
            [most.input_places, most.output_places, most.tiles].map(|extent| extent as usize);
        let label = self.tensors[y.0].label.clone();
        let mut scratch =
            |what: &str, extents: &[usize]| self.fresh(format!("{label} {what}"), Shape::new(extents));
        let weight = scratch("weight", &[16, inputs / 4, outputs, 4]);
        let image = scratch("image", &[16, tiles / 4, inputs, 4]);
        let product = scratch("product", &[16, tiles / 4, outputs, 4]);
        let turned = vec![("TURNED", u32::from(w.turned))];
        self.call(&kernels::winograd_weight, bytes_of(&most), turned, &[reads[1]], &[weight]);
        for first in (0..w.images).step_by(w.images_per_piece()) {
            let images = w.images_per_piece().min(w.images - first);
            let p = w.piece(images);
            // The last piece's tensors are the beginning of the others'.
            let part = |lowering: &mut Self, whole: TensorId, places: usize| {
                let extents = [16, p.tiles as usize / 4, places, 4];
                lowering.part(whole, 0, &extents)
            };
            let (image, product) = (part(self, image, inputs), part(self, product, outputs));
            let own_image = self.images(reads[0], first, images);
            let own_y = self.images(y, first, images);
            let beside = match w.epilogue {
                // The binding must still name something; the product will do.
                Epilogue::None => product,
                Epilogue::Bias | Epilogue::BiasLeaky => reads[2],
                Epilogue::LeakyMask | Epilogue::BorderBiasLeaky => self.images(reads[2], first, images),
            };
            self.call(&kernels::winograd_image, bytes_of(&p), vec![], &[own_image], &[image]);
            self.call(&kernels::winograd_product, bytes_of(&p), vec![], &[image, weight], &[product]);
            // Counted as direct convolution.
            let flops = 18 * u64::from(p.inputs) * self.tensors[own_y.0].shape.len() as u64;
            self.calls.last_mut().expect("just pushed").flops = flops;
            let epilogue = vec![("EPILOGUE", w.epilogue as u32)];
            self.call(&kernels::winograd_result, bytes_of(&p), epilogue, &[product, beside], &[own_y]);
        }
    }

    /// Some images of a batch; nothing is copied.
    fn images(&mut self, batch: TensorId, first: usize, images: usize) -> TensorId {
        let mut extents = self.tensors[batch.0].shape.extents().to_vec();
        if images == extents[0] {
            return batch;
        }
        let offset = first * self.tensors[batch.0].shape.columns();
        extents[0] = images;
        self.part(batch, offset, &extents)
    }

    /// The values of `whole` from `offset` on.
    fn part(&mut self, whole: TensorId, offset: usize, extents: &[usize]) -> TensorId {
        let whole = self.tensors[whole.0].clone();
        self.tensor(whole.label, Shape::new(extents), whole.root, whole.offset + offset)
    }
}
