//! The builder: one method per operation, which checks the shapes and states the result's.

mod activations;
mod convolutions;
mod normalisation;
mod pooling;
mod resizing;

use super::operation::{Binary, Borders, Epilogue, Operation, Unary};
use super::{Graph, GraphError, Node, Shape, Tensor};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// The states that one Adam step reads and writes; all have the length of the parameters.
#[derive(Clone, Copy, Debug)]
pub struct AdamStates {
    /// The live parameters.
    pub parameters: Tensor,
    /// First moment.
    pub momentum: Tensor,
    /// Second moment.
    pub variance: Tensor,
    /// Exponential moving average of the parameters, if one is kept.
    pub average: Option<Tensor>,
}

/// The shape with these extents, if a tensor may have it.
fn shape_of(operation: &'static str, extents: &[usize]) -> Result<Shape> {
    let shape = Shape::new(extents);
    match (1..=4).contains(&extents.len()) && !shape.is_empty() {
        true => Ok(shape),
        false => {
            let expected = "one to four extents of at least 1";
            Err(GraphError::Unsuitable { operation, shape, expected })
        }
    }
}

impl Graph {
    /// A tensor that the host writes before each run.
    pub fn input(&mut self, name: &str, extents: &[usize]) -> Result {
        self.leaf(Operation::Input(name.to_string()), extents)
    }

    /// A tensor that lives on the device from run to run and is shared by name.
    pub fn state(&mut self, name: &str, extents: &[usize]) -> Result {
        self.leaf(Operation::State(name.to_string()), extents)
    }

    /// One value everywhere.
    pub fn constant(&mut self, value: f32, extents: &[usize]) -> Result {
        self.leaf(Operation::Constant(value), extents)
    }

    fn leaf(&mut self, operation: Operation, extents: &[usize]) -> Result {
        let shape = shape_of("leaf", extents)?;
        // What has one name has one piece of memory, however often the graph mentions it.
        if let Operation::Input(name) | Operation::State(name) = &operation
            && let Some(known) = self.nodes.iter().find(|node| node.operation == operation)
            && known.shape.len() != shape.len()
        {
            return Err(GraphError::OtherLength { name: name.clone(), known: known.shape.clone(), shape });
        }
        Ok(self.push(operation, &[], shape))
    }

    /// The values of `base` from `offset` on in the given shape; nothing is copied.
    pub fn view(&mut self, base: Tensor, offset: usize, extents: &[usize]) -> Result {
        let shape = shape_of("view", extents)?;
        if offset + shape.len() > self.shape(base).len() {
            return Err(self.mismatch("view", base, &shape));
        }
        Ok(self.push(Operation::View { offset }, &[base], shape))
    }

    /// The same values in another shape; nothing is copied.
    pub fn reshape(&mut self, x: Tensor, extents: &[usize]) -> Result {
        let shape = shape_of("reshape", extents)?;
        if shape.len() != self.shape(x).len() {
            return Err(self.mismatch("reshape", x, &shape));
        }
        Ok(self.push(Operation::Alias { differentiable: true }, &[x], shape))
    }

    /// The same tensor through which no gradient flows.
    pub fn detach(&mut self, x: Tensor) -> Tensor {
        let shape = self.shape(x).clone();
        self.push(Operation::Alias { differentiable: false }, &[x], shape)
    }

    /// A function of every value.
    pub fn unary(&mut self, function: Unary, x: Tensor) -> Tensor {
        let shape = self.shape(x).clone();
        self.push(Operation::Unary(function), &[x], shape)
    }

    /// `a·x + b`.
    pub fn affine(&mut self, x: Tensor, a: f32, b: f32) -> Tensor {
        self.unary(Unary::Affine(a, b), x)
    }

    /// `x` repeated to a larger shape (see [`Shape::broadcast_to`]).
    pub fn broadcast(&mut self, x: Tensor, shape: &Shape) -> Result {
        if self.shape(x) == shape {
            return Ok(x);
        }
        shape_of("broadcast", shape.extents())?;
        match self.shape(x).broadcast_to(shape) {
            Some(_) => Ok(self.push(Operation::Unary(Unary::Identity), &[x], shape.clone())),
            None => Err(self.mismatch("broadcast", x, shape)),
        }
    }

