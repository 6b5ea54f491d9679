//! Twin of `shaders/winograd_s2_gradient.wgsl`: `M m Mᵀ` for every pair of channels.

use super::winograd;
use super::winograd_s2::GRADIENT;
use crate::kernels::Arguments;

/// Reads the product, 81 matrices outputs x inputs; writes the gradient `[3, 3, inputs, outputs]`.
pub fn winograd_s2_gradient(call: &mut Arguments) {
    winograd::gradient(call, &GRADIENT, false);
}
