//! Backward rules of what moves values between the pixels of an image: each operation and its adjoint have each other.

use super::Result;
use crate::graph::{Graph, Operation, Tensor};

impl Graph {
    /// The contribution to the first operand's gradient, the only one there is.
    pub(super) fn spatial_backward(
        &mut self,
        operation: &Operation,
        operands: &[Tensor],
        d: Tensor,
    ) -> Result {
        let size = |g: &Self| {
            let [_, h, w, _] = g.shape(operands[0]).image().expect("checked when built");
            [h, w]
        };
        match *operation {
            Operation::Pool(window) => {
                let [h, w] = size(self);
                self.unpool(window, d, h, w)
            }
            // The compiler adds masks after the gradients are built.
            Operation::Unpool(window, None) => self.pool(window, d),
            Operation::MaxPool(window) => self.max_unpool(window, d, operands[1]),
            Operation::MaxUnpool(window) => self.max_pool_by(window, d, operands[1]),
            Operation::Resize(resize) => self.resize_gradient(resize, d),
            Operation::ResizeGradient(resize) => self.resize(resize, d),
            Operation::BorderSum(borders) => {
                let [h, w] = size(self);
                self.border_spread(borders, d, h, w)
            }
            Operation::BorderSpread(borders) => self.border_sum(borders, d),
            _ => unreachable!("called for these only"),
        }
    }
}
