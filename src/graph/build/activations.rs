//! Activations of the field's networks, composed of primitive operations; the compiler of programs makes one call of
//! each.

use super::Result;
use crate::graph::{Graph, Tensor, Unary};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

impl Graph {
    /// `max(x, 0)`.
    pub fn relu(&mut self, x: Tensor) -> Tensor {
        self.unary(Unary::LeakyRelu(0.0), x)
    }

    /// `x · sigmoid(x)`, also called swish.
    pub fn silu(&mut self, x: Tensor) -> Result {
        let gate = self.unary(Unary::Sigmoid, x);
        self.multiply(x, gate)
    }

    /// `x · Φ(x)`, Φ being the normal distribution's: the exact form, by the error function.
    pub fn gelu(&mut self, x: Tensor) -> Result {
        let scaled = self.affine(x, FRAC_1_SQRT_2, 0.0);
        let erf = self.unary(Unary::Erf, scaled);
        let gate = self.affine(erf, 0.5, 0.5);
        self.multiply(x, gate)
    }

    /// The approximation of [`Graph::gelu`] by a hyperbolic tangent, which some networks are trained with.
    pub fn gelu_tanh(&mut self, x: Tensor) -> Result {
        const SCALE: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
        let square = self.unary(Unary::Square, x);
        let factor = self.affine(square, 0.044_715 * SCALE, SCALE);
        let inner = self.multiply(x, factor)?;
        let tanh = self.unary(Unary::Tanh, inner);
        let gate = self.affine(tanh, 0.5, 0.5);
        self.multiply(x, gate)
    }

    /// `x` where positive, else `a·(eˣ − 1)`.
    pub fn elu(&mut self, x: Tensor, a: f32) -> Result {
        let positive = self.relu(x);
        let negative = self.unary(Unary::Clamp(f32::MIN, 0.0), x);
        let exponential = self.unary(Unary::Exp, negative);
        let below = self.affine(exponential, a, -a);
        self.add(positive, below)
    }

    /// `a·x + b`, between 0 and 1: 1/6 and 1/2 in PyTorch, 1/5 and 1/2 by ONNX's default.
    pub fn hard_sigmoid(&mut self, x: Tensor, a: f32, b: f32) -> Tensor {
        let line = self.affine(x, a, b);
        self.unary(Unary::Clamp(0.0, 1.0), line)
    }

    /// `x` times the [`Graph::hard_sigmoid`] of 1/6 and 1/2.
    pub fn hard_swish(&mut self, x: Tensor) -> Result {
        let gate = self.hard_sigmoid(x, 1.0 / 6.0, 0.5);
        self.multiply(x, gate)
    }

    /// `x^a`, by the most exact function that there is for it.
    pub fn power(&mut self, x: Tensor, a: f32) -> Tensor {
        self.unary(
            match a {
                -1.0 => Unary::Reciprocal,
                0.5 => Unary::Sqrt,
                1.0 => Unary::Identity,
                2.0 => Unary::Square,
                _ => Unary::Power(a),
            },
            x,
        )
    }
}
