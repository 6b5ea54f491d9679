//! Twin of `shaders/adam.wgsl`.

use super::CHUNK;
use crate::kernels::Arguments;
use crate::kernels::params::AdamParams;
use rayon::prelude::*;

/// Reads gradient and schedule; updates parameters, momentum, variance and average in place.
pub fn adam(call: &mut Arguments) {
    let p: AdamParams = call.params();
    let (gradient, schedule) = (call.reads[0], call.reads[1]);
    let [parameters, momentum, variance, average] = call.writes else { unreachable!("Adam writes four tensors") };
    let chunks = parameters
        .par_chunks_mut(CHUNK)
        .zip(momentum.par_chunks_mut(CHUNK))
        .zip(variance.par_chunks_mut(CHUNK))
        .zip(average.par_chunks_mut(CHUNK))
        .zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|((((parameters, momentum), variance), average), gradient)| {
        for (i, &g) in gradient.iter().enumerate() {
            let m = p.beta1 * momentum[i] + (1.0 - p.beta1) * g;
            let v = p.beta2 * variance[i] + (1.0 - p.beta2) * g * g;
            let value = parameters[i] - schedule[0] * m / (v.sqrt() + p.epsilon);
            momentum[i] = m;
            variance[i] = v;
            parameters[i] = value;
            average[i] += (1.0 - schedule[1]) * (value - average[i]);
        }
    });
}
