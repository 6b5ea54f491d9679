//! Twin of `shaders/random_normal.wgsl`: the same integers, then Box and Muller.

use super::CHUNK;
use crate::kernels::Arguments;
use crate::random::{Random, Stream};
use rayon::prelude::*;

/// Reads seed `[3]`, the bit patterns of (seed, counter, index of the first number); writes standard normal numbers.
pub fn random_normal(call: &mut Arguments) {
    let seed = call.reads[0];
    let random = Random::new(u64::from(seed[0].to_bits()), Stream::Attack);
    let (counter, first) = (seed[1].to_bits(), seed[2].to_bits());
    call.writes[0].par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = random.normal(counter, first.wrapping_add((chunk * CHUNK + i) as u32));
        }
    });
}
