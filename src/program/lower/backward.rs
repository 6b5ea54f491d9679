//! The two gradients of a layer by Winograd's algorithms. This file decides which side of the gradient by the weight is transformed
//! as an image, and finds the convolution that reads the same image.
//!
//! At stride 1 the sides may be swapped: the sum over all positions p of x[p + k - 1] d[p] equals the sum over all q of
//! x[q] d[q + (2 - k) - 1]. A backward pass convolves d for the layer before. The transformed d then serves both
//! gradients, and the transformed x of the forward pass need not be kept or made again.
//!
//! A batch in pieces could keep the transformed image of the whole batch until the second gradient needs it; that is nine quarters of
//! the tensor. Instead both gradients are computed piece by piece, the later one early. The shared image stays in the
//! caches, and only one piece takes memory.

use super::convolution::params_of;
use super::winograd::{Transform, Winograd};
use super::{Lowering, TensorId};
use crate::graph::{Epilogue, Node, Operation, Tensor};

/// A convolution of the graph by Winograd's algorithms.
pub(super) struct Convolved {
    pub winograd: Winograd,
    pub epilogue: Epilogue,
    pub reads: Vec<TensorId>,
    pub y: TensorId,
}

/// A gradient by a weight by Winograd's algorithms.
pub(super) struct WeightGradient {
    pub winograd: Winograd,
    /// The side that is transformed as an image, then the other side.
    pub sides: [TensorId; 2],
    pub y: TensorId,
}