    /// A function of two tensors; the smaller is broadcast to the larger.
    pub fn binary(&mut self, function: Binary, left: Tensor, right: Tensor) -> Result {
        let (l, r) = (self.shape(left), self.shape(right));
        let shape = if l.len() >= r.len() { l.clone() } else { r.clone() };
        if l.broadcast_to(&shape).is_none() || r.broadcast_to(&shape).is_none() {
            return Err(GraphError::Mismatch {
                operation: "element-wise operation",
                left: l.clone(),
                right: r.clone(),
            });
        }
        Ok(self.push(Operation::Binary(function), &[left, right], shape))
    }

    /// `l + r`.
    pub fn add(&mut self, l: Tensor, r: Tensor) -> Result {
        self.binary(Binary::Add, l, r)
    }

    /// `l − r`.
    pub fn subtract(&mut self, l: Tensor, r: Tensor) -> Result {
        self.binary(Binary::Subtract, l, r)
    }

    /// `l · r`.
    pub fn multiply(&mut self, l: Tensor, r: Tensor) -> Result {
        self.binary(Binary::Multiply, l, r)
    }

    /// The sum over the rows of `x` seen as rows of `columns` values: `[columns]`.
    pub fn sum_rows(&mut self, x: Tensor, columns: usize) -> Result {
        if columns == 0 || !self.shape(x).len().is_multiple_of(columns) {
            return Err(self.mismatch("sum of rows", x, &Shape::new(&[columns])));
        }
        Ok(self.push(Operation::SumRows, &[x], Shape::new(&[columns])))
    }

    /// The sum of each row (image): `[rows, 1]`.
    pub fn sum_columns(&mut self, x: Tensor) -> Tensor {
        let rows = self.shape(x).rows();
        self.push(Operation::SumColumns, &[x], Shape::new(&[rows, 1]))
    }

    /// The sum of everything, `[1]`.
    pub fn sum(&mut self, x: Tensor) -> Tensor {
        let rows = self.sum_columns(x);
        self.push(Operation::SumRows, &[rows], Shape::new(&[1]))
    }

    /// Sums over the places of images `[n, h, w, c]` that [`Borders`] does not tell apart: `[n, 3s, 3s, c]`.
    pub fn border_sum(&mut self, borders: Borders, x: Tensor) -> Result {
        match self.shape(x).image() {
            Some([n, h, w, c]) if borders.fit(h) && borders.fit(w) => {
                let shape = Shape::new(&[n, borders.side(), borders.side(), c]);
                Ok(self.push(Operation::BorderSum(borders), &[x], shape))
            }
            _ => Err(self.unsuitable("border sum", x, "images of at least twice the stride to a side")),
        }
    }

    /// The adjoint of [`Graph::border_sum`]: `[n, 3s, 3s, c]` to `[n, height, width, c]`.
    pub fn border_spread(&mut self, borders: Borders, x: Tensor, height: usize, width: usize) -> Result {
        match self.shape(x).image() {
            Some([n, h, w, c])
                if [h, w] == [borders.side(); 2] && borders.fit(height) && borders.fit(width) =>
            {
                let shape = Shape::new(&[n, height, width, c]);
                Ok(self.push(Operation::BorderSpread(borders), &[x], shape))
            }
            _ => Err(self.unsuitable("border spread", x, "one place for each that borders tell apart")),
        }
    }

    /// Tensors side by side along the channels. The first gives the shape; a later part `[n, c]` is repeated
    /// over the positions of its image, which is how labels become constant planes.
    pub fn concatenate(&mut self, parts: &[Tensor]) -> Result {
        let operation = "concatenation";
        let Some(&part) = parts.first() else {
            let (shape, expected) = (Shape::new(&[]), "made of at least one part");
            return Err(GraphError::Unsuitable { operation, shape, expected });
        };
        let first = self.shape(part).clone();
        let mut channels = 0;
        for &part in parts {
            let shape = self.shape(part);
            let [positions, own] = [&first, shape].map(|s| s.len() / s.channels());
            if shape.rows() != first.rows() || (own != positions && own != shape.rows()) {
                return Err(self.mismatch(operation, parts[0], shape));
            }
            channels += shape.channels();
        }
        let mut extents = first.extents().to_vec();
        *extents.last_mut().expect("shapes have extents") = channels;
        Ok(self.push(Operation::Concatenate, parts, Shape::new(&extents)))
    }

