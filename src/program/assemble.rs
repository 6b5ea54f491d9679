//! Makes one call of `elementwise` (or of `elementwise_columns`, where rows are added up) of several calls: their instructions in order, what must be loaded, and what must be
//! written because somebody else needs it. Says no where a value would be needed at a place of which another invocation
//! writes it, or where the tensors are more than every adapter can bind.

use super::lower::Lowered;
use super::{Call, RootKind, TensorId};
use crate::graph::Broadcast;
use crate::kernels::expression::{Expression, Instruction, Store};
use crate::kernels::params::{
    BinaryParams, ElementwiseColumnsParams, ElementwiseParams, RowsParams, SumRowsParams, UnaryParams,
};
use crate::kernels::{self, constant, grids};
use std::sync::Arc;

/// Storage buffers that WebGPU promises.
const MOST_TENSORS: usize = 8;
/// Instructions in one call, so that its values stay in registers.
const MOST_INSTRUCTIONS: usize = 64;
/// From this many values per row on, workgroups keep to one row.
const LONG_ROW: u32 = 256;

/// A piece of a root: root, first value, values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    root: usize,
    offset: usize,
    len: usize,
}

impl Span {
    /// Where a tensor lies.
    pub fn of(lowered: &Lowered, id: TensorId) -> Self {
        let info = &lowered.tensors[id.0];
        Self { root: info.root, offset: info.offset, len: info.shape.len() }
    }

    /// The root it is a piece of.
    pub fn root(&self) -> usize {
        self.root
    }

    /// Its values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the two have values in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.root == other.root
            && self.offset < other.offset + other.len
            && other.offset < self.offset + self.len
    }
}

/// What a call that can be fused does with its operands.
enum Step {
    Unary(u32, [f32; 2]),
    Binary(u32, [f32; 2]),
    Sum,
    /// Over the rows, in parts.
    SumRows(SumRowsParams),
}

/// How an operand is read: the broadcast, its values, and results per value.
type Reading = (Broadcast, u32, u32);

/// A call that can be fused.
struct Member {
    count: u32,
    step: Step,
    readings: Vec<Reading>,
}

fn broadcast(call: &Call, name: &str) -> Broadcast {
    match constant(&call.constants, name) {
        1 => Broadcast::Tile,
        2 => Broadcast::Stretch,
        3 => Broadcast::Scalar,
        _ => Broadcast::Full,
    }
}

fn member(call: &Call) -> Option<Member> {
    let operation = constant(&call.constants, "OPERATION");
    let member = match call.kernel.name {
        "unary" => {
            let p: UnaryParams = bytemuck::pod_read_unaligned(&call.params);
            let readings = vec![(broadcast(call, "SOURCE"), p.length, p.stretch)];
            Member { count: p.count, step: Step::Unary(operation, [p.a, p.b]), readings }
        }
        "binary" => {
            let p: BinaryParams = bytemuck::pod_read_unaligned(&call.params);
            let left = (broadcast(call, "LEFT"), p.left_length, p.left_stretch);
            let right = (broadcast(call, "RIGHT"), p.right_length, p.right_stretch);
            Member { count: p.count, step: Step::Binary(operation, [p.a, p.b]), readings: vec![left, right] }
        }
        "sum_columns" => {
            let p: RowsParams = bytemuck::pod_read_unaligned(&call.params);
            let count = p.rows * p.columns;
            Member { count, step: Step::Sum, readings: vec![(Broadcast::Full, count, p.columns)] }
        }
        // A sum in one part has few rows.
        "sum_rows" => {
            let p: SumRowsParams = bytemuck::pod_read_unaligned(&call.params);
            let count = p.rows * p.columns;
            let readings = vec![(Broadcast::Full, count, 1)];
            (p.splits > 1).then_some(Member { count, step: Step::SumRows(p), readings })?
        }
        _ => return None,
    };
    let numbers = match member.step {
        Step::Unary(_, numbers) | Step::Binary(_, numbers) => numbers,
        Step::Sum | Step::SumRows(_) => [0.0; 2],
    };
    // WGSL has no literals for the others.
    numbers.iter().all(|&v| v == 0.0 || v.is_normal()).then_some(member)
}

/// Values of the result of a call that can be fused.
pub fn count(call: &Call) -> Option<u32> {
    member(call).map(|m| m.count)
}

