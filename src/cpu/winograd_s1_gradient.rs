//! Twin of `shaders/winograd_s1_gradient.wgsl`: `M m Mᵀ` for every pair of channels.

use super::winograd;
use super::winograd_s1::GRADIENT;
use crate::kernels::Arguments;

/// Reads the product, 36 matrices outputs x inputs; writes the gradient `[3, 3, inputs, outputs]`, or with SWAPPED = 1
/// `[3, 3, outputs, inputs]` and the last tap first.
pub fn winograd_s1_gradient(call: &mut Arguments) {
    let swapped = call.constant("SWAPPED") == 1;
    winograd::gradient(call, &GRADIENT, swapped);
}
