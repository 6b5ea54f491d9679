//! A layer's two gradients by Winograd's algorithms: which side of the gradient by the weight is transformed as an image, and
//! the convolution that meets the same image.
//!
//! At stride 1 the sides may change places: the sum over all positions p of x[p + k - 1] d[p] is that over all q of
//! x[q] d[q + (2 - k) - 1]. A backward pass convolves d, to carry it on to the layer before; its image then serves both
//! gradients, and what a forward pass made of x need not be kept, or be made again where a batch goes in pieces.
//!
//! Two ways were weighed for pieces: to keep the transformed image of the whole batch until the second gradient comes, nine quarters
//! of the tensor itself, or to compute both gradients piece by piece, the later one early. It is the second: what is shared
//! stays in the caches, and memory is a piece's.

use super::convolution::params_of;
use super::winograd::{Transform, Winograd};
use super::{Lowering, TensorId};
use crate::graph::{Epilogue, Node, Operation, Tensor};

/// A convolution of the graph that the algorithms compute.
pub(super) struct Convolved {
    pub winograd: Winograd,
    pub epilogue: Epilogue,
    pub reads: Vec<TensorId>,
    pub y: TensorId,
}

/// A gradient by a weight that the algorithms compute.
pub(super) struct WeightGradient {
    pub winograd: Winograd,
    /// The side that is transformed as an image, and the other one.
    pub sides: [TensorId; 2],
    pub y: TensorId,
}

impl Lowering<'_> {
    /// How the algorithms would compute a node that convolves.
    pub(super) fn convolved_by_winograd(&self, node: Tensor) -> Option<(Winograd, Epilogue)> {
        let Node { operation, operands, shape } = self.graph.node(node);
        let (g, epilogue, turned) = match operation {
            Operation::Convolve(g, epilogue) => (*g, *epilogue, false),
            Operation::ConvolveInputGradient(g, epilogue) => (*g, *epilogue, true),
            _ => return None,
        };
        let image = self.shape(operands[0]);
        let [fine, coarse] = if turned { [shape, image] } else { [image, shape] };
        let g = g.plain(fine, coarse).ok()?;
        let params = params_of(g, fine, coarse);
        let fits = self.limits.matrix_products
            && (!matches!(epilogue, Epilogue::BorderBiasLeaky(_)) || g.stride == 2);
        let winograd = Winograd::new(g, &params, turned).filter(|_| fits)?;
        Some((winograd, epilogue))
    }

    /// How they would compute a gradient by a weight whose operand 0 or 1, the fine or the coarse side, is the image.
    fn gradient_by_winograd(&self, node: Tensor, side: usize) -> Option<Winograd> {
        let Node { operation: Operation::ConvolveWeightGradient(g), operands, .. } = self.graph.node(node)
        else {
            return None;
        };
        let turned = side == 1;
        let [fine, coarse] = [self.shape(operands[0]), self.shape(operands[1])];
        let g = g.plain(fine, coarse).ok()?;
        let exchangeable = !turned || g.stride == 1;
        let params = params_of(g, fine, coarse);
        Winograd::new(g, &params, turned).filter(|_| self.limits.matrix_products && exchangeable)
    }

    /// Lowers a convolution, and beside it the gradient by a weight that meets the same image in the same pieces.
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

    /// Lowers a gradient by a weight if the algorithms fit, and beside it the convolution that meets the same image in
    /// the same pieces.
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

    /// A convolution ahead whose image is that side of a gradient by a weight.
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

    /// Nodes behind this one that could be computed now: no state changes in between, and what they read is there or, parts of
    /// weights above all, only to be put together.
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

    /// Lowers what a node reads and is not there yet.
    fn fetch_operands(&mut self, node: Tensor) {
        for &operand in &self.graph.node(node).operands {
            if self.ids[operand.0].is_none() {
                self.fetch_operands(operand);
                self.node(operand);
            }
        }
    }
}
