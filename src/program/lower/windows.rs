//! Calls of pooling and resizing. Windows that neither overlap nor leave gaps have kernels of their own. All others share the
//! geometry of `WindowParams`.

use super::{Lowering, PoolParams, TensorId};
use crate::graph::{Operation, Resize, Shape, Tensor, Window};
use crate::kernels;
use crate::kernels::params::{ResizeParams, WindowParams};
use bytemuck::bytes_of;

impl Lowering<'_> {
    /// A node that pools, or the adjoint of one.
    pub(super) fn pooling(&mut self, tensor: Tensor, reads: &[TensorId], y: TensorId) {
        let node = self.graph.node(tensor);
        let (own, first) = (&node.shape, self.shape(node.operands[0]));
        match node.operation {
            Operation::Pool(window) if window.is_side_by_side() => {
                let params = pool_params(window, first, 0.0);
                self.call(&kernels::pool, bytes_of(&params), vec![], reads, &[y]);
            }
            Operation::Pool(window) => {
                let params = window_params(window, first, own, first);
                self.call(&kernels::window_pool, bytes_of(&params), vec![], reads, &[y]);
            }
            Operation::Unpool(window, mask) if window.is_side_by_side() => {
                let params = pool_params(window, own, mask.unwrap_or(0.0));
                let constants = vec![("MASK", u32::from(mask.is_some()))];
                let mask = reads.get(1).copied().unwrap_or(reads[0]);
                self.call(&kernels::unpool, bytes_of(&params), constants, &[reads[0], mask], &[y]);
            }
            Operation::Unpool(window, _) => {
                let params = window_params(window, own, first, own);
                self.call(&kernels::window_unpool, bytes_of(&params), vec![], reads, &[y]);
            }
            Operation::MaxPool(window) => {
                let params = window_params(window, first, own, self.shape(node.operands[1]));
                self.call(&kernels::max_pool, bytes_of(&params), vec![], reads, &[y]);
            }
            Operation::MaxUnpool(window) => {
                let params = window_params(window, own, first, self.shape(node.operands[1]));
                self.call(&kernels::max_unpool, bytes_of(&params), vec![], reads, &[y]);
            }
            _ => unreachable!("called for pooling only"),
        }
    }

    /// A node that resizes, or the adjoint of one.
    pub(super) fn resizing(&mut self, tensor: Tensor, reads: &[TensorId], y: TensorId) {
        let node = self.graph.node(tensor);
        let (own, first) = (&node.shape, self.shape(node.operands[0]));
        match &node.operation {
            Operation::Resize(resize) => {
                let params = resize_params(resize, first);
                self.call(&kernels::resize, bytes_of(&params), vec![], reads, &[y]);
            }
            Operation::ResizeGradient(resize) => {
                let params = resize_params(resize, own);
                self.call(&kernels::resize_gradient, bytes_of(&params), vec![], reads, &[y]);
            }
            _ => unreachable!("called for resizing only"),
        }
    }
}

fn pool_params(window: Window, large: &Shape, slope: f32) -> PoolParams {
    let [batch, height, width, channels] = large.image().expect("checked when built").map(|e| e as u32);
    let (window_height, window_width) = (window.height as u32, window.width as u32);
    PoolParams { batch, height, width, channels, window_height, window_width, scale: window.scale, slope }
}

fn window_params(window: Window, large: &Shape, small: &Shape, keys: &Shape) -> WindowParams {
    let image = |shape: &Shape| shape.image().expect("checked when built").map(|e| e as u32);
    let ([batch, height, width, channels], [_, rows, columns, _]) = (image(large), image(small));
    let [[top, bottom], [left, right]] = window.padding.map(|side| side.map(|cells| cells as u32));
    WindowParams {
        batch,
        height,
        width,
        channels,
        rows,
        columns,
        window_height: window.height as u32,
        window_width: window.width as u32,
        stride_height: window.stride[0] as u32,
        stride_width: window.stride[1] as u32,
        top,
        left,
        bottom,
        right,
        keys: keys.rows() as u32,
        divisor: window.divisor as u32,
        scale: window.scale,
    }
}

fn resize_params(resize: &Resize, operand: &Shape) -> ResizeParams {
    let [batch, height, width, channels] = operand.image().expect("checked when built").map(|e| e as u32);
    let [rows, columns] = resize.steps();
    ResizeParams {
        batch,
        channels,
        height,
        width,
        to_height: resize.to[0] as u32,
        to_width: resize.to[1] as u32,
        row_multiply: rows.multiply as u32,
        row_add: rows.add as i32,
        row_divide: rows.divide as u32,
        column_multiply: columns.multiply as u32,
        column_add: columns.add as i32,
        column_divide: columns.divide as u32,
        linear: u32::from(resize.sampling == crate::graph::Sampling::Linear),
    }
}
