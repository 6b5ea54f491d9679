//! Twin of `shaders/winograd_s1_weight.wgsl`: `M w Mᵀ` for every pair of channels.

use super::winograd;
use super::winograd_s1::WEIGHT;
use crate::kernels::Arguments;

/// Reads the weight `[3, 3, a, b]`; writes 36 matrices inputs x outputs.
pub fn winograd_s1_weight(call: &mut Arguments) {
    winograd::weight(call, &WEIGHT);
}
