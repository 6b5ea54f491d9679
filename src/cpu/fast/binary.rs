//! Fast form of `binary`: a block of values at a time, with vector instructions.

use crate::cpu::operand::Operand;
use crate::cpu::scratch::{scratch, with_scratch};
use crate::cpu::simd::SUMMED as BLOCK;
use crate::cpu::{CHUNK, binary as twin};
use crate::kernels::Arguments;
use crate::kernels::params::BinaryParams;
use rayon::prelude::*;

/// As the twin, `cpu::binary::binary`, to the bit.
pub fn binary(call: &mut Arguments) {
    let p: BinaryParams = call.params();
    let operation = call.constant("OPERATION");
    let [left, right] = [
        Operand {
            values: call.reads[0],
            how: call.constant("LEFT"),
            length: p.left_length,
            stretch: p.left_stretch,
        },
        Operand {
            values: call.reads[1],
            how: call.constant("RIGHT"),
            length: p.right_length,
            stretch: p.right_stretch,
        },
    ];
    call.writes[0].par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        with_scratch(|room| {
            for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                let first = chunk * CHUNK + block * BLOCK;
                let (one, other) = scratch(room, 2 * out.len()).split_at_mut(out.len());
                twin::block(operation, [left.block(first, one), right.block(first, other)], p.a, p.b, out);
            }
        });
    });
}