    /// `len` channels of `x` from channel `start` on. Of a convolution only those are computed: a backward pass wants
    /// the gradient by one part of a concatenation and not by the labels beside it.
    pub fn slice(&mut self, x: Tensor, start: usize, len: usize) -> Result {
        if len == 0 || start + len > self.shape(x).channels() {
            return Err(self.mismatch("slice", x, &Shape::new(&[start, len])));
        }
        if len == self.shape(x).channels() {
            return Ok(x);
        }
        let Node { operation, operands, .. } = self.node(x).clone();
        match operation {
            Operation::Convolve(g, Epilogue::None) if g.groups == 1 => {
                let weight = self.slice(operands[1], start, len)?;
                return self.convolve(g, operands[0], weight);
            }
            Operation::ConvolveInputGradient(g, Epilogue::None) if g.groups == 1 => {
                let [_, height, width, _] = self.shape(x).image().expect("convolutions make images");
                let [rows, columns, a, b] =
                    self.shape(operands[1]).image().expect("weights have four extents");
                let taps = self.reshape(operands[1], &[rows * columns, a * b])?;
                let taps = self.slice(taps, start * b, len * b)?;
                let weight = self.reshape(taps, &[rows, columns, len, b])?;
                return self.convolve_input_gradient(g, operands[0], weight, [height, width]);
            }
            _ => {}
        }
        let mut extents = self.shape(x).extents().to_vec();
        *extents.last_mut().expect("shapes have extents") = len;
        Ok(self.push(Operation::Slice { start }, &[x], Shape::new(&extents)))
    }

    /// Row-wise softmax of `[n, k]`.
    pub fn softmax(&mut self, x: Tensor) -> Tensor {
        let shape = self.shape(x).clone();
        self.push(Operation::Softmax, &[x], shape)
    }

    /// Cross-entropy of `[n, k]` logits at `[n, 1]` labels, per image: `[n, 1]`.
    pub fn cross_entropy(&mut self, logits: Tensor, labels: Tensor) -> Result {
        if self.shape(logits).rows() != self.shape(labels).len() {
            return Err(self.mismatch("cross-entropy", logits, self.shape(labels)));
        }
        let rows = self.shape(logits).rows();
        Ok(self.push(Operation::CrossEntropy, &[logits, labels], Shape::new(&[rows, 1])))
    }

    /// `scale · (softmax(logits) − one-hot(labels))`, the gradient of [`Graph::cross_entropy`].
    pub fn cross_entropy_gradient(&mut self, logits: Tensor, labels: Tensor, scale: Tensor) -> Result {
        let (l, s) = (self.shape(labels), self.shape(scale));
        if self.shape(logits).rows() != l.len() || l.len() != s.len() {
            return Err(self.mismatch("cross-entropy gradient", logits, s));
        }
        let shape = self.shape(logits).clone();
        Ok(self.push(Operation::CrossEntropyGradient, &[logits, labels, scale], shape))
    }

    /// `[n, classes]`: 1 at each label, 0 elsewhere.
    pub fn one_hot(&mut self, labels: Tensor, classes: usize) -> Tensor {
        let rows = self.shape(labels).len();
        self.push(Operation::OneHot, &[labels], Shape::new(&[rows, classes]))
    }

    /// The column of each row's largest value, as a number: `[n, 1]`.
    pub fn arg_max(&mut self, x: Tensor) -> Tensor {
        let rows = self.shape(x).rows();
        self.push(Operation::ArgMax, &[x], Shape::new(&[rows, 1]))
    }

    /// Standard normal numbers; `seed` holds three 32-bit integers as bit patterns: seed, counter, and the index of
    /// the first number, so that the parts of a batch can have the numbers of the whole.
    pub fn random_normal(&mut self, seed: Tensor, extents: &[usize]) -> Result {
        if self.shape(seed).len() != 3 {
            return Err(self.unsuitable("random numbers", seed, "a seed of three integers"));
        }
        Ok(self.push(Operation::RandomNormal, &[seed], shape_of("random numbers", extents)?))
    }

    /// Rows of `x` in the order of `rows` (numbers `[m]`): `[m, …]`.
    pub fn gather_rows(&mut self, x: Tensor, rows: Tensor) -> Tensor {
        let mut extents = self.shape(x).extents().to_vec();
        extents[0] = self.shape(rows).len();
        self.push(Operation::GatherRows(Epilogue::None), &[x, rows], Shape::new(&extents))
    }

