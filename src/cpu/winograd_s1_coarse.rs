//! Twin of `shaders/winograd_s1_coarse.wgsl`: `M d Mᵀ` for every tile of 4 x 4 pixels and every channel.

use super::winograd;
use super::winograd_s1::COARSE;
use crate::kernels::Arguments;

/// Reads the coarse side `[n, h, w, outputs]`; writes 36 matrices outputs x tiles.
pub fn winograd_s1_coarse(call: &mut Arguments) {
    winograd::coarse(call, &COARSE);
}
