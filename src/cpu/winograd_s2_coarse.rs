//! Twin of `shaders/winograd_s2_coarse.wgsl`: `M d Mᵀ` for every tile of 4 x 4 pixels and every channel.

use super::winograd;
use super::winograd_s2::COARSE;
use crate::kernels::Arguments;

/// Reads the coarse side `[n, h, w, outputs]`; writes 25 matrices outputs x tiles.
pub fn winograd_s2_coarse(call: &mut Arguments) {
    winograd::coarse(call, &COARSE);
}
