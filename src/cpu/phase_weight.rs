//! Twin of `shaders/phase_weight.wgsl`: `M w Mᵀ` for every pair of channels.

use super::geometry::element;
use super::phases::{FINE_ELEMENTS, WEIGHT};
use super::winograd::both;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

/// Reads the weight `[3, 3, a, b]`; writes 81 matrices inputs x outputs.
pub fn phase_weight(call: &mut Arguments) {
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
            call.writes[0][element(FINE_ELEMENTS, outputs, [at, input, output])] = value as f32;
        }
    }
}
