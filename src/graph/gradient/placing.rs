//! Backward rules of what gives values another place or shape and computes nothing: views, slices, concatenations and packs.

use super::Result;
use crate::graph::{Graph, Node, Operation, Tensor, Window};

impl Graph {
    /// The contributions to the gradients of the operands; `wants` says which of them need one.
    pub(super) fn placing_backward(
        &mut self,
        operation: &Operation,
        operands: &[Tensor],
        d: Tensor,
        wants: impl Fn(usize) -> bool,
    ) -> Result<Vec<(Tensor, Tensor)>> {
        let mut to = Vec::new();
        match operation {
            // Also where the detached tensor itself is wanted.
            Operation::Alias { differentiable: false } => {}
            Operation::Alias { differentiable: true } => {
                let mut extents = self.shape(operands[0]).extents().to_vec();
                extents[0] *= self.copies(operands[0], d);
                to.push((operands[0], self.reshape(d, &extents)?));
            }
            Operation::View { offset } => {
                // Weights are wanted themselves; a view inside a path is packed back into its base. What a pack
                // leaves out is 0.
                let len = self.shape(operands[0]).len();
                let padded = self.pack(&[(d, *offset)], len)?;
                let extents = self.shape(operands[0]).extents().to_vec();
                to.push((operands[0], self.reshape(padded, &extents)?));
            }
            Operation::Concatenate => {
                let mut start = 0;
                for (i, &part) in operands.iter().enumerate() {
                    let channels = self.shape(part).channels();
                    if wants(i) {
                        let piece = self.slice(d, start, channels)?;
                        to.push((part, self.sum_positions(part, piece)?));
                    }
                    start += channels;
                }
            }
            Operation::Slice { start } => to.push((operands[0], self.pad_channels(operands[0], *start, d)?)),
            Operation::Pack { offsets } => {
                for (i, &part) in operands.iter().enumerate().filter(|(i, _)| wants(*i)) {
                    let extents = self.shape(part).extents().to_vec();
                    to.push((part, self.view(d, offsets[i], &extents)?));
                }
            }
            _ => unreachable!("called for these only"),
        }
        Ok(to)
    }

    /// The parts of the sum of two concatenations of which one has zeros wherever the other has something, as gradients by
    /// slices that share no channel have.
    pub(super) fn joined(&self, a: Tensor, b: Tensor) -> Option<Vec<Tensor>> {
        let parts = |t: Tensor| match self.node(t) {
            Node { operation: Operation::Concatenate, operands, .. } => Some(operands),
            _ => None,
        };
        let zero = |t: Tensor| matches!(self.node(t).operation, Operation::Constant(0.0));
        let (a, b) = (parts(a)?, parts(b)?);
        let one = |(&a, &b): (&Tensor, &Tensor)| {
            let same = self.shape(a).channels() == self.shape(b).channels();
            match (zero(a), zero(b)) {
                (true, _) if same => Some(b),
                (_, true) if same => Some(a),
                _ => None,
            }
        };
        (a.len() == b.len()).then(|| a.iter().zip(b).map(one).collect())?
    }

    /// Zeros around `d` so that it has the channels of `like`.
    fn pad_channels(&mut self, like: Tensor, start: usize, d: Tensor) -> Result {
        let shape = self.shape(like).clone();
        let (own, all) = (self.shape(d).channels(), shape.channels());
        let mut parts = Vec::new();
        let mut extents = shape.extents().to_vec();
        extents[0] = self.shape(d).rows();
        for (before, channels) in [(true, start), (false, all - start - own)] {
            if channels > 0 {
                *extents.last_mut().expect("shapes have extents") = channels;
                parts.push((before, self.constant(0.0, &extents)?));
            }
        }
        let mut order: Vec<Tensor> = parts.iter().filter(|p| p.0).map(|p| p.1).collect();
        order.push(d);
        order.extend(parts.iter().filter(|p| !p.0).map(|p| p.1));
        self.concatenate(&order)
    }

    /// Sums a slice of a concatenation over the positions over which `part` had been repeated.
    fn sum_positions(&mut self, part: Tensor, piece: Tensor) -> Result {
        let mut extents = self.shape(part).extents().to_vec();
        if self.shape(piece).extents()[1..] == extents[1..] {
            return Ok(piece);
        }
        extents[0] = self.shape(piece).rows();
        let [_, h, w, _] = self.shape(piece).image().expect("planes stand beside images");
        let pooled = self.pool(Window::new(h, w), piece)?;
        self.reshape(pooled, &extents)
    }
}
