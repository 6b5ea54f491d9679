//! Backward rules of functions of one and of two values, and of the broadcasts in them.

use super::Result;
use crate::graph::operation::COMPOSE_FLOOR;
use crate::graph::{Binary, Broadcast, Graph, Shape, Tensor, Unary};

impl Graph {
    /// Undoes the broadcast of `like` to `node`: sums `d`, which may hold several copies of the batch, to its shape. What
    /// belongs to images keeps its copies.
    pub(super) fn reduce_to(&mut self, like: Tensor, node: Tensor, d: Tensor) -> Result {
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

    pub(super) fn unary_backward(&mut self, function: Unary, x: Tensor, y: Tensor, d: Tensor) -> Result {
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
            Unary::Sign | Unary::Power(0.0) => {
                // The cotangent's shape, which may be that of several copies.
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
    pub(super) fn binary_backward(
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
}
