//! Which way a convolution or one of its gradients goes where Winograd's algorithms (`backward.rs`) do not take it: as a product
//! of gathered values, with the sides exchanged or not (`gathered.rs`), or directly, in a call of its own.

use super::gathered::{self, Gathered};
use super::{Lowering, Split, TensorId, TensorInfo};
use crate::graph::{Epilogue, Node, Operation, Plain, Shape, Tensor};
use crate::kernels::params::ConvolutionParams;
use crate::kernels::{self, Kernel};
use bytemuck::bytes_of;

/// Pixels that one invocation of a weight gradient may add (software Vulkan's loops end at 65,535).
const WEIGHT_GRADIENT_PIXELS: usize = 1 << 14;
/// Coarse channels up to which a gradient towards three channels is faster direct than as a product whose 27 values per
/// pixel are written and read: with 16 scattering alone takes as long as the direct form, with 64 an FGM step takes 0.97 of the
/// time by the product.
const DIRECT_CHANNELS: u32 = 16;

impl Lowering<'_> {
    /// A convolution or one of its gradients: by the kernels of the plain geometry where it is that, else by the general ones.
    pub(super) fn convolved(&mut self, tensor: Tensor, reads: &[TensorId], y: TensorId) {
        let Node { operation, operands, shape } = self.graph.node(tensor);
        let first = self.shape(operands[0]);
        match operation {
            Operation::Convolve(g, e) => match g.plain(first, shape) {
                Ok(plain) => {
                    let params = params_of(plain, first, shape);
                    self.convolution(&kernels::conv2d, plain, *e, params, reads, y);
                }
                Err(_) => self.general(&kernels::convolution, *g, *e, [first, shape], reads, y),
            },
            Operation::ConvolveInputGradient(g, e) => match g.plain(shape, first) {
                Ok(plain) => {
                    let params = params_of(plain, shape, first);
                    self.convolution(&kernels::conv2d_input_gradient, plain, *e, params, reads, y);
                }
                Err(_) => {
                    let kernel = &kernels::convolution_input_gradient;
                    self.general(kernel, *g, *e, [shape, first], reads, y);
                }
            },
            Operation::ConvolveWeightGradient(g) => {
                let sides = [first, self.shape(operands[1])];
                match g.plain(sides[0], sides[1]) {
                    Ok(plain) => self.weight_gradient(plain, tensor, reads, y),
                    Err(_) => self.general_weight_gradient(*g, sides, reads, y),
                }
            }
            _ => unreachable!("called for convolutions only"),
        }
    }

    /// Calls that compute a convolution (`kernel` is `conv2d`) or its adjoint (`conv2d_input_gradient`).
    pub(super) fn convolution(
        &mut self,
        kernel: &'static Kernel,
        g: Plain,
        epilogue: Epilogue,
        params: ConvolutionParams,
        reads: &[TensorId],
        y: TensorId,
    ) {
        let turned = kernel.name == kernels::conv2d_input_gradient.name;
        let params = ConvolutionParams { slope: epilogue.slope(), ..params };
        if self.limits.matrix_products
            && let Some(exchanged) = gathered::exchanged(g, &params)
        {
            let other = if turned { &kernels::conv2d } else { &kernels::conv2d_input_gradient };
            let weight = self.exchanged_weight(&params, reads[1]);
            let reads = [&[reads[0], weight], &reads[2..]].concat();
            self.convolution(other, g, epilogue, exchanged, &reads, y);
            return;
        }
        let constants =
            vec![("KERNEL", g.size as u32), ("STRIDE", g.stride as u32), ("EPILOGUE", epilogue.code())];
        // Between a pixel's three channels and a product stand 27 values, written and read; the direct forms do without.
        let direct = match turned {
            false => kernels::fits::conv2d_rgb(bytes_of(&params), &constants),
            true => {
                params.out_channels <= DIRECT_CHANNELS
                    && kernels::fits::conv2d_input_gradient_rgb(bytes_of(&params), &constants)
            }
        };
        if self.limits.matrix_products
            && !direct
            && let Some(gathered) = Gathered::new(g, &params)
        {
            match turned {
                false => self.gathered(&gathered, epilogue, reads, y),
                true => self.scattered(&gathered, epilogue, reads, y),
            }
            return;
        }
        // Without bias or mask the binding must still name something; the weight will do.
        let beside = reads.get(2).copied().unwrap_or(reads[1]);
        self.call(kernel, bytes_of(&params), constants, &[reads[0], reads[1], beside], &[y]);
        self.count_flops(g, &params);
    }

    pub(super) fn weight_gradient(&mut self, g: Plain, tensor: Tensor, reads: &[TensorId], y: TensorId) {
        let operands = &self.graph.node(tensor).operands;
        let (fine, coarse) = (self.shape(operands[0]), self.shape(operands[1]));
        let mut params = params_of(g, fine, coarse);
        if self.weight_gradient_by_winograd(tensor, y) {
            return;
        }
        if self.limits.matrix_products {
            let exchanged = gathered::exchanged(g, &params);
            if let Some(gathered) = Gathered::new(g, &exchanged.unwrap_or(params)) {
                match exchanged {
                    Some(_) => self.exchanged_weight_gradient(&gathered, reads, y),
                    None => self.gathered_weight_gradient(&gathered, reads, y),
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

    /// Partial sums of a weight gradient of so many values over `rows` of `width` coarse pixels, and rows of each.
    pub(super) fn splits(&self, values_of_weight: usize, rows: usize, width: usize) -> (usize, usize) {
        let Split { values, most } = self.limits.split;
        let busy = values.div_ceil(values_of_weight).min(most);
        let short = (rows * width).div_ceil(WEIGHT_GRADIENT_PIXELS);
        let per_split = rows.div_ceil(busy.max(short).min(rows));
        (rows.div_ceil(per_split), per_split)
    }

    /// The gradient of a weight and, right behind it, of its bias, if the graph wants both in such places of one pack; the bias's
    /// node is lowered then.
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

    fn count_flops(&mut self, g: Plain, p: &ConvolutionParams) {
        let positions = u64::from(p.batch) * u64::from(p.height) * u64::from(p.width);
        let taps = (g.size * g.size) as u64 * u64::from(p.in_channels) * u64::from(p.out_channels);
        self.calls.last_mut().expect("just pushed").flops = 2 * positions * taps;
    }
}

pub(super) fn params_of(g: Plain, fine: &Shape, coarse: &Shape) -> ConvolutionParams {
    let [batch, height, width, out_channels] = coarse.image().expect("checked when built").map(|e| e as u32);
    debug_assert_eq!(fine.image().map(|f| f[1]), Some(height as usize * g.stride));
    let in_channels = fine.channels() as u32;
    let (splits, rows_per_split) = (1, batch * height);
    ConvolutionParams {
        batch,
        height,
        width,
        in_channels,
        out_channels,
        splits,
        rows_per_split,
        columns: 0,
        slope: 1.0,
    }
}