/// A fused call under construction.
struct Assembly<'a> {
    lowered: &'a Lowered,
    /// Constants that no call writes, by root.
    literals: &'a [Option<f32>],
    count: u32,
    columns: Option<u32>,
    tile: Option<u32>,
    instructions: Vec<Instruction>,
    /// Tensors that are loaded, how, and the instruction; its tensor is filled in at the end.
    loads: Vec<(TensorId, Broadcast, usize)>,
    /// Tensors that hold a member's result, and the instruction.
    results: Vec<(TensorId, usize)>,
    /// The same for sums.
    sums: Vec<(TensorId, usize)>,
    /// How rows are added up, if they are.
    parts: Option<SumRowsParams>,
}

/// One call that does what `calls` do in this order; `outside` says whether a tensor's root is used by others.
pub fn assemble(
    lowered: &Lowered,
    literals: &[Option<f32>],
    calls: &[&Call],
    outside: impl Fn(usize) -> bool,
) -> Option<Call> {
    let count = member(calls[0])?.count;
    let mut assembly = Assembly {
        lowered,
        literals,
        count,
        columns: None,
        tile: None,
        instructions: Vec::new(),
        loads: Vec::new(),
        results: Vec::new(),
        sums: Vec::new(),
        parts: None,
    };
    for call in calls {
        assembly.add(call)?;
    }
    let needed = |id: &TensorId| {
        let root = lowered.tensors[id.0].root;
        lowered.roots[root].kind != RootKind::Computed
            || lowered.outputs.iter().any(|(_, o)| lowered.tensors[o.0].root == root)
            || outside(root)
    };
    assembly.results.retain(|(id, _)| needed(id));
    assembly.finish(calls.iter().map(|c| c.flops).sum())
}

