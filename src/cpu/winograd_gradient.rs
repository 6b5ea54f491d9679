//! Twin of `shaders/winograd_gradient.wgsl`: `M m Mᵀ` for every pair of channels.

use super::geometry::element;
use super::winograd::{ELEMENTS, GRADIENT, both};
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the product, 36 matrices outputs x inputs; writes the gradient `[3, 3, inputs, outputs]`, or with the sides exchanged
/// `[3, 3, outputs, inputs]` and the last tap first.
pub fn winograd_gradient(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let turned = call.constant("TURNED");
    let (inputs, outputs, product) = (p.inputs as usize, p.outputs as usize, call.reads[0]);
    for (input, output) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
        let value = |k: usize| f64::from(product[element(ELEMENTS, inputs, [k, output, input])]);
        for (tap, value) in both(&GRADIENT, value).into_iter().flatten().enumerate() {
            let at = match turned {
                0 => (tap * inputs + input) * outputs + output,
                _ => ((8 - tap) * outputs + output) * inputs + input,
            };
            call.writes[0][at] = value as f32;
        }
    }
}
