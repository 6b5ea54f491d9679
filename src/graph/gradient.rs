//! Gradients: the backward rule of each operation, written in operations of the same set. A node is visited only if the result depends
//! on it and it depends on a wanted tensor.

mod spatial;

use super::operation::{Binary, Borders, COMPOSE_FLOOR, Epilogue, Operation, Unary};
use super::{Broadcast, Convolution, Graph, GraphError, Shape, Tensor};

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
            let cotangent = match self.copies(tensor, cotangent) {
                1 => self.broadcast(cotangent, &self.shape(tensor).clone())?,
                _ => cotangent,
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

    /// The parts of the sum of two concatenations of which one has zeros wherever the other has something, as gradients by
    /// slices that share no channel have.
    fn joined(&self, a: Tensor, b: Tensor) -> Option<Vec<Tensor>> {
        let parts = |t: Tensor| match self.node(t) {
            super::Node { operation: Operation::Concatenate, operands, .. } => Some(operands),
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

    /// The contributions of one node to its operands' gradients; operands that lead nowhere are skipped.
    fn backward(&mut self, node: Tensor, d: Tensor, leads: &[bool]) -> Result<Vec<(Tensor, Tensor)>> {
        let super::Node { operation, operands, .. } = self.nodes[node.0].clone();
        let wants = |i: usize| operands.get(i).is_some_and(|t: &Tensor| leads[t.0]);
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
                let padded = self.pack(&[(d, offset)], len)?;
                let extents = self.shape(operands[0]).extents().to_vec();
                to.push((operands[0], self.reshape(padded, &extents)?));
            }
            Operation::Unary(function) => {
                let dx = self.unary_backward(function, operands[0], node, d)?;
                to.push((operands[0], self.reduce_to(operands[0], node, dx)?));
            }
            Operation::Binary(function) => {
                for (i, d) in self.binary_backward(function, &operands, node, d, [wants(0), wants(1)])? {
                    to.push((operands[i], self.reduce_to(operands[i], node, d)?));
                }
            }
            Operation::SumColumns => {
                let mut extents = self.shape(operands[0]).extents().to_vec();
                extents[0] *= self.copies(node, d);
                to.push((operands[0], self.broadcast(d, &Shape::new(&extents))?));
            }
            Operation::SumRows => {
                // The sum's own columns need not be the last extents of what it adds.
                let extents = self.shape(operands[0]).extents().to_vec();
                let columns = self.shape(d).len();
                let rows = Shape::new(&[self.shape(operands[0]).len() / columns, columns]);
                let repeated = self.broadcast(d, &rows)?;
                to.push((operands[0], self.reshape(repeated, &extents)?));
            }
            Operation::Convolve(..)
            | Operation::ConvolveInputGradient(..)
            | Operation::ConvolveWeightGradient(_) => {
                to = self.convolution_backward(
                    &operation,
                    &operands,
                    node,
                    d,
                    [wants(0), wants(1), wants(2)],
                )?;
            }
            Operation::Pool(_)
            | Operation::Unpool(..)
            | Operation::MaxPool(_)
            | Operation::MaxUnpool(_)
            | Operation::Resize(_)
            | Operation::ResizeGradient(_)
            | Operation::BorderSum(_)
            | Operation::BorderSpread(_) => {
                to.push((operands[0], self.spatial_backward(&operation, &operands, d)?));
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
            Operation::Slice { start } => to.push((operands[0], self.pad_channels(operands[0], start, d)?)),
            Operation::Softmax | Operation::CrossEntropy | Operation::CrossEntropyGradient => {
                to = self.classification_backward(&operation, &operands, node, d, [wants(0), wants(2)])?;
            }
            Operation::Pack { offsets } => {
                for (i, &part) in operands.iter().enumerate().filter(|(i, _)| wants(*i)) {
                    let extents = self.shape(part).extents().to_vec();
                    to.push((part, self.view(d, offsets[i], &extents)?));
                }
            }
            // Piecewise constant, or the end of the path.
            Operation::OneHot | Operation::ArgMax | Operation::RandomNormal => {}
            Operation::Input(_) | Operation::State(_) | Operation::Constant(_) => {}
            Operation::GatherRows(epilogue) => {
                let d = match epilogue {
                    Epilogue::None => d,
                    other => self.binary(Binary::LeakyMask(other.slope()), d, node)?,
                };
                if wants(0) {
                    to.push((operands[0], self.gather_backward(operands[0], operands[1], d)?));
                }
                to.extend(operands.get(2).map(|&beside| (beside, d)));
            }
            // No tensor stands for what they do.
            Operation::Assign | Operation::Adam => {}
        }
        to.retain(|(operand, _)| leads[operand.0]);
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

    /// Undoes the broadcast of `like` to `node`: sums `d`, which may hold several copies of the batch, to its shape. What
    /// belongs to images keeps its copies.
    fn reduce_to(&mut self, like: Tensor, node: Tensor, d: Tensor) -> Result {
        let copies = self.copies(node, d);
        let mut extents = self.shape(like).extents().to_vec();
        let images = self.shape(node);
        let bias = images.image().is_some() && self.shape(like).extents() == [images.channels()];
        let summed = match self.shape(like).broadcast_to(images) {
            Some(Broadcast::Full) => return Ok(d),
            // The bias of a single channel too is summed as those of many are.
            Some(Broadcast::Scalar) if bias => self.sum_rows(d, 1)?,
            // One number of the only image of a batch is a scalar too, but each copy has its own.
            Some(Broadcast::Scalar) if copies == 1 || extents != [1, 1] => self.sum(d),
            Some(Broadcast::Scalar | Broadcast::Stretch) => {
                extents[0] *= copies;
                self.sum_columns(d)
            }
            _ => {
                let len = self.shape(like).len();
                self.sum_rows(d, len)?
            }
        };
        self.reshape(summed, &extents)
    }

    /// `operand` of `node`, for products with a cotangent `d` that holds several copies of the batch: one number per image
    /// must be repeated itself.
    fn repeated(&mut self, operand: Tensor, node: Tensor, d: Tensor) -> Result {
        let copies = self.copies(node, d);
        let how = self.shape(operand).broadcast_to(self.shape(node));
        if copies == 1 || how != Some(Broadcast::Stretch) {
            return Ok(operand);
        }
        let rows = self.shape(operand).rows();
        self.broadcast(operand, &Shape::new(&[copies * rows, 1]))
    }

    fn unary_backward(&mut self, function: Unary, x: Tensor, y: Tensor, d: Tensor) -> Result {
        match function {
            Unary::Identity => Ok(d),
            Unary::Affine(a, _) => Ok(self.affine(d, a, 0.0)),
            Unary::Clamp(a, b) => self.binary(Binary::ClampMask(a, b), d, x),
            // The result has the operand's sign unless the slope is negative. It is kept in any case, so it is the mask.
            Unary::LeakyRelu(a) => self.binary(Binary::LeakyMask(a), d, if a < 0.0 { x } else { y }),
            Unary::Exp => self.multiply(d, y),
            Unary::Log => self.binary(Binary::Divide, d, x),
            Unary::Tanh => {
                let square = self.unary(Unary::Square, y);
                let slope = self.affine(square, -1.0, 1.0);
                self.multiply(d, slope)
            }
            Unary::Sigmoid => {
                let half = self.binary(Binary::ComposeGradient, d, y)?;
                Ok(self.affine(half, 0.5, 0.0))
            }
            Unary::Sqrt => {
                let half = self.affine(d, 0.5, 0.0);
                self.binary(Binary::Divide, half, y)
            }
            Unary::Square => {
                // Doubled last, which rounds nothing: so what is kept for the backward pass is x itself.
                let product = self.multiply(d, x)?;
                Ok(self.affine(product, 2.0, 0.0))
            }
            Unary::Abs => {
                let sign = self.unary(Unary::Sign, x);
                self.multiply(d, sign)
            }
            Unary::Sign => {
                let shape = self.shape(x).extents().to_vec();
                self.constant(0.0, &shape)
            }
            Unary::Erf => {
                let square = self.unary(Unary::Square, x);
                let exponent = self.affine(square, -1.0, 0.0);
                let bell = self.unary(Unary::Exp, exponent);
                let slope = self.affine(bell, std::f32::consts::FRAC_2_SQRT_PI, 0.0);
                self.multiply(d, slope)
            }
            Unary::Softplus => {
                let slope = self.unary(Unary::Sigmoid, x);
                self.multiply(d, slope)
            }
            Unary::Power(0.0) => {
                let extents = self.shape(d).extents().to_vec();
                self.constant(0.0, &extents)
            }
            Unary::Power(a) => {
                let power = self.power(x, a - 1.0);
                let slope = self.affine(power, a, 0.0);
                self.multiply(d, slope)
            }
            Unary::Reciprocal => {
                let square = self.unary(Unary::Square, y);
                let product = self.multiply(d, square)?;
                Ok(self.affine(product, -1.0, 0.0))
            }
        }
    }

    /// Gradients by the left (0) and right (1) operand, each of the result's shape, where wanted.
    fn binary_backward(
        &mut self,
        function: Binary,
        operands: &[Tensor],
        y: Tensor,
        d: Tensor,
        wants: [bool; 2],
    ) -> Result<Vec<(usize, Tensor)>> {
        let [l, r] = [self.repeated(operands[0], y, d)?, self.repeated(operands[1], y, d)?];
        let mut to = Vec::new();
        if wants[0] {
            let dl = match function {
                Binary::Add | Binary::Subtract => Some(d),
                Binary::Multiply => Some(self.multiply(d, r)?),
                Binary::Divide => Some(self.binary(Binary::Divide, d, r)?),
                Binary::Maximum | Binary::Minimum => Some(self.where_chosen(function, operands, d)?),
                Binary::LeakyMask(_) | Binary::ClampMask(..) | Binary::ComposeGradient | Binary::Select => {
                    Some(self.binary(function, d, r)?)
                }
                Binary::Compose => Some(self.compose_backward_image(l, y, d)?),
                Binary::Equal | Binary::Greater => None,
            };
            to.extend(dl.map(|dl| (0, dl)));
        }
        if wants[1] {
            let dr = match function {
                Binary::Add => Some(d),
                Binary::Subtract => Some(self.affine(d, -1.0, 0.0)),
                Binary::Multiply => Some(self.multiply(d, l)?),
                Binary::Divide => {
                    let product = self.multiply(d, y)?;
                    let quotient = self.binary(Binary::Divide, product, r)?;
                    Some(self.affine(quotient, -1.0, 0.0))
                }
                Binary::Maximum | Binary::Minimum => {
                    let left = self.where_chosen(function, operands, d)?;
                    Some(self.subtract(d, left)?)
                }
                Binary::Compose => Some(self.binary(Binary::ComposeGradient, d, y)?),
                Binary::ComposeGradient => {
                    // 2·l·(1 − 2r)
                    let slope = self.affine(r, -4.0, 2.0);
                    let product = self.multiply(d, l)?;
                    Some(self.multiply(product, slope)?)
                }
                // Masks are piecewise constant in their second operand.
                Binary::LeakyMask(_) | Binary::ClampMask(..) | Binary::Select => None,
                Binary::Equal | Binary::Greater => None,
            };
            to.extend(dr.map(|dr| (1, dr)));
        }
        Ok(to)
    }

    /// `d` where the left operand is the result of a maximum or minimum (ties go right), else 0.
    fn where_chosen(&mut self, function: Binary, operands: &[Tensor], d: Tensor) -> Result {
        let [l, r] = [operands[0], operands[1]];
        let left_won = match function {
            Binary::Maximum => self.binary(Binary::Greater, l, r)?,
            _ => self.binary(Binary::Greater, r, l)?,
        };
        self.multiply(d, left_won)
    }

    /// Equation 5 by the image: `x_adv (1 − x_adv) / (x (1 − x))` inside the clamp.
    fn compose_backward_image(&mut self, x: Tensor, y: Tensor, d: Tensor) -> Result {
        let (low, high) = (COMPOSE_FLOOR, 1.0 - COMPOSE_FLOOR);
        let clamped = self.unary(Unary::Clamp(low, high), x);
        let one = self.constant(1.0, &[1])?;
        let numerator = self.binary(Binary::ComposeGradient, d, y)?;
        let denominator = self.binary(Binary::ComposeGradient, one, clamped)?;
        let quotient = self.binary(Binary::Divide, numerator, denominator)?;
        self.binary(Binary::ClampMask(low, high), quotient, x)
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
        let pooled = self.pool(super::Window::new(h, w), piece)?;
        self.reshape(pooled, &extents)
    }
}
