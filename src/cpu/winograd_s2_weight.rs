//! Twin of `shaders/winograd_s2_weight.wgsl`: `M w Mᵀ` for every pair of channels.

use super::winograd;
use super::winograd_s2::WEIGHT;
use crate::kernels::Arguments;

/// Reads the weight `[3, 3, a, b]`; writes 81 matrices inputs x outputs.
pub fn winograd_s2_weight(call: &mut Arguments) {
    winograd::weight(call, &WEIGHT);
}