impl Lowering<'_> {
    /// The algorithm and the epilogue of a convolution, if the algorithms fit.
    pub(super) fn convolved_by_winograd(&self, node: Tensor) -> Option<(Winograd, Epilogue)> {
        let Node { operation, operands, shape } = self.graph.node(node);
        let (g, epilogue, adjoint) = match operation {
            Operation::Convolve(g, epilogue) => (*g, *epilogue, false),
            Operation::ConvolveInputGradient(g, epilogue) => (*g, *epilogue, true),
            _ => return None,
        };
        let image = self.shape(operands[0]);
        let [fine, coarse] = if adjoint { [shape, image] } else { [image, shape] };
        let g = g.usual(fine, coarse).ok()?;
        let params = params_of(g, fine, coarse);
        let winograd = Winograd::new(g, &params, adjoint).filter(|_| self.may_multiply(g, epilogue))?;
        Some((winograd, epilogue))
    }

    /// The algorithm of a gradient by a weight with operand `side` as the image: 0 is the fine side, 1 the coarse side.
    fn gradient_by_winograd(&self, node: Tensor, side: usize) -> Option<Winograd> {
        let Node { operation: Operation::ConvolveWeightGradient(g), operands, .. } = self.graph.node(node)
        else {
            return None;
        };
        let adjoint = side == 1;
        let [fine, coarse] = [self.shape(operands[0]), self.shape(operands[1])];
        let g = g.usual(fine, coarse).ok()?;
        let swappable = !adjoint || g.stride == 1;
        let params = params_of(g, fine, coarse);
        Winograd::new(g, &params, adjoint).filter(|_| self.limits.matrix_products && swappable)
    }

    /// Lowers a convolution, and with it the gradient by a weight that reads the same image in the same pieces.
    pub(super) fn convolution_by_winograd(
        &mut self,
        node: Tensor,
        winograd: Winograd,
        epilogue: Epilogue,
        y: TensorId,
    ) {
        let image = self.graph.node(node).operands[0];
        let gradient = self.ahead(node).find_map(|other| {
            let sides = &self.graph.node(other).operands;
            (0..sides.len().min(2)).filter(|&side| sides[side] == image).find_map(|side| {
                let gradient = self.gradient_by_winograd(other, side)?;
                gradient.shares_image(&winograd).then_some((other, side, gradient))
            })
        });
        let reads = self.operands(node);
        let convolved = Convolved { winograd, epilogue, reads, y };
        match gradient.filter(|_| !convolved.winograd.is_whole()) {
            Some((other, side, winograd)) => {
                self.fetch_operands(other);
                let gradient =
                    WeightGradient { winograd, sides: self.sides(other, side), y: self.result(other) };
                self.winograd(Some(&convolved), Some(&gradient));
            }
            None => self.winograd(Some(&convolved), None),
        }
    }

    /// Lowers a gradient by a weight if the algorithms fit, and with it the convolution that reads the same image in the same
    /// pieces.
    pub(super) fn weight_gradient_by_winograd(&mut self, node: Tensor, y: TensorId) -> bool {
        let choices = [0, 1].map(|side| Some((side, self.gradient_by_winograd(node, side)?)));
        let convolutions = [0, 1].map(|side| self.convolution_of(node, side));
        let cost = |(side, winograd): &(usize, Winograd)| {
            let image = self.id(self.graph.node(node).operands[*side]);
            let known = self.transformed.contains_key(&(image, Transform::Image(winograd.algorithm())));
            let free = known || convolutions[*side].is_some();
            winograd.gradient_cost(free)
        };
        let Some((side, winograd)) = choices.into_iter().flatten().min_by_key(cost) else { return false };
        let convolution = convolutions[side].filter(|_| !winograd.is_whole());
        let gradient = WeightGradient { winograd, sides: self.sides(node, side), y };
        let convolved = convolution.map(|other| {
            self.fetch_operands(other);
            let (winograd, epilogue) = self.convolved_by_winograd(other).expect("found as such");
            let reads = self.operands(other);
            Convolved { winograd, epilogue, reads, y: self.result(other) }
        });
        self.winograd(convolved.as_ref(), Some(&gradient));
        true
    }

    /// A later convolution whose image is side `side` of a gradient by a weight.
    fn convolution_of(&self, node: Tensor, side: usize) -> Option<Tensor> {
        let gradient = self.gradient_by_winograd(node, side)?;
        let image = self.graph.node(node).operands[side];
        self.ahead(node).find(|&other| {
            self.graph.node(other).operands.first() == Some(&image)
                && self.convolved_by_winograd(other).is_some_and(|(w, _)| gradient.shares_image(&w))
        })
    }

    fn sides(&self, node: Tensor, image: usize) -> [TensorId; 2] {
        let operands = self.operands(node);
        [operands[image], operands[1 - image]]
    }

    fn operands(&self, node: Tensor) -> Vec<TensorId> {
        self.graph.node(node).operands.iter().map(|&operand| self.id(operand)).collect()
    }

    /// Later nodes that could be computed now. No state changes in between. Their operands are computed, or are views and
    /// concatenations of computed tensors, such as the parts of a weight.
    fn ahead(&self, node: Tensor) -> impl Iterator<Item = Tensor> {
        let nodes = &self.graph.nodes;
        let changes = |&index: &usize| matches!(nodes[index].operation, Operation::Assign | Operation::Adam);
        (node.0 + 1..nodes.len()).take_while(move |index| !changes(index)).map(Tensor).filter(|&other| {
            let absent = self.live[other.0] && self.ids[other.0].is_none();
            absent && nodes[other.0].operands.iter().all(|&operand| self.at_hand(operand))
        })
    }

    fn at_hand(&self, tensor: Tensor) -> bool {
        let Node { operation, operands, .. } = self.graph.node(tensor);
        let light = matches!(
            operation,
            Operation::View { .. }
                | Operation::Alias { .. }
                | Operation::Slice { .. }
                | Operation::Concatenate
        );
        self.ids[tensor.0].is_some() || light && operands.iter().all(|&operand| self.at_hand(operand))
    }

    /// Lowers the operands of a node that are not lowered yet.
    fn fetch_operands(&mut self, node: Tensor) {
        for &operand in &self.graph.node(node).operands {
            if self.ids[operand.0].is_none() {
                self.fetch_operands(operand);
                self.node(operand);
            }
        }
    }
}
