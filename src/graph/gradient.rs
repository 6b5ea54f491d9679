//! Gradients: the backward rule of each operation, written in operations of the same set. A node is visited only if the result depends
//! on it and it depends on a wanted tensor.

mod elementwise;
mod placing;
mod spatial;

use super::operation::{Binary, Borders, Epilogue, Operation};
use super::{Convolution, Graph, GraphError, Shape, Tensor};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

impl Graph {
    /// Appends the backward operations of `of`, weighted by `cotangent` (of the same shape), and returns the
    /// gradient with respect to each wanted tensor; zeros where `of` does not depend on it.
    ///
    /// A cotangent may hold several copies of the batch one after the other, `[m·n, …]` for `of` of `[n, …]`; the gradients
    /// by images then do too. So one backward pass serves the gradients of several classes. Only operations that
    /// treat images one by one may lie on such a path.
    ///
    /// # Errors
    /// If a cotangent's shape is neither its tensor's nor that of several copies.
    pub fn gradient(&mut self, of: Tensor, cotangent: Tensor, wanted: &[Tensor]) -> Result<Vec<Tensor>> {
        self.gradient_of_many(&[(of, cotangent)], wanted)
    }

    /// As [`Graph::gradient`], of a sum of several weighted tensors in one backward pass.
    pub fn gradient_of_many(&mut self, of: &[(Tensor, Tensor)], wanted: &[Tensor]) -> Result<Vec<Tensor>> {
        let last = of.iter().map(|(t, _)| t.0).max().unwrap_or(0);
        let leads = self.leads_to_wanted(last, wanted);
        let mut gradients: Vec<Option<Tensor>> = vec![None; last + 1];
        for &(tensor, cotangent) in of {
            let cotangent = match self.holds_copies(tensor, cotangent) {
                true => cotangent,
                false => self.broadcast(cotangent, &self.shape(tensor).clone())?,
            };
            self.accumulate(&mut gradients, tensor, cotangent)?;
        }
        for index in (0..=last).rev() {
            let Some(cotangent) = gradients[index].filter(|_| leads[index]) else { continue };
            if !self.nodes[index].operands.iter().any(|t| leads[t.0]) {
                continue;
            }
            for (operand, contribution) in self.backward(Tensor(index), cotangent, &leads)? {
                self.accumulate(&mut gradients, operand, contribution)?;
            }
        }
        wanted
            .iter()
            .map(|&w| match gradients.get(w.0).copied().flatten() {
                Some(gradient) => Ok(gradient),
                None => {
                    let extents = self.shape(w).extents().to_vec();
                    self.constant(0.0, &extents)
                }
            })
            .collect()
    }

    /// Whether `d` is a whole number of copies of what has the shape of `tensor`, one after the other.
    fn holds_copies(&self, tensor: Tensor, d: Tensor) -> bool {
        let (own, all) = (self.shape(tensor).extents(), self.shape(d).extents());
        all.len() == own.len() && all[1..] == own[1..] && all[0].is_multiple_of(own[0])
    }

    /// How many copies of the batch of `tensor` its cotangent `d` holds.
    fn copies(&self, tensor: Tensor, d: Tensor) -> usize {
        (self.shape(d).len() / self.shape(tensor).len()).max(1)
    }

    /// For every node up to `last`: does it depend on a wanted tensor (through differentiable paths)?
    fn leads_to_wanted(&self, last: usize, wanted: &[Tensor]) -> Vec<bool> {
        let mut leads = vec![false; last + 1];
        for index in 0..=last {
            let node = &self.nodes[index];
            let stops = matches!(node.operation, Operation::Alias { differentiable: false });
            leads[index] =
                wanted.contains(&Tensor(index)) || (!stops && node.operands.iter().any(|t| leads[t.0]));
        }
        leads
    }

    fn accumulate(&mut self, gradients: &mut [Option<Tensor>], to: Tensor, more: Tensor) -> Result<()> {
        gradients[to.0] = Some(match gradients[to.0] {
            None => more,
            Some(sum) => match self.joined(sum, more) {
                Some(parts) => self.concatenate(&parts)?,
                None => self.add(sum, more)?,
            },
        });
        Ok(())
    }