    /// Leaky ReLU of the sum of `beside` and rows of `x` in the order of `rows`: [`Graph::gather_rows`] as biases that differ from
    /// place to place.
    pub fn gather_rows_leaky(&mut self, slope: f32, x: Tensor, rows: Tensor, beside: Tensor) -> Result {
        let mut extents = self.shape(x).extents().to_vec();
        extents[0] = self.shape(rows).len();
        let shape = Shape::new(&extents);
        if *self.shape(beside) != shape {
            return Err(self.mismatch("rows added", beside, &shape));
        }
        Ok(self.push(Operation::GatherRows(Epilogue::BiasLeaky(slope)), &[x, rows, beside], shape))
    }

    /// Several tensors in one of `len` values, each at its offset; where possible they are computed there.
    pub fn pack(&mut self, parts: &[(Tensor, usize)], len: usize) -> Result {
        let shape = shape_of("pack", &[len])?;
        for &(part, offset) in parts {
            if offset + self.shape(part).len() > len {
                return Err(self.mismatch("pack", part, &shape));
            }
        }
        let (tensors, offsets): (Vec<_>, Vec<_>) = parts.iter().copied().unzip();
        Ok(self.push(Operation::Pack { offsets }, &tensors, shape))
    }

    /// Writes `value` into `state`; later reads of the state in this graph see it.
    pub fn assign(&mut self, state: Tensor, value: Tensor) -> Result<()> {
        if self.shape(state).len() != self.shape(value).len() {
            return Err(self.mismatch("assignment", state, self.shape(value)));
        }
        let shape = self.shape(state).clone();
        self.push(Operation::Assign, &[state, value], shape);
        Ok(())
    }

    /// One Adam step and, where there is one, the moving average, in place. `schedule` is `[step size, ema decay]`, the step size
    /// being `lr · sqrt(1 − β2^t) / (1 − β1^t)`.
    pub fn adam(&mut self, states: AdamStates, gradient: Tensor, schedule: Tensor) -> Result<()> {
        let AdamStates { parameters, momentum, variance, average } = states;
        let shape = self.shape(parameters).clone();
        let mut operands = vec![gradient, schedule, parameters, momentum, variance];
        operands.extend(average);
        for &tensor in operands.iter().filter(|&&tensor| tensor != schedule) {
            if *self.shape(tensor) != shape {
                return Err(self.mismatch("Adam", parameters, self.shape(tensor)));
            }
        }
        self.push(Operation::Adam, &operands, shape);
        Ok(())
    }

    fn mismatch(&self, operation: &'static str, left: Tensor, right: &Shape) -> GraphError {
        GraphError::Mismatch { operation, left: self.shape(left).clone(), right: right.clone() }
    }

    fn unsuitable(&self, operation: &'static str, x: Tensor, expected: &'static str) -> GraphError {
        GraphError::Unsuitable { operation, shape: self.shape(x).clone(), expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_without_values_and_with_more_than_four_extents_are_refused() {
        for extents in [&[][..], &[0], &[2, 0, 3], &[1, 1, 1, 1, 1]] {
            let mut graph = Graph::new();
            let [one, seed] = [1, 3].map(|len| graph.input(&format!("{len} values"), &[len]).unwrap());
            for refused in [
                graph.input("x", extents),
                graph.state("x", extents),
                graph.constant(1.0, extents),
                graph.view(seed, 0, extents),
                graph.reshape(one, extents),
                graph.broadcast(one, &Shape::new(extents)),
                graph.random_normal(seed, extents),
            ] {
                let error = refused.unwrap_err().to_string();
                let wanted = format!("shape {} is not one to four extents", Shape::new(extents));
                assert!(error.contains(&wanted), "{error}");
            }
        }
        let mut graph = Graph::new();
        assert!(graph.pack(&[], 0).is_err());
        let error = graph.concatenate(&[]).unwrap_err().to_string();
        assert_eq!(error, "concatenation: shape [] is not made of at least one part");
    }

    #[test]
    fn a_name_stands_for_one_length() {
        let mut graph = Graph::new();
        graph.input("x", &[2, 3]).unwrap();
        graph.input("x", &[6]).unwrap();
        let error = graph.input("x", &[2]).unwrap_err().to_string();
        assert!(
            error.contains("\"x\"") && error.contains("[2, 3]") && error.ends_with("another name"),
            "{error}"
        );
        graph.state("x", &[4]).unwrap();
        assert!(graph.state("x", &[5]).is_err());
    }
}
