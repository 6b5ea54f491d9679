//! Twin of `shaders/adam.wgsl`.

use super::CHUNK;
use crate::kernels::Arguments;
use crate::kernels::params::AdamParams;
use rayon::prelude::*;

/// Reads gradient and schedule; updates parameters, momentum, variance and, with AVERAGE, average in place.
pub fn adam(call: &mut Arguments) {
    let p: AdamParams = call.params();
    let (gradient, schedule) = (call.reads[0], call.reads[1]);
    let averaged = call.constant("AVERAGE") == 1;
    let [parameters, momentum, variance, average] = call.writes else { unreachable!("Adam writes four tensors") };
    let chunks = parameters
        .par_chunks_mut(CHUNK)
        .zip(momentum.par_chunks_mut(CHUNK))
        .zip(variance.par_chunks_mut(CHUNK))
        .zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|(((parameters, momentum), variance), gradient)| {
        for (i, &g) in gradient.iter().enumerate() {
            let m = p.beta1 * momentum[i] + (1.0 - p.beta1) * g;
            let v = p.beta2 * variance[i] + (1.0 - p.beta2) * g * g;
            let value = parameters[i] - schedule[0] * m / (v.sqrt() + p.epsilon);
            momentum[i] = m;
            variance[i] = v;
            parameters[i] = value;
        }
    });
    if averaged {
        let share = 1.0 - schedule[1];
        let values = average.par_iter_mut().zip(parameters.par_iter());
        values.for_each(|(average, value)| *average += share * (value - *average));
    }
}