    /// The contributions of one node to its operands' gradients; operands that lead nowhere are skipped.
    fn backward(&mut self, node: Tensor, d: Tensor, leads: &[bool]) -> Result<Vec<(Tensor, Tensor)>> {
        let super::Node { operation, operands, .. } = self.nodes[node.0].clone();
        let wants = |i: usize| operands.get(i).is_some_and(|t: &Tensor| leads[t.0]);
        let mut to = match operation {
            Operation::Alias { .. }
            | Operation::View { .. }
            | Operation::Concatenate
            | Operation::Slice { .. }
            | Operation::Pack { .. } => self.placing_backward(&operation, &operands, d, wants)?,
            Operation::Unary(function) => {
                let dx = self.unary_backward(function, operands[0], node, d)?;
                vec![(operands[0], self.reduce_to(operands[0], node, dx)?)]
            }
            Operation::Binary(function) => {
                let mut to = Vec::new();
                for (i, d) in self.binary_backward(function, &operands, node, d, [wants(0), wants(1)])? {
                    to.push((operands[i], self.reduce_to(operands[i], node, d)?));
                }
                to
            }
            Operation::SumColumns | Operation::SumRows => {
                vec![(operands[0], self.sum_backward(&operation, operands[0], node, d)?)]
            }
            Operation::Convolve(..)
            | Operation::ConvolveInputGradient(..)
            | Operation::ConvolveWeightGradient(_) => {
                let wants = [wants(0), wants(1), wants(2)];
                self.convolution_backward(&operation, &operands, node, d, wants)?
            }
            Operation::Pool(_)
            | Operation::Unpool(..)
            | Operation::MaxPool(_)
            | Operation::MaxUnpool(_)
            | Operation::Resize(_)
            | Operation::ResizeGradient(_)
            | Operation::BorderSum(_)
            | Operation::BorderSpread(_) => {
                vec![(operands[0], self.spatial_backward(&operation, &operands, d)?)]
            }
            Operation::Softmax | Operation::CrossEntropy | Operation::CrossEntropyGradient => {
                self.classification_backward(&operation, &operands, node, d, [wants(0), wants(2)])?
            }
            Operation::GatherRows(epilogue) => self.rows_backward(epilogue, &operands, node, d, wants(0))?,
            // Piecewise constant, or the end of the path.
            Operation::OneHot | Operation::ArgMax | Operation::RandomNormal => Vec::new(),
            Operation::Input(_) | Operation::State(_) | Operation::Constant(_) => Vec::new(),
            // No tensor stands for what they do.
            Operation::Assign | Operation::Adam => Vec::new(),
        };
        to.retain(|(operand, _)| leads[operand.0]);
        Ok(to)
    }

    /// Every value that was added receives what its sum carries.
    fn sum_backward(&mut self, operation: &Operation, x: Tensor, y: Tensor, d: Tensor) -> Result {
        let mut extents = self.shape(x).extents().to_vec();
        if *operation == Operation::SumColumns {
            extents[0] *= self.copies(y, d);
            return self.broadcast(d, &Shape::new(&extents));
        }
        // The sum's own columns need not be the last extents of what it adds.
        let columns = self.shape(d).len();
        let rows = Shape::new(&[self.shape(x).len() / columns, columns]);
        let repeated = self.broadcast(d, &rows)?;
        self.reshape(repeated, &extents)
    }

    /// Of chosen rows, and of what was added beside them.
    fn rows_backward(
        &mut self,
        epilogue: Epilogue,
        operands: &[Tensor],
        y: Tensor,
        d: Tensor,
        wants_rows: bool,
    ) -> Result<Vec<(Tensor, Tensor)>> {
        let d = match epilogue {
            Epilogue::None => d,
            other => self.binary(Binary::LeakyMask(other.slope()), d, y)?,
        };
        let mut to = Vec::new();
        if wants_rows {
            to.push((operands[0], self.gather_backward(operands[0], operands[1], d)?));
        }
        to.extend(operands.get(2).map(|&beside| (beside, d)));
        Ok(to)
    }

