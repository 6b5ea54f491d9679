//! Normalisations, composed of primitive operations, which have gradients of every order.

use super::Result;
use crate::graph::{Graph, GraphError, Tensor, Unary};

impl Graph {
    /// The logarithm of the softmax of each row of `[n, k]`. It is exact where the softmax itself is 0, and finite for any
    /// finite `x`.
    pub fn log_softmax(&mut self, x: Tensor) -> Result {
        let largest = self.max_columns(x)?;
        // What a row is shifted by changes nothing, so no gradient belongs to it.
        let shift = self.detach(largest);
        let shifted = self.subtract(x, shift)?;
        let exponentials = self.unary(Unary::Exp, shifted);
        let sums = self.sum_columns(exponentials);
        let logarithms = self.unary(Unary::Log, sums);
        self.subtract(shifted, logarithms)
    }

    /// Layer normalisation over the last extents of `x`, which are those of `scale` and `shift`: to mean 0 and variance 1
    /// (ε added), then `scale · x + shift`.
    pub fn layer_norm(&mut self, x: Tensor, scale: Tensor, shift: Tensor, epsilon: f32) -> Result {
        let (extents, own) = (self.shape(x).extents().to_vec(), self.shape(scale).extents().to_vec());
        let fits = extents.len() > own.len() && extents.ends_with(&own) && self.shape(shift).extents() == own;
        if !fits {
            let right = if self.shape(shift).extents() == own { scale } else { shift };
            let [left, right] = [x, right].map(|tensor| self.shape(tensor).clone());
            return Err(GraphError::Mismatch { operation: "layer normalisation", left, right });
        }
        let columns = self.shape(scale).len();
        let rows = self.shape(x).len() / columns;
        let lines = self.reshape(x, &[rows, columns])?;
        let sums = self.sum_columns(lines);
        let mean = self.affine(sums, 1.0 / columns as f32, 0.0);
        let centred = self.subtract(lines, mean)?;
        let squares = self.unary(Unary::Square, centred);
        let sums = self.sum_columns(squares);
        let variance = self.affine(sums, 1.0 / columns as f32, epsilon);
        let deviation = self.unary(Unary::Sqrt, variance);
        let inverse = self.unary(Unary::Reciprocal, deviation);
        let normal = self.multiply(centred, inverse)?;
        let [scale, shift] = [self.reshape(scale, &[columns])?, self.reshape(shift, &[columns])?];
        let scaled = self.multiply(normal, scale)?;
        let result = self.add(scaled, shift)?;
        self.reshape(result, &extents)
    }
}
