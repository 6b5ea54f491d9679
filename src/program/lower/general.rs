//! Calls of the general kernels. They serve every geometry of a convolution that [`Convolution::usual`] refuses.

use super::{Lowering, TensorId};
use crate::graph::{Convolution, Epilogue, Shape};
use crate::kernels::params::GeneralParams;
use crate::kernels::{self, Kernel};
use bytemuck::bytes_of;

impl Lowering<'_> {
    /// A convolution or its adjoint between a fine and a coarse side.
    pub(super) fn general(
        &mut self,
        kernel: &'static Kernel,
        g: Convolution,
        epilogue: Epilogue,
        sides: [&Shape; 2],
        reads: &[TensorId],
        y: TensorId,
    ) {
        let params = GeneralParams { slope: epilogue.slope(), ..params_of(g, sides) };
        let constants = vec![("EPILOGUE", epilogue.code())];
        // An epilogue without an operand leaves a binding free, which must still name a tensor.
        let beside = reads.get(2).copied().unwrap_or(reads[1]);
        self.call(kernel, bytes_of(&params), constants, &[reads[0], reads[1], beside], &[y]);
        self.count(&params);
    }

    /// The gradient by the weight, as partial sums that a second call adds.
    pub(super) fn general_weight_gradient(
        &mut self,
        g: Convolution,
        sides: [&Shape; 2],
        reads: &[TensorId],
        y: TensorId,
    ) {
        let mut params = params_of(g, sides);
        let values = self.tensors[y.0].shape.len();
        let (rows, width) = ((params.batch * params.height) as usize, params.width as usize);
        let (splits, per_split) = self.splits(values, rows, width);
        (params.splits, params.rows_per_split) = (splits as u32, per_split as u32);
        let parts = match splits {
            1 => y,
            _ => self.fresh(format!("{} parts", self.tensors[y.0].label), Shape::new(&[splits, values])),
        };
        self.call(&kernels::convolution_weight_gradient, bytes_of(&params), vec![], reads, &[parts]);
        self.count(&params);
        if splits > 1 {
            self.sum_rows(parts, y, false);
        }
    }

    fn count(&mut self, p: &GeneralParams) {
        let positions = [p.batch, p.height, p.width].map(u64::from).iter().product::<u64>();
        let taps =
            [p.kernel_height, p.kernel_width, p.fine_channels / p.groups, p.coarse_channels].map(u64::from);
        self.calls.last_mut().expect("just pushed").flops = 2 * positions * taps.iter().product::<u64>();
    }
}

fn params_of(g: Convolution, sides: [&Shape; 2]) -> GeneralParams {
    let [fine, coarse] = sides.map(|side| side.image().expect("checked when built").map(|e| e as u32));
    let pair = |values: [usize; 2]| values.map(|v| v as u32);
    let [kernel, stride, dilation] = [g.size, g.stride, g.dilation].map(pair);
    let [batch, height, width, coarse_channels] = coarse;
    GeneralParams {
        batch,
        fine_height: fine[1],
        fine_width: fine[2],
        fine_channels: fine[3],
        height,
        width,
        coarse_channels,
        groups: g.groups as u32,
        kernel_height: kernel[0],
        kernel_width: kernel[1],
        stride_height: stride[0],
        stride_width: stride[1],
        dilation_height: dilation[0],
        dilation_width: dilation[1],
        top: g.padding[0][0] as u32,
        left: g.padding[1][0] as u32,
        splits: 1,
        rows_per_split: batch * height,
        slope: 1.0,
    }
}