    /// Softmax, cross-entropy and its gradient; `wants` is about the logits and the scale.
    fn classification_backward(
        &mut self,
        operation: &Operation,
        operands: &[Tensor],
        y: Tensor,
        d: Tensor,
        wants: [bool; 2],
    ) -> Result<Vec<(Tensor, Tensor)>> {
        let mut to = Vec::new();
        match operation {
            Operation::Softmax => {
                to.push((operands[0], self.softmax_backward(y, d)?));
            }
            Operation::CrossEntropy => {
                to.push((operands[0], self.cross_entropy_gradient(operands[0], operands[1], d)?));
            }
            Operation::CrossEntropyGradient => {
                let [logits, labels, scale] = [operands[0], operands[1], operands[2]];
                let p = self.softmax(logits);
                if wants[0] {
                    let scaled = self.multiply(d, scale)?;
                    to.push((logits, self.softmax_backward(p, scaled)?));
                }
                if wants[1] {
                    let classes = self.shape(logits).columns();
                    let one_hot = self.one_hot(labels, classes);
                    let difference = self.subtract(p, one_hot)?;
                    let product = self.multiply(d, difference)?;
                    to.push((scale, self.sum_columns(product)));
                }
            }
            _ => unreachable!("called for these three only"),
        }
        Ok(to)
    }

    /// Adds each row of `d` to the row of `x` that it was taken from. Choosing rows is a product with ones at the chosen
    /// and zeros elsewhere, so this is that product's gradient by what it chose from; zeros up to a whole number of
    /// columns that kernels take at a time open their faster ways.
    fn gather_backward(&mut self, x: Tensor, rows: Tensor, d: Tensor) -> Result {
        let extents = self.shape(x).extents().to_vec();
        let one_hot = self.one_hot(rows, extents[0].next_multiple_of(8));
        let [chosen, d] = [one_hot, d].map(|tensor| {
            let [n, columns] = [self.shape(tensor).rows(), self.shape(tensor).columns()];
            self.reshape(tensor, &[n, 1, 1, columns])
        });
        let by_row = self.convolve_weight_gradient(Convolution::same(1, 1), chosen?, d?)?;
        self.view(by_row, 0, &extents)
    }

    /// Each of the three partial derivatives of the trilinear form has the other two as its gradients.
    fn convolution_backward(
        &mut self,
        operation: &Operation,
        operands: &[Tensor],
        y: Tensor,
        d: Tensor,
        wants: [bool; 3],
    ) -> Result<Vec<(Tensor, Tensor)>> {
        let mut to = Vec::new();
        let image = |graph: &Self, t: Tensor| {
            let [_, height, width, _] = graph.shape(t).image().expect("convolutions are of images");
            [height, width]
        };
        match *operation {
            Operation::Convolve(g, _) => {
                if wants[0] {
                    let fine = image(self, operands[0]);
                    to.push((operands[0], self.convolve_input_gradient(g, d, operands[1], fine)?));
                }
                if wants[1] {
                    to.push((operands[1], self.convolve_weight_gradient(g, operands[0], d)?));
                }
            }
            Operation::ConvolveInputGradient(g, epilogue) => {
                // Other epilogues than that for borders are the compiler's, which comes after the gradients.
                let borders = matches!(epilogue, Epilogue::BorderBiasLeaky(_));
                let d = if borders { self.binary(Binary::LeakyMask(epilogue.slope()), d, y)? } else { d };
                if wants[0] {
                    to.push((operands[0], self.convolve(g, d, operands[1])?));
                }
                if wants[1] {
                    to.push((operands[1], self.convolve_weight_gradient(g, d, operands[0])?));
                }
                if wants[2] {
                    let borders = Borders { stride: g.stride[0] };
                    to.push((operands[2], self.border_sum(borders, d)?));
                }
            }
            Operation::ConvolveWeightGradient(g) => {
                if wants[0] {
                    let fine = image(self, operands[0]);
                    to.push((operands[0], self.convolve_input_gradient(g, operands[1], d, fine)?));
                }
                if wants[1] {
                    to.push((operands[1], self.convolve(g, operands[0], d)?));
                }
            }
            _ => unreachable!("called for convolutions only"),
        }
        Ok(to)
    }

    /// `p · (d − Σ p·d)` for the softmax `p`.
    fn softmax_backward(&mut self, p: Tensor, d: Tensor) -> Result {
        let product = self.multiply(p, d)?;
        let mean = self.sum_columns(product);
        let centred = self.subtract(d, mean)?;
        self.multiply(p, centred)
    }
}
