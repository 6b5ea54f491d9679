//! Calls of convolutions and of their gradients that Winograd's algorithms (`backward.rs`) do not compute. There are two ways: a
//! matrix product by `im2col` (`im2col.rs`), with or without swapped sides, or one call of a direct kernel.

use super::im2col::{self, Im2col};
use super::{Lowering, Split, TensorId, TensorInfo};
use crate::graph::{Epilogue, Node, Operation, Shape, Tensor, Usual};
use crate::kernels::params::ConvolutionParams;
use crate::kernels::{self, Kernel};
use bytemuck::bytes_of;

/// Pixels that one invocation of a weight gradient adds at most: a limit for the length of its loop.
const WEIGHT_GRADIENT_PIXELS: usize = 1 << 14;
/// A gradient towards three channels is faster direct up to this many coarse channels. The product writes and reads 27 values per
/// pixel. Measured: with 16 channels `col2im` alone takes as long as the direct form; with 64 the product saves 3 % of an FGM step.
const DIRECT_CHANNELS: u32 = 16;

impl Lowering<'_> {
    /// Whether it may be matrix products. Biases by the border belong to places of the fine side: swapped sides lose them, and at
    /// stride 1 those of an image need not begin where a binding may begin.
    pub(super) fn may_multiply(&self, g: Usual, epilogue: Epilogue) -> bool {
        self.limits.matrix_products && (g.stride == 2 || !matches!(epilogue, Epilogue::BorderBiasLeaky(_)))
    }

    /// Lowers a convolution or one of its gradients. The usual geometry has kernels of its own; the general kernels serve all others.
    pub(super) fn convolved(&mut self, tensor: Tensor, reads: &[TensorId], y: TensorId) {
        let Node { operation, operands, shape } = self.graph.node(tensor);
        let first = self.shape(operands[0]);
        match operation {
            Operation::Convolve(g, e) => match g.usual(first, shape) {
                Ok(usual) => {
                    let params = params_of(usual, first, shape);
                    self.convolution(&kernels::conv2d, usual, *e, params, reads, y);
                }
                Err(_) => self.general(&kernels::convolution, *g, *e, [first, shape], reads, y),
            },
            Operation::ConvolveInputGradient(g, e) => match g.usual(shape, first) {
                Ok(usual) => {
                    let params = params_of(usual, shape, first);
                    self.convolution(&kernels::conv2d_input_gradient, usual, *e, params, reads, y);
                }
                Err(_) => {
                    let kernel = &kernels::convolution_input_gradient;
                    self.general(kernel, *g, *e, [shape, first], reads, y);
                }
            },
            Operation::ConvolveWeightGradient(g) => {
                let sides = [first, self.shape(operands[1])];
                match g.usual(sides[0], sides[1]) {
                    Ok(usual) => self.weight_gradient(usual, tensor, reads, y),
                    Err(_) => self.general_weight_gradient(*g, sides, reads, y),
                }
            }
            _ => unreachable!("called for convolutions only"),
        }
    }

    /// The calls that compute a convolution (`kernel` is `conv2d`) or its adjoint (`conv2d_input_gradient`).
    pub(super) fn convolution(
        &mut self,
        kernel: &'static Kernel,
        g: Usual,
        epilogue: Epilogue,
        params: ConvolutionParams,
        reads: &[TensorId],
        y: TensorId,
    ) {
        let adjoint = kernel.name == kernels::conv2d_input_gradient.name;
        let params = ConvolutionParams { slope: epilogue.slope(), ..params };
        let products = self.may_multiply(g, epilogue);
        if products && let Some(swapped) = im2col::swapped(g, &params) {
            let other = if adjoint { &kernels::conv2d } else { &kernels::conv2d_input_gradient };
            let weight = self.swapped_weight(&params, reads[1]);
            let reads = [&[reads[0], weight], &reads[2..]].concat();
            self.convolution(other, g, epilogue, swapped, &reads, y);
            return;
        }
        let constants =
            vec![("KERNEL", g.size as u32), ("STRIDE", g.stride as u32), ("EPILOGUE", epilogue.code())];
        // A product would write and read 27 values for a pixel of three channels. The direct forms do not.
        let direct = match adjoint {
            false => kernels::fits::conv2d_rgb(bytes_of(&params), &constants),
            true => {
                params.coarse_channels <= DIRECT_CHANNELS
                    && kernels::fits::conv2d_input_gradient_rgb(bytes_of(&params), &constants)
            }
        };
        if products
            && !direct
            && let Some(matrices) = Im2col::new(g, &params)
        {
            match adjoint {
                false => self.by_im2col(&matrices, epilogue, reads, y),
                true => self.by_col2im(&matrices, epilogue, reads, y),
            }
            return;
        }
        // An epilogue without an operand leaves a binding free, which must still name a tensor.
        let beside = reads.get(2).copied().unwrap_or(reads[1]);
        self.call(kernel, bytes_of(&params), constants, &[reads[0], reads[1], beside], &[y]);
        self.count_flops(g, &params);
    }

    pub(super) fn weight_gradient(&mut self, g: Usual, tensor: Tensor, reads: &[TensorId], y: TensorId) {
        let operands = &self.graph.node(tensor).operands;
        let (fine, coarse) = (self.shape(operands[0]), self.shape(operands[1]));
        let mut params = params_of(g, fine, coarse);
        if self.weight_gradient_by_winograd(tensor, y) {
            return;
        }
        if self.limits.matrix_products {
            let swapped = im2col::swapped(g, &params);
            if let Some(matrices) = Im2col::new(g, &swapped.unwrap_or(params)) {
                match swapped {
                    Some(_) => self.swapped_weight_gradient(&matrices, reads, y),
                    None => self.im2col_weight_gradient(&matrices, reads, y),
                }
                return;
            }
        }
        let bias = self.bias_gradient(tensor, y);
        let y = bias.unwrap_or(y);
        let weight = self.tensors[y.0].shape.clone();
        let (rows, width) = ((params.batch * params.height) as usize, params.width as usize);
        let (splits, per_split) = self.splits(weight.len(), rows, width);
        (params.splits, params.rows_per_split) = (splits as u32, per_split as u32);
        let mut constants = vec![("KERNEL", g.size as u32), ("STRIDE", g.stride as u32)];
        if bias.is_some() {
            constants.push(("BIAS", 1));
        }
        let parts = if splits == 1 {
            y
        } else {
            self.fresh(format!("{} parts", self.tensors[y.0].label), Shape::new(&[splits, weight.len()]))
        };
        self.call(&kernels::conv2d_weight_gradient, bytes_of(&params), constants, reads, &[parts]);
        self.count_flops(g, &params);
        if splits > 1 {
            self.sum_rows(parts, y, false);
        }
    }

    /// How a weight gradient over `rows` of `width` coarse pixels is split: the number of partial sums, and the rows of each.
    pub(super) fn splits(&self, values_of_weight: usize, rows: usize, width: usize) -> (usize, usize) {
        let Split { values, most } = self.limits.split;
        let busy = values.div_ceil(values_of_weight).min(most);
        let short = (rows * width).div_ceil(WEIGHT_GRADIENT_PIXELS);
        let per_split = rows.div_ceil(busy.max(short).min(rows));
        (rows.div_ceil(per_split), per_split)
    }

    /// The place for the gradients of a weight and of its bias together, if the graph wants one right behind the other in a pack.
    /// The node of the bias then counts as lowered.
    fn bias_gradient(&mut self, weight: Tensor, y: TensorId) -> Option<TensorId> {
        let (pack, offset) = self.packed[weight.0].filter(|_| self.limits.biases_with_weights)?;
        let coarse = self.graph.node(weight).operands[1];
        let channels = self.shape(coarse).channels();
        let end = offset + self.shape(weight).len();
        let bias = (0..self.graph.nodes.len()).map(Tensor).find(|&other| {
            let Node { operation, operands, shape } = self.graph.node(other);
            let sums =
                matches!(operation, Operation::SumRows) && operands[0] == coarse && shape.len() == channels;
            sums && self.packed[other.0] == Some((pack, end))
        })?;
        self.result(bias);
        let rows = self.shape(weight).len() / channels + 1;
        let TensorInfo { label, root, offset, .. } = self.tensors[y.0].clone();
        Some(self.tensor(label, Shape::new(&[rows, channels]), root, offset))
    }

    fn count_flops(&mut self, g: Usual, p: &ConvolutionParams) {
        let positions = u64::from(p.batch) * u64::from(p.height) * u64::from(p.width);
        let taps = (g.size * g.size) as u64 * u64::from(p.fine_channels) * u64::from(p.coarse_channels);
        self.calls.last_mut().expect("just pushed").flops = 2 * positions * taps;
    }
}

pub(super) fn params_of(g: Usual, fine: &Shape, coarse: &Shape) -> ConvolutionParams {
    let [batch, height, width, coarse_channels] =
        coarse.image().expect("checked when built").map(|e| e as u32);
    debug_assert_eq!(fine.image().map(|f| f[1]), Some(height as usize * g.stride));
    let fine_channels = fine.channels() as u32;
    let (splits, rows_per_split) = (1, batch * height);
    ConvolutionParams {
        batch,
        height,
        width,
        fine_channels,
        coarse_channels,
        splits,
        rows_per_split,
        columns: 0,
        slope: 1.0,
    }
}
