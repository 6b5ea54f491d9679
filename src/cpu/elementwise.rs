//! Twin of `shaders/elementwise.wgsl`. It interprets the expression from which the WGSL is made, instruction after instruction over a block
//! of values, with the functions of the twins of `unary` and `binary`. Every result is flushed as the executor flushes theirs. So the
//! bits are those of single calls one after the other.

use super::scratch::{scratch, with_scratch};
use super::{CHUNK, binary, flushed, simd, source_index, unary};
use crate::graph::Broadcast;
use crate::kernels::Arguments;
use crate::kernels::expression::{Expression, Instruction};
use crate::kernels::params::ElementwiseParams;
use rayon::prelude::*;

/// Values that an instruction computes at a time: small enough that a block of all instructions stays in the cache.
const BLOCK: usize = simd::SUMMED;

/// Reads and writes what the call's expression says.
pub fn elementwise(call: &mut Arguments) {
    let params: ElementwiseParams = call.params();
    let expression = call.expression.expect("a fused call has its expression");
    let (rows, columns) = (params.rows as usize, params.columns as usize);
    let length = if expression.by_row { columns } else { CHUNK };
    let mut units: Vec<Vec<&mut [f32]>> = (0..(rows * columns).div_ceil(length)).map(|_| Vec::new()).collect();
    for (tensor, write) in call.writes.iter_mut().enumerate() {
        let summed = expression.sums.iter().any(|s| s.tensor == expression.reads + tensor);
        let parts = write.chunks_mut(if summed { 1 } else { length });
        units.iter_mut().zip(parts).for_each(|(unit, part)| unit.push(part));
    }
    let (reads, steady) = (call.reads, expression.steady());
    units.into_par_iter().enumerate().for_each(|(unit, writes)| {
        let length = length.min(rows * columns - unit * length_of(expression, columns));
        let mut unit = Unit { expression, params, reads, writes, number: unit, length };
        with_scratch(|values| unit.run(&steady, values));
    });
}

fn length_of(expression: &Expression, columns: usize) -> usize {
    if expression.by_row { columns } else { CHUNK }
}

/// A row, or a part of all values.
struct Unit<'a> {
    expression: &'a Expression,
    params: ElementwiseParams,
    reads: &'a [&'a [f32]],
    writes: Vec<&'a mut [f32]>,
    number: usize,
    length: usize,
}

impl Unit<'_> {
    /// `values` becomes room for a block of every instruction.
    fn run(&mut self, steady: &[bool], values: &mut Vec<f32>) {
        let expression = self.expression;
        let values = scratch(values, expression.instructions.len() * BLOCK);
        let mut sums = vec![0.0f64; expression.sums.len()];
        for from in (0..self.length).step_by(BLOCK) {
            let count = BLOCK.min(self.length - from);
            for (i, (instruction, steady)) in expression.instructions.iter().zip(steady).enumerate() {
                let (before, rest) = values.split_at_mut(i * BLOCK);
                if !steady {
                    self.instruction(*instruction, from, before, &mut rest[..count]);
                } else if from == 0 {
                    self.instruction(*instruction, from, before, &mut rest[..BLOCK]);
                }
            }
            let block = |value: usize| &values[value * BLOCK..][..count];
            for store in &expression.stores {
                self.writes[store.tensor - expression.reads][from..][..count]
                    .copy_from_slice(block(store.value));
            }
            for (total, sum) in sums.iter_mut().zip(&expression.sums) {
                *total += simd::sum(block(sum.value));
            }
        }
        for (total, sum) in sums.iter().zip(&expression.sums) {
            self.writes[sum.tensor - expression.reads][0] = flushed(*total as f32);
        }
    }

    /// One instruction for the values from `from` on; `before` has the blocks of earlier ones.
    fn instruction(&self, instruction: Instruction, from: usize, before: &[f32], out: &mut [f32]) {
        compute(instruction, BLOCK, before, out, |tensor, how, out| self.load(tensor, how, from, out));
    }

    fn load(&self, tensor: usize, how: Broadcast, from: usize, out: &mut [f32]) {
        let Some(written) = tensor.checked_sub(self.expression.reads) else {
            let x = self.reads[tensor];
            let first = self.number * length_of(self.expression, self.params.columns as usize) + from;
            return match how {
                Broadcast::Full => out.copy_from_slice(&x[first..][..out.len()]),
                Broadcast::Scalar => out.fill(x[0]),
                Broadcast::Stretch if self.expression.by_row => out.fill(x[self.number]),
                _ => {
                    let (tile, stretch) = (self.params.tile, self.params.stretch);
                    for (i, out) in out.iter_mut().enumerate() {
                        *out = x[source_index(how as u32, first + i, tile, stretch)];
                    }
                }
            };
        };
        out.copy_from_slice(&self.writes[written][from..][..out.len()]);
    }
}

/// One instruction for a block of values. `before` has the blocks of earlier ones, `block` apart; `load` fills a block from a
/// tensor.
pub(super) fn compute(
    instruction: Instruction,
    block: usize,
    before: &[f32],
    out: &mut [f32],
    load: impl FnOnce(usize, Broadcast, &mut [f32]),
) {
    let operand = |value: usize| &before[value * block..][..out.len()];
    match instruction {
        Instruction::Constant(value) => out.fill(value),
        Instruction::Load { tensor, how } => load(tensor, how, out),
        Instruction::Unary { code, constants: [a, b], x } => unary::block(code, operand(x), a, b, out),
        Instruction::Binary { code, constants: [a, b], operands: [l, r] } => {
            binary::block(code, [operand(l), operand(r)], a, b, out);
        }
    }
}
