//! Twin of `shaders/phase_gradient.wgsl`: `M m Mᵀ` for every pair of channels.

use super::geometry::element;
use super::phases::{FINE_ELEMENTS, GRADIENT};
use super::winograd::both;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the product, 81 matrices outputs x inputs; writes the gradient `[3, 3, inputs, outputs]`.
pub fn phase_gradient(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (inputs, outputs, product) = (p.inputs as usize, p.outputs as usize, call.reads[0]);
    for (input, output) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
        let value = |k: usize| f64::from(product[element(FINE_ELEMENTS, inputs, [k, output, input])]);
        for (tap, value) in both(&GRADIENT, value).into_iter().flatten().enumerate() {
            call.writes[0][(tap * inputs + input) * outputs + output] = value as f32;
        }
    }
}
