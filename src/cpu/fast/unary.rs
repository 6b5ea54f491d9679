//! Fast form of `unary`: a block of values at a time, with vector instructions.

use crate::cpu::operand::Operand;
use crate::cpu::scratch::{scratch, with_scratch};
use crate::cpu::simd::SUMMED as BLOCK;
use crate::cpu::{CHUNK, unary as twin};
use crate::kernels::Arguments;
use crate::kernels::params::UnaryParams;
use rayon::prelude::*;

/// As the twin, `cpu::unary::unary`, to the bit.
pub fn unary(call: &mut Arguments) {
    let p: UnaryParams = call.params();
    let (operation, how) = (call.constant("OPERATION"), call.constant("SOURCE"));
    let x = Operand { values: call.reads[0], how, length: p.length, stretch: p.stretch };
    call.writes[0].par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        with_scratch(|room| {
            for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                let room = scratch(room, out.len());
                twin::block(operation, x.block(chunk * CHUNK + block * BLOCK, room), p.a, p.b, out);
            }
        });
    });
}
