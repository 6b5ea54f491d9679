//! Twin of `shaders/winograd_weight.wgsl`: `G w Gᵀ` for every pair of channels.

use super::geometry::element;
use crate::kernels::Arguments;
use crate::kernels::params::WinogradParams;

const G: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// Reads the weight `[3, 3, a, b]`; writes sixteen matrices inputs x outputs.
pub fn winograd_weight(call: &mut Arguments) {
    let p: WinogradParams = call.params();
    let (turned, weight) = (call.constant("TURNED") == 1, call.reads[0]);
    let (inputs, outputs) = (p.inputs as usize, p.outputs as usize);
    let tap = |ky: usize, kx: usize, input: usize, output: usize| {
        f64::from(match turned {
            false => weight[((3 * ky + kx) * inputs + input) * outputs + output],
            true => weight[((8 - 3 * ky - kx) * outputs + output) * inputs + input],
        })
    };
    for (input, output) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
        for at in 0..16 {
            let (row, column) = (G[at / 4], G[at % 4]);
            let sum: f64 = (0..9).map(|k| row[k / 3] * column[k % 3] * tap(k / 3, k % 3, input, output)).sum();
            call.writes[0][element(16, outputs, [at, input, output])] = sum as f32;
        }
    }
}
