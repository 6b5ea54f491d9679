//! Twin of `shaders/elementwise_columns.wgsl`. It interprets the expression like the twin of `elementwise`, some rows at a time, and adds
//! columns like the twin of `sum_rows`. So the bits are those of the single calls.

use super::elementwise::{Operands, compute};
use super::{flushed, source_index};
use crate::graph::Broadcast;
use crate::kernels::Arguments;
use crate::kernels::expression::Expression;
use crate::kernels::params::ElementwiseColumnsParams;
use rayon::prelude::*;

/// Values that an instruction computes at a time, where a row has no more.
const BLOCK: usize = 256;
/// Rows at a time, at most.
const LINES: usize = 32;

/// Adds rows to the sums of their columns.
pub(super) trait ColumnSums: Send {
    fn new(columns: usize) -> Self;
    fn add(&mut self, row: &[f32]);
    fn write(&mut self, out: &mut [f32]);
}

struct Exact(Vec<f64>);

impl ColumnSums for Exact {
    fn new(columns: usize) -> Self {
        Self(vec![0.0; columns])
    }

    fn add(&mut self, row: &[f32]) {
        self.0.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }

    fn write(&mut self, out: &mut [f32]) {
        out.iter_mut().zip(&self.0).for_each(|(out, &sum)| *out = flushed(sum as f32));
    }
}

/// Reads and writes what the call's expression says; sums `[splits, columns]`.
pub fn elementwise_columns(call: &mut Arguments) {
    run::<Exact>(call);
}

/// The parts of a call, with sums of some kind.
pub(super) fn run<S: ColumnSums>(call: &mut Arguments) {
    let params: ElementwiseColumnsParams = call.params();
    let expression = call.expression.expect("a fused call has its expression");
    let columns = params.columns as usize;
    let per_split = params.rows_per_split as usize;
    let mut parts: Vec<Vec<&mut [f32]>> = (0..params.splits).map(|_| Vec::new()).collect();
    for (tensor, write) in call.writes.iter_mut().enumerate() {
        let summed = expression.sums.iter().any(|s| s.tensor == expression.reads + tensor);
        let mut pieces = write.chunks_mut(if summed { columns } else { per_split * columns });
        for part in &mut parts {
            part.push(pieces.next().unwrap_or_default());
        }
    }
    let (reads, steady) = (call.reads, expression.steady());
    parts.into_par_iter().enumerate().for_each(|(part, writes)| {
        let first = (part * per_split).min(params.rows as usize);
        let rows = per_split.min(params.rows as usize - first);
        Part { expression, params, reads, writes, first }.run::<S>(rows, &steady);
    });
}

/// Some rows.
struct Part<'a> {
    expression: &'a Expression,
    params: ElementwiseColumnsParams,
    reads: &'a [&'a [f32]],
    writes: Vec<&'a mut [f32]>,
    first: usize,
}

impl Part<'_> {
    fn run<S: ColumnSums>(&mut self, rows: usize, steady: &[bool]) {
        let (expression, columns) = (self.expression, self.params.columns as usize);
        // A power of two, so that blocks end where sums in few rows do.
        let lines = 1 << (BLOCK / columns).clamp(1, LINES).ilog2();
        let block = lines * columns;
        let mut values = vec![0.0; expression.instructions.len() * block];
        let mut sums: Vec<S> = expression.sums.iter().map(|_| S::new(columns)).collect();
        for from in (0..rows).step_by(lines) {
            let count = lines.min(rows - from) * columns;
            let first = (self.first + from) * columns;
            let operands = Operands { expression, reads: self.reads, first, block };
            for (i, (instruction, steady)) in expression.instructions.iter().zip(steady).enumerate() {
                let (before, rest) = values.split_at_mut(i * block);
                let len = if *steady { block } else { count };
                if operands.in_place(i).is_none() && (!steady || from == 0) {
                    let load = |tensor, how, out: &mut [f32]| self.load(tensor, how, from, out);
                    compute(*instruction, |value| operands.block(value, before, len), &mut rest[..len], load);
                }
            }
            let results = |value: usize| operands.block(value, &values, count);
            for store in &expression.stores {
                self.writes[store.tensor - expression.reads][from * columns..][..count]
                    .copy_from_slice(results(store.value));
            }
            for (sums, sum) in sums.iter_mut().zip(&expression.sums) {
                results(sum.value).chunks(columns).for_each(|row| sums.add(row));
            }
        }
        for (sums, sum) in sums.iter_mut().zip(&expression.sums) {
            sums.write(self.writes[sum.tensor - expression.reads]);
        }
    }

    fn load(&self, tensor: usize, how: Broadcast, from: usize, out: &mut [f32]) {
        let columns = self.params.columns as usize;
        let Some(written) = tensor.checked_sub(self.expression.reads) else {
            let x = self.reads[tensor];
            let rows = out.chunks_mut(columns);
            return match how {
                Broadcast::Full => unreachable!("it is read where it lies"),
                Broadcast::Scalar => out.fill(x[0]),
                Broadcast::Tile => rows.for_each(|row| row.copy_from_slice(x)),
                Broadcast::Stretch => rows.enumerate().for_each(|(i, row)| {
                    row.fill(x[source_index(how as u32, self.first + from + i, 1, self.params.stretch)]);
                }),
            };
        };
        out.copy_from_slice(&self.writes[written][from * columns..][..out.len()]);
    }
}
