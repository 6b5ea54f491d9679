//! Twin of `shaders/winograd_weight.wgsl`: `M w Mᵀ` for every pair of channels.

use super::geometry::element;
use super::winograd::{ELEMENTS, WEIGHT, both};
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the weight `[3, 3, a, b]`; writes 36 matrices inputs x outputs.
pub fn winograd_weight(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (turned, weight) = (p.turned == 1, call.reads[0]);
    let (inputs, outputs) = (p.inputs as usize, p.outputs as usize);
    for (input, output) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
        let tap = |tap: usize| {
            f64::from(match turned {
                false => weight[(tap * inputs + input) * outputs + output],
                true => weight[((8 - tap) * outputs + output) * inputs + input],
            })
        };
        for (at, value) in both(&WEIGHT, tap).into_iter().flatten().enumerate() {
            call.writes[0][element(ELEMENTS, outputs, [at, input, output])] = value as f32;
        }
    }
}
