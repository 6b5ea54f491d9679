//! Twin of `shaders/winograd_gradient.wgsl`: `Cᵀ m C` for every pair of channels.

use super::geometry::element;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

const C: [[f64; 4]; 3] = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 0.0], [0.0, 1.0, 1.0, -1.0]];

/// Reads the product, sixteen matrices outputs x inputs; writes the gradient `[3, 3, inputs, outputs]`.
pub fn winograd_gradient(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (inputs, outputs, product) = (p.inputs as usize, p.outputs as usize, call.reads[0]);
    for (input, output) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
        let value = |k: usize| f64::from(product[element(16, inputs, [k, output, input])]);
        for tap in 0..9 {
            let (row, column) = (C[tap / 3], C[tap % 3]);
            let sum: f64 = (0..16).map(|k| row[k / 4] * column[k % 4] * value(k)).sum();
            call.writes[0][(tap * inputs + input) * outputs + output] = sum as f32;
        }
    }
}
