//! Twin of `shaders/elementwise.wgsl`. It interprets the expression from which the WGSL is made, instruction after instruction over a block
//! of values, with the functions of the twins of `unary` and `binary`. Every result is flushed as the executor flushes theirs. So the
//! bits are those of single calls one after the other.

use super::scratch::{scratch, with_scratch};
use super::{CHUNK, binary, flushed, operand, simd, unary};
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
    let length = length_of(expression, columns);
    let mut units: Vec<Vec<&mut [f32]>> = (0..(rows * columns).div_ceil(length)).map(|_| Vec::new()).collect();
    for (tensor, write) in call.writes.iter_mut().enumerate() {
        let summed = expression.sums.iter().any(|s| s.tensor == expression.reads + tensor);
        let parts = write.chunks_mut(if summed { 1 } else { length });
        units.iter_mut().zip(parts).for_each(|(unit, part)| unit.push(part));
    }
    let (reads, steady) = (call.reads, expression.steady());
    units.into_par_iter().enumerate().for_each(|(unit, writes)| {
        let length = length.min(rows * columns - unit * length);
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
        let all = self.number * length_of(expression, self.params.columns as usize);
        let values = scratch(values, expression.instructions.len() * BLOCK);
        let mut sums = vec![0.0f64; expression.sums.len()];
        for from in (0..self.length).step_by(BLOCK) {
            let count = BLOCK.min(self.length - from);
            let operands = Operands { expression, reads: self.reads, first: all + from, block: BLOCK };
            for (i, (instruction, steady)) in expression.instructions.iter().zip(steady).enumerate() {
                let (before, rest) = values.split_at_mut(i * BLOCK);
                let len = if *steady { BLOCK } else { count };
                if operands.in_place(i).is_none() && (!steady || from == 0) {
                    let load = |tensor, how, out: &mut [f32]| self.load(tensor, how, (all, from), out);
                    compute(*instruction, |value| operands.block(value, before, len), &mut rest[..len], load);
                }
            }
            for store in &expression.stores {
                self.writes[store.tensor - expression.reads][from..][..count]
                    .copy_from_slice(operands.block(store.value, values, count));
            }
            for (total, sum) in sums.iter_mut().zip(&expression.sums) {
                *total += simd::sum(operands.block(sum.value, values, count));
            }
        }
        for (total, sum) in sums.iter().zip(&expression.sums) {
            self.writes[sum.tensor - expression.reads][0] = flushed(*total as f32);
        }
    }

    /// The values of a tensor from the unit's value `from` on; the unit's first one is `first` of all.
    fn load(&self, tensor: usize, how: Broadcast, (first, from): (usize, usize), out: &mut [f32]) {
        if let Some(written) = tensor.checked_sub(self.expression.reads) {
            return out.copy_from_slice(&self.writes[written][from..][..out.len()]);
        }
        let x = self.reads[tensor];
        match how {
            Broadcast::Full => unreachable!("it is read where it lies"),
            Broadcast::Scalar => out.fill(x[0]),
            Broadcast::Stretch if self.expression.by_row => out.fill(x[self.number]),
            Broadcast::Stretch => operand::stretch(x, first + from, self.params.stretch as usize, out),
            Broadcast::Tile => {
                let length = self.params.tile as usize;
                operand::tile(x, (first + from) % length, length, out);
            }
        }
    }
}

/// The values that instructions of a block read: results of earlier ones, and tensors where they lie.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub expression: &'a Expression,
    pub reads: &'a [&'a [f32]],
    /// The first value of the block among all.
    pub first: usize,
    /// Values from the results of one instruction to those of the next.
    pub block: usize,
}

impl<'a> Operands<'a> {
    /// The tensor that an instruction loads value by value: it is read where it lies.
    pub fn in_place(&self, value: usize) -> Option<&'a [f32]> {
        match self.expression.instructions[value] {
            Instruction::Load { tensor, how: Broadcast::Full } if tensor < self.expression.reads => {
                Some(self.reads[tensor])
            }
            _ => None,
        }
    }

    /// The first `len` values of an instruction; `before` has the blocks of those that are computed.
    pub fn block<'b>(&self, value: usize, before: &'b [f32], len: usize) -> &'b [f32]
    where
        'a: 'b,
    {
        match self.in_place(value) {
            Some(tensor) => &tensor[self.first..][..len],
            None => &before[value * self.block..][..len],
        }
    }
}

/// One instruction for a block of values. `operand` gives those of an earlier one; `load` fills a block from a tensor.
pub(super) fn compute<'b>(
    instruction: Instruction,
    operand: impl Fn(usize) -> &'b [f32],
    out: &mut [f32],
    load: impl FnOnce(usize, Broadcast, &mut [f32]),
) {
    match instruction {
        Instruction::Constant(value) => out.fill(value),
        Instruction::Load { tensor, how } => load(tensor, how, out),
        Instruction::Unary { code, constants: [a, b], x } => unary::block(code, operand(x), a, b, out),
        Instruction::Binary { code, constants: [a, b], operands: [l, r] } => {
            binary::block(code, [operand(l), operand(r)], a, b, out);
        }
    }
}