impl Assembly<'_> {
    fn span(&self, id: TensorId) -> Span {
        Span::of(self.lowered, id)
    }

    fn push(&mut self, instruction: Instruction) -> Option<usize> {
        if let Some(known) = self.instructions.iter().position(|i| *i == instruction)
            && !matches!(instruction, Instruction::Load { .. })
        {
            return Some(known);
        }
        self.instructions.push(instruction);
        (self.instructions.len() <= MOST_INSTRUCTIONS).then(|| self.instructions.len() - 1)
    }

    fn add(&mut self, call: &Call) -> Option<()> {
        let Member { count, step, readings } = member(call)?;
        if count != self.count {
            return None;
        }
        let operands: Vec<usize> = call
            .reads
            .iter()
            .zip(readings)
            .map(|(&id, reading)| self.operand(id, reading))
            .collect::<Option<_>>()?;
        let value = match step {
            Step::Unary(0, _) => operands[0],
            Step::Unary(code, constants) => {
                self.push(Instruction::Unary { code, constants, x: operands[0] })?
            }
            Step::Binary(code, constants) => {
                self.push(Instruction::Binary { code, constants, operands: [operands[0], operands[1]] })?
            }
            Step::Sum => {
                let columns = constant_columns(call);
                self.agree_on_columns(columns)?;
                return self.sum(call.writes[0], operands[0], None);
            }
            Step::SumRows(parts) => return self.sum(call.writes[0], operands[0], Some(parts)),
        };
        self.written(call.writes[0], true)?;
        let own = self.span(call.writes[0]);
        let lowered = self.lowered;
        self.results.retain(|(id, _)| Span::of(lowered, *id) != own);
        self.results.push((call.writes[0], value));
        Some(())
    }

    /// Refuses a write that another invocation's load or store would meet; `in_place` for one value per place.
    fn written(&self, id: TensorId, in_place: bool) -> Option<()> {
        let span = self.span(id);
        let meets = |other: TensorId, how: Broadcast| {
            let other = self.span(other);
            // Two pieces of one root cannot both be lent to a twin.
            other.root == span.root && !(other == span && how == Broadcast::Full && in_place)
        };
        let loads = self.loads.iter().any(|&(other, how, _)| meets(other, how));
        let results = self.results.iter().any(|&(other, _)| meets(other, Broadcast::Full));
        let sums = self.sums.iter().any(|&(other, _)| self.span(other).root == span.root);
        (!loads && !results && !sums).then_some(())
    }

    /// A sum of each row, or over the rows in parts. A workgroup takes whole rows for the one and some columns for the other, so
    /// a call has one kind.
    fn sum(&mut self, id: TensorId, value: usize, parts: Option<SumRowsParams>) -> Option<()> {
        let layout = |p: SumRowsParams| [p.rows, p.columns, p.splits, p.rows_per_split];
        if !self.sums.is_empty() && self.parts.map(layout) != parts.map(layout) {
            return None;
        }
        self.written(id, false)?;
        self.parts = parts;
        self.sums.push((id, value));
        Some(())
    }

    fn agree_on_columns(&mut self, columns: u32) -> Option<()> {
        (*self.columns.get_or_insert(columns) == columns).then_some(())
    }

    /// The instruction whose value an operand is.
    fn operand(&mut self, id: TensorId, (how, length, stretch): Reading) -> Option<usize> {
        let span = self.span(id);
        if let Some(value) = self.literals[span.root] {
            return self.push(Instruction::Constant(value));
        }
        if let Some(&(_, value)) = self.results.iter().find(|(r, _)| self.span(*r) == span) {
            return (how == Broadcast::Full).then_some(value);
        }
        // What a member has written is not there yet, except for the invocation that writes it.
        let written = self.results.iter().chain(&self.sums);
        if written.clone().any(|&(r, _)| self.span(r).root == span.root) {
            return None;
        }
        match how {
            Broadcast::Stretch => self.agree_on_columns(stretch)?,
            Broadcast::Tile if *self.tile.get_or_insert(length) != length => return None,
            _ => {}
        }
        if let Some(&(_, _, value)) = self.loads.iter().find(|&&(l, h, _)| self.span(l) == span && h == how) {
            return Some(value);
        }
        let value = self.push(Instruction::Load { tensor: usize::MAX, how })?;
        self.loads.push((id, how, value));
        Some(value)
    }

    fn finish(mut self, flops: u64) -> Option<Call> {
        let writes: Vec<TensorId> = self.results.iter().chain(&self.sums).map(|&(id, _)| id).collect();
        let mut reads: Vec<TensorId> = Vec::new();
        for &(id, ..) in &self.loads {
            let same = |other: &&TensorId| self.span(**other) == self.span(id);
            if !writes.iter().chain(&reads).any(|other| same(&other)) {
                reads.push(id);
            }
        }
        if reads.len() + writes.len() > MOST_TENSORS || writes.is_empty() {
            return None;
        }
        let (lowered, bound) = (self.lowered, [reads.as_slice(), &writes].concat());
        let position = |id: TensorId| {
            let here = |&other: &TensorId| Span::of(lowered, other) == Span::of(lowered, id);
            bound.iter().position(here).expect("every tensor is bound")
        };
        for &(id, how, value) in &self.loads {
            self.instructions[value] = Instruction::Load { tensor: position(id), how };
        }
        let store = |&(id, value): &(TensorId, usize)| Store { tensor: position(id), value };
        let stretched = self.loads.iter().any(|&(_, how, _)| how == Broadcast::Stretch);
        let columns = self.columns.unwrap_or(1);
        let by_column = self.parts.is_some();
        let expression = Expression {
            stores: self.results.iter().map(store).collect(),
            sums: self.sums.iter().map(store).collect(),
            reads: reads.len(),
            writes: writes.len(),
            by_row: !by_column && (!self.sums.is_empty() || (stretched && columns >= LONG_ROW)),
            by_column,
            instructions: self.instructions,
        };
        let (kernel, params) = match self.parts {
            None => {
                let params = params(&expression, self.count, columns, self.tile.unwrap_or(1));
                (&kernels::elementwise, bytemuck::bytes_of(&params).to_vec())
            }
            Some(parts) => {
                let params = column_params(parts, self.columns, self.tile)?;
                (&kernels::elementwise_columns, bytemuck::bytes_of(&params).to_vec())
            }
        };
        let expression = Some(Arc::new(expression));
        Some(Call { kernel, params, constants: Vec::new(), expression, reads, writes, flops })
    }
}

fn constant_columns(call: &Call) -> u32 {
    bytemuck::pod_read_unaligned::<RowsParams>(&call.params).columns
}

fn params(expression: &Expression, count: u32, stretch: u32, tile: u32) -> ElementwiseParams {
    let (rows, columns) = if expression.by_row { (count / stretch, stretch) } else { (1, count) };
    let block = if expression.sums.is_empty() { grids::BLOCK } else { columns };
    ElementwiseParams { rows, columns, blocks: columns.div_ceil(block), block, stretch, tile }
}

/// The parameters of sums over rows. `None` unless a repeated operand has one value per column and a stretched one has one value per
/// some number of rows.
fn column_params(
    parts: SumRowsParams,
    stretch: Option<u32>,
    tile: Option<u32>,
) -> Option<ElementwiseColumnsParams> {
    let SumRowsParams { rows, columns, splits, rows_per_split } = parts;
    let (stretch, tile) = (stretch.unwrap_or(columns), tile.unwrap_or(columns));
    (tile == columns && stretch.is_multiple_of(columns)).then(|| ElementwiseColumnsParams {
        rows,
        columns,
        splits,
        rows_per_split,
        width: grids::columns_at_once(columns),
        stretch: stretch / columns,
    })
}
