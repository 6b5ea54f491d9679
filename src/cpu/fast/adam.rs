//! Fast form of `adam`: with vector instructions, and with the average in the same pass.

use crate::cpu::{CHUNK, flushed, simd};
use crate::kernels::Arguments;
use crate::kernels::params::AdamParams;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// As the twin, `cpu::adam::adam`, to the bit.
pub fn adam(call: &mut Arguments) {
    let p: AdamParams = call.params();
    let (gradient, schedule) = (call.reads[0], call.reads[1]);
    let share = (call.constant("AVERAGE") == 1).then(|| 1.0 - schedule[1]);
    let [parameters, momentum, variance, average] = call.writes else {
        unreachable!("Adam writes four tensors")
    };
    let chunks = parameters
        .par_chunks_mut(CHUNK)
        .zip(momentum.par_chunks_mut(CHUNK))
        .zip(variance.par_chunks_mut(CHUNK))
        .zip(gradient.par_chunks(CHUNK));
    match share {
        None => chunks.for_each(|(((parameters, momentum), variance), gradient)| {
            let average = &mut [];
            simd::dispatch(Update {
                p,
                rate: schedule[0],
                share,
                gradient,
                parameters,
                momentum,
                variance,
                average,
            });
        }),
        Some(_) => chunks.zip(average.par_chunks_mut(CHUNK)).for_each(
            |((((parameters, momentum), variance), gradient), average)| {
                let rate = schedule[0];
                simd::dispatch(Update { p, rate, share, gradient, parameters, momentum, variance, average });
            },
        ),
    }
}

/// Some of the parameters.
struct Update<'a> {
    p: AdamParams,
    rate: f32,
    /// What the average takes over of the new values, if there is one.
    share: Option<f32>,
    gradient: &'a [f32],
    parameters: &'a mut [f32],
    momentum: &'a mut [f32],
    variance: &'a mut [f32],
    average: &'a mut [f32],
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "so that it is compiled for the caller's instructions")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { p, rate, share, gradient, parameters, momentum, variance, average } = self;
        let all = gradient.iter().zip(momentum).zip(variance).zip(parameters);
        match share {
            None => {
                for (((&g, m), v), parameter) in all {
                    step(p, rate, g, [m, v, parameter]);
                }
            }
            Some(share) => {
                for ((((&g, m), v), parameter), average) in all.zip(average) {
                    let value = step(p, rate, g, [m, v, parameter]);
                    *average = flushed(*average + share * (value - *average));
                }
            }
        }
    }
}

/// One parameter; returns its value before it is flushed.
#[expect(clippy::inline_always, reason = "so that it is compiled for the caller's instructions")]
#[inline(always)]
fn step(p: AdamParams, rate: f32, g: f32, [momentum, variance, parameter]: [&mut f32; 3]) -> f32 {
    let m = p.beta1 * *momentum + (1.0 - p.beta1) * g;
    let v = p.beta2 * *variance + (1.0 - p.beta2) * g * g;
    let value = *parameter - rate * m / (v.sqrt() + p.epsilon);
    *momentum = flushed(m);
    *variance = flushed(v);
    *parameter = flushed(value);
    value
}
