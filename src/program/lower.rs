//! From the nodes of a graph to kernel calls. Dead nodes are dropped, views are resolved, and every call gets its parameters.

mod backward;
mod convolution;
mod general;
mod im2col;
mod pieces;
mod windows;
mod winograd;

use super::{Call, MemoryLimits, Root, RootKind, Split, TensorId, TensorInfo};
use crate::graph::{Borders, Broadcast, Epilogue, Graph, Node, Operation, Shape, Tensor};
use crate::kernels::params::{
    AdamParams, BinaryParams, BorderParams, CopyColumnsParams, GatherRowsParams, PoolParams, RandomParams,
    RowsParams, SumRowsParams, UnaryParams,
};
use crate::kernels::{self, Constants, Kernel};
use bytemuck::bytes_of;
use std::collections::HashMap;
use winograd::Transform;

/// β1, β2 and ε of Adam (Kingma and Ba; also the paper's library's defaults).
pub const ADAM_BETAS: [f32; 2] = [0.9, 0.999];
/// Added to the root of Adam's second moment.
pub const ADAM_EPSILON: f32 = 1e-8;

/// Adam's step size: `lr · sqrt(1 − β2^t) / (1 − β1^t)` for the update number `t`, counted from 1.
pub fn adam_step_size(lr: f32, t: u64) -> f32 {
    let [beta1, beta2] = ADAM_BETAS.map(f64::from);
    let t = t.min(i32::MAX as u64) as i32;
    (f64::from(lr) * (1.0 - beta2.powi(t)).sqrt() / (1.0 - beta1.powi(t))) as f32
}

/// Sums of at most this many rows take one stage.
const ROWS_PER_SUM: usize = 256;
/// Rows of a partial sum on a GPU where the call that adds the rows also computes them.
const ROWS_PER_COMPUTED_SUM: usize = 32;

pub struct Lowered {
    pub tensors: Vec<TensorInfo>,
    pub roots: Vec<Root>,
    pub calls: Vec<Call>,
    pub outputs: Vec<(String, TensorId)>,
}

pub fn lower(graph: &Graph, limits: MemoryLimits) -> Lowered {
    let mut lowering = Lowering::new(graph, limits);
    for index in 0..graph.nodes.len() {
        if lowering.live[index] {
            lowering.node(Tensor(index));
        }
    }
    let outputs = graph.outputs.iter().map(|(name, t)| (name.clone(), lowering.id(*t))).collect();
    let Lowering { tensors, roots, calls, .. } = lowering;
    Lowered { tensors, roots, calls, outputs }
}

struct Lowering<'g> {
    graph: &'g Graph,
    limits: MemoryLimits,
    live: Vec<bool>,
    /// Per node: the pack that holds its result, and the offset in it.
    packed: Vec<Option<(Tensor, usize)>>,
    /// Per node, once lowered.
    ids: Vec<Option<TensorId>>,
    tensors: Vec<TensorInfo>,
    roots: Vec<Root>,
    calls: Vec<Call>,
    /// Tensors that are transformed already, for Winograd's algorithms or for swapped sides. A backward pass uses a small batch again,
    /// and every pass of an attack uses the weights again. The map is cleared when a state changes.
    transformed: HashMap<(TensorId, Transform), TensorId>,
}

impl<'g> Lowering<'g> {
    fn new(graph: &'g Graph, limits: MemoryLimits) -> Self {
        let live = live(graph);
        let packed = packed(graph, &live);
        let ids = vec![None; graph.nodes.len()];
        let (tensors, roots, calls, transformed) = Default::default();
        Self { graph, limits, live, packed, ids, tensors, roots, calls, transformed }
    }

    fn id(&self, tensor: Tensor) -> TensorId {
        self.ids[tensor.0].expect("operands are lowered before their results")
    }

    fn shape(&self, tensor: Tensor) -> &'g Shape {
        self.graph.shape(tensor)
    }

    fn tensor(&mut self, label: String, shape: Shape, root: usize, offset: usize) -> TensorId {
        self.tensors.push(TensorInfo { label, shape, root, offset });
        TensorId(self.tensors.len() - 1)
    }

    fn root(&mut self, kind: RootKind, len: usize) -> usize {
        self.roots.push(Root { kind, len, first: 0, last: 0, half: false });
        self.roots.len() - 1
    }

    /// A new tensor in memory of its own.
    fn fresh(&mut self, label: String, shape: Shape) -> TensorId {
        let root = self.root(RootKind::Computed, shape.len());
        self.tensor(label, shape, root, 0)
    }

    /// Memory for the result of a node: in its pack if it has one, else memory of its own.
    fn result(&mut self, tensor: Tensor) -> TensorId {
        let shape = self.shape(tensor).clone();
        let label = format!("{}.{}", name(&self.graph.node(tensor).operation), tensor.0);
        let id = match self.packed[tensor.0] {
            Some((pack, offset)) => {
                let pack = self.pack_root(pack);
                self.tensor(label, shape, pack, offset)
            }
            None => self.fresh(label, shape),
        };
        self.ids[tensor.0] = Some(id);
        id
    }

    /// The root of a pack. The first part of the pack makes it.
    fn pack_root(&mut self, pack: Tensor) -> usize {
        if let Some(id) = self.ids[pack.0] {
            return self.tensors[id.0].root;
        }
        let shape = self.shape(pack).clone();
        // A constant root shares its memory with no other, so the gaps between the parts stay zero.
        let root = self.root(RootKind::Constant(0.0), shape.len());
        self.ids[pack.0] = Some(self.tensor(format!("pack.{}", pack.0), shape, root, 0));
        root
    }

    fn leaf(&mut self, tensor: Tensor, kind: RootKind, label: &str) {
        // A state or an input has one piece of memory, even if the graph mentions it several times.
        let known = self.roots.iter().position(|r| r.kind == kind && !matches!(kind, RootKind::Constant(_)));
        let shape = self.shape(tensor).clone();
        let root = known.unwrap_or_else(|| self.root(kind, shape.len()));
        self.ids[tensor.0] = Some(self.tensor(label.to_string(), shape, root, 0));
    }

    fn call(
        &mut self,
        kernel: &'static Kernel,
        params: &[u8],
        constants: Constants,
        reads: &[TensorId],
        writes: &[TensorId],
    ) {
        let (reads, writes, params) = (reads.to_vec(), writes.to_vec(), params.to_vec());
        let flops = writes.iter().map(|w| self.tensors[w.0].shape.len() as u64).max().unwrap_or(0);
        self.calls.push(Call { kernel, params, constants, expression: None, reads, writes, flops });
    }

    fn node(&mut self, tensor: Tensor) {
        let Node { operation, operands, shape } = self.graph.node(tensor);
        if self.ids[tensor.0].is_some() && !matches!(operation, Operation::Pack { .. }) {
            // Another node was lowered together with this one.
            return;
        }
        let reads: Vec<TensorId> = operands.iter().map(|&t| self.id(t)).collect();
        match operation {
            Operation::Input(name) => self.leaf(tensor, RootKind::Input(name.clone()), name),
            Operation::State(name) => self.leaf(tensor, RootKind::State(name.clone()), name),
            Operation::Constant(value) => self.leaf(tensor, RootKind::Constant(*value), "constant"),
            Operation::View { .. } | Operation::Alias { .. } => {
                let offset = if let Operation::View { offset } = operation { *offset } else { 0 };
                let base = self.tensors[reads[0].0].clone();
                let label = format!("{}.{}", name(operation), tensor.0);
                let id = self.tensor(label, shape.clone(), base.root, base.offset + offset);
                self.ids[tensor.0] = Some(id);
            }
            Operation::Pack { offsets } => {
                let root = self.pack_root(tensor);
                for ((&part, &offset), &operand) in reads.iter().zip(offsets).zip(operands) {
                    let inside = self.tensors[part.0].root == root && self.tensors[part.0].offset == offset;
                    if !inside {
                        let shape = self.shape(operand).clone();
                        let to = self.tensor(format!("pack.{}", tensor.0), shape, root, offset);
                        self.copy(part, to);
                    }
                }
            }
            Operation::Assign => {
                self.transformed.clear();
                self.copy(reads[1], reads[0]);
                self.ids[tensor.0] = Some(reads[0]);
            }
            Operation::Adam => {
                self.transformed.clear();
                let count = shape.len() as u32;
                let [beta1, beta2] = ADAM_BETAS;
                let params = AdamParams { count, beta1, beta2, epsilon: ADAM_EPSILON };
                // Without an average its binding must still name a tensor, and one that no other binding names.
                let average = reads.get(5).copied();
                let constants = vec![("AVERAGE", u32::from(average.is_some()))];
                let average =
                    average.unwrap_or_else(|| self.fresh("no average".to_string(), Shape::new(&[8])));
                let states = [reads[2], reads[3], reads[4], average];
                self.call(&kernels::adam, bytes_of(&params), constants, &reads[..2], &states);
                self.ids[tensor.0] = Some(reads[2]);
            }
            _ => self.computed(tensor, &reads),
        }
    }

    /// Lowers a node whose result is new memory.
    fn computed(&mut self, tensor: Tensor, reads: &[TensorId]) {
        let Node { operation, operands, shape } = self.graph.node(tensor);
        let rows = |x: &Shape| RowsParams { rows: x.rows() as u32, columns: x.columns() as u32 };
        let first = operands.first().map(|&t| self.shape(t));
        let y = self.result(tensor);
        if let Some((winograd, epilogue)) = self.convolved_by_winograd(tensor) {
            self.convolution_by_winograd(tensor, winograd, epilogue, y);
            return;
        }
        match operation {
            Operation::Unary(function) => {
                let how = first.and_then(|x| x.broadcast_to(shape)).expect("checked when built");
                let [a, b] = function.constants();
                let (length, stretch) = reading(first.expect("one operand"), shape);
                let params = UnaryParams { count: shape.len() as u32, length, stretch, a, b };
                let constants = vec![("OPERATION", function.code()), ("SOURCE", how as u32)];
                self.call(&kernels::unary, bytes_of(&params), constants, reads, &[y]);
            }
            Operation::Binary(function) => {
                let [l, r] = [self.shape(operands[0]), self.shape(operands[1])];
                let how = |x: &Shape| x.broadcast_to(shape).map_or(0, |b: Broadcast| b as u32);
                let [a, b] = function.constants();
                let ((left_length, left_stretch), (right_length, right_stretch)) =
                    (reading(l, shape), reading(r, shape));
                let count = shape.len() as u32;
                let params =
                    BinaryParams { count, left_length, left_stretch, right_length, right_stretch, a, b };
                let constants = vec![("OPERATION", function.code()), ("LEFT", how(l)), ("RIGHT", how(r))];
                self.call(&kernels::binary, bytes_of(&params), constants, reads, &[y]);
            }
            Operation::SumRows => self.sum_rows(reads[0], y, self.is_elementwise(operands[0])),
            Operation::SumColumns => {
                self.call(
                    &kernels::sum_columns,
                    bytes_of(&rows(first.expect("one operand"))),
                    vec![],
                    reads,
                    &[y],
                );
            }
            Operation::Convolve(..)
            | Operation::ConvolveInputGradient(..)
            | Operation::ConvolveWeightGradient(_) => self.convolved(tensor, reads, y),
            Operation::Pool(_) | Operation::Unpool(..) | Operation::MaxPool(_) | Operation::MaxUnpool(_) => {
                self.pooling(tensor, reads, y);
            }
            Operation::Resize(_) | Operation::ResizeGradient(_) => self.resizing(tensor, reads, y),
            Operation::Concatenate => {
                let mut start = 0;
                for (&part, &read) in operands.iter().zip(reads) {
                    let columns = self.shape(part).channels();
                    self.copy_columns(read, y, columns, [0, start]);
                    start += columns;
                }
            }
            Operation::Slice { start } => self.copy_columns(reads[0], y, shape.channels(), [*start, 0]),
            Operation::BorderSum(borders) => self.border_sum(*borders, reads[0], y),
            Operation::BorderSpread(borders) => self.border_spread(*borders, reads[0], y),
            Operation::Softmax => self.call(&kernels::softmax, bytes_of(&rows(shape)), vec![], reads, &[y]),
            Operation::CrossEntropy => {
                let params = rows(first.expect("logits"));
                self.call(&kernels::cross_entropy, bytes_of(&params), vec![], reads, &[y]);
            }
            Operation::CrossEntropyGradient => {
                self.call(&kernels::cross_entropy_gradient, bytes_of(&rows(shape)), vec![], reads, &[y]);
            }
            Operation::OneHot => self.call(&kernels::one_hot, bytes_of(&rows(shape)), vec![], reads, &[y]),
            Operation::ArgMax => {
                self.call(
                    &kernels::arg_max,
                    bytes_of(&rows(first.expect("one operand"))),
                    vec![],
                    reads,
                    &[y],
                );
            }
            Operation::RandomNormal => {
                let params = RandomParams { count: shape.len() as u32 };
                self.call(&kernels::random_normal, bytes_of(&params), vec![], reads, &[y]);
            }
            Operation::GatherRows(epilogue) => self.gather_rows(*epilogue, rows(shape), reads, y),
            _ => unreachable!("leaves, views and updates are lowered by `node`"),
        }
    }

    fn gather_rows(&mut self, epilogue: Epilogue, shape: RowsParams, reads: &[TensorId], y: TensorId) {
        // An epilogue without an operand leaves a binding free, which must still name a tensor.
        let beside = reads.get(2).copied().unwrap_or(reads[0]);
        let constants = vec![("EPILOGUE", epilogue.code())];
        let RowsParams { rows, columns } = shape;
        let params = GatherRowsParams { rows, columns, slope: epilogue.slope() };
        self.call(&kernels::gather_rows, bytes_of(&params), constants, &[reads[0], reads[1], beside], &[y]);
    }

    fn copy(&mut self, from: TensorId, to: TensorId) {
        let count = self.tensors[from.0].shape.len() as u32;
        let params = UnaryParams { count, length: count, stretch: 1, a: 0.0, b: 0.0 };
        let constants = vec![("OPERATION", 0), ("SOURCE", 0)];
        self.call(&kernels::unary, bytes_of(&params), constants, &[from], &[to]);
    }

    fn copy_columns(
        &mut self,
        from: TensorId,
        to: TensorId,
        columns: usize,
        [from_start, to_start]: [usize; 2],
    ) {
        let (source, target) = (&self.tensors[from.0].shape, &self.tensors[to.0].shape);
        let (from_columns, to_columns) = (source.channels(), target.channels());
        let rows = target.len() / to_columns;
        let params = CopyColumnsParams {
            rows: rows as u32,
            columns: columns as u32,
            from_columns: from_columns as u32,
            from_start: from_start as u32,
            to_columns: to_columns as u32,
            to_start: to_start as u32,
            spread: (rows / (source.len() / from_columns)) as u32,
        };
        self.call(&kernels::copy_columns, bytes_of(&params), vec![], &[from], &[to]);
    }

    fn border_sum(&mut self, borders: Borders, large: TensorId, small: TensorId) {
        let [rows, columns] = self.borders(borders, large, small);
        for (params, [from, to]) in [columns, rows] {
            self.call(&kernels::border_sum, bytes_of(&params), vec![], &[from], &[to]);
        }
    }

    fn border_spread(&mut self, borders: Borders, small: TensorId, large: TensorId) {
        for (params, [to, from]) in self.borders(borders, large, small) {
            self.call(&kernels::border_spread, bytes_of(&params), vec![], &[from], &[to]);
        }
    }

    /// The two calls of a border sum or of its adjoint: along rows and along columns, each with its large and its small side. The
    /// tensor between the two has all rows and the columns of the small side.
    fn borders(
        &mut self,
        borders: Borders,
        large: TensorId,
        small: TensorId,
    ) -> [(BorderParams, [TensorId; 2]); 2] {
        let [n, height, width, channels] = self.tensors[large.0].shape.image().expect("checked when built");
        let between = Shape::new(&[n, height, borders.side(), channels]);
        let between = self.fresh(format!("{} by rows", self.tensors[small.0].label), between);
        let params = |outer: usize, length: usize, inner: usize| {
            let [outer, length, inner] = [outer, length, inner].map(|extent| extent as u32);
            BorderParams { outer, length, inner, stride: borders.stride as u32 }
        };
        let rows = params(n, height, borders.side() * channels);
        [(rows, [between, small]), (params(n * height, width, channels), [large, between])]
    }

    /// Whether an element-wise operation makes a tensor. Its sum then becomes part of the same call.
    fn is_elementwise(&self, tensor: Tensor) -> bool {
        let Node { operation, operands, .. } = self.graph.node(tensor);
        match operation {
            Operation::Alias { .. } => self.is_elementwise(operands[0]),
            operation => matches!(operation, Operation::Unary(_) | Operation::Binary(_)),
        }
    }

    /// Sums `[rows, columns]` to `[columns]`, in two stages if there are more rows than a weight gradient has parts. Where the first
    /// stage also computes the rows that it adds, a GPU needs many parts to be busy.
    fn sum_rows(&mut self, x: TensorId, y: TensorId, computed: bool) {
        let columns = self.tensors[y.0].shape.len();
        let rows = self.tensors[x.0].shape.len() / columns;
        let most = self.limits.split.most;
        if rows <= ROWS_PER_SUM.max(most) {
            self.sum_rows_once(x, y, rows, columns, 1);
            return;
        }
        let splits = match computed && most > ROWS_PER_SUM {
            true => rows.div_ceil(ROWS_PER_COMPUTED_SUM).min(most),
            false => rows.div_ceil(ROWS_PER_SUM).min(ROWS_PER_SUM),
        };
        let parts = self.fresh(format!("{} parts", self.tensors[y.0].label), Shape::new(&[splits, columns]));
        self.sum_rows_once(x, parts, rows, columns, splits);
        self.sum_rows_once(parts, y, splits, columns, 1);
    }

    fn sum_rows_once(&mut self, x: TensorId, y: TensorId, rows: usize, columns: usize, splits: usize) {
        let params = SumRowsParams {
            rows: rows as u32,
            columns: columns as u32,
            splits: splits as u32,
            rows_per_split: rows.div_ceil(splits) as u32,
        };
        self.call(&kernels::sum_rows, bytes_of(&params), vec![], &[x], &[y]);
    }
}

/// For the element-wise kernels: the length of an operand, and the number of results per value of it.
fn reading(operand: &Shape, result: &Shape) -> (u32, u32) {
    (operand.len() as u32, (result.len() / operand.len()) as u32)
}

/// The nodes that an output or a state needs.
pub fn live(graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    for (_, tensor) in &graph.outputs {
        live[tensor.0] = true;
    }
    for index in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[index];
        live[index] |= matches!(node.operation, Operation::Assign | Operation::Adam);
        if live[index] {
            for operand in &node.operands {
                live[operand.0] = true;
            }
        }
    }
    live
}

/// The nodes that are computed straight into a pack: their results are new memory, and the first pack that names them takes them.
fn packed(graph: &Graph, live: &[bool]) -> Vec<Option<(Tensor, usize)>> {
    let mut packed = vec![None; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        let Operation::Pack { offsets } = &node.operation else { continue };
        for (&part, &offset) in node.operands.iter().zip(offsets) {
            let mut source = part;
            while matches!(graph.node(source).operation, Operation::Alias { .. }) {
                source = graph.node(source).operands[0];
            }
            let computed = !matches!(
                graph.node(source).operation,
                Operation::Input(_)
                    | Operation::State(_)
                    | Operation::Constant(_)
                    | Operation::View { .. }
                    | Operation::Pack { .. }
                    | Operation::Assign
                    | Operation::Adam
            );
            if computed && packed[source.0].is_none() {
                packed[source.0] = Some((Tensor(index), offset));
            }
        }
    }
    packed
}

/// The name of an operation in reports.
pub(super) fn name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Input(_) => "input",
        Operation::State(_) => "state",
        Operation::Constant(_) => "constant",
        Operation::View { .. } => "view",
        Operation::Alias { .. } => "alias",
        Operation::Unary(_) => "unary",
        Operation::Binary(_) => "binary",
        Operation::SumRows => "sum_rows",
        Operation::SumColumns => "sum_columns",
        Operation::Convolve(..) => "conv2d",
        Operation::ConvolveInputGradient(..) => "conv2d_input_gradient",
        Operation::ConvolveWeightGradient(_) => "conv2d_weight_gradient",
        Operation::Pool(_) => "pool",
        Operation::Unpool(..) => "unpool",
        Operation::MaxPool(_) => "max_pool",
        Operation::MaxUnpool(_) => "max_unpool",
        Operation::Resize(_) => "resize",
        Operation::ResizeGradient(_) => "resize_gradient",
        Operation::BorderSum(_) => "border_sum",
        Operation::BorderSpread(_) => "border_spread",
        Operation::Concatenate => "concatenate",
        Operation::Slice { .. } => "slice",
        Operation::Softmax => "softmax",
        Operation::CrossEntropy => "cross_entropy",
        Operation::CrossEntropyGradient => "cross_entropy_gradient",
        Operation::OneHot => "one_hot",
        Operation::ArgMax => "arg_max",
        Operation::RandomNormal => "random_normal",
        Operation::GatherRows(_) => "gather_rows",
        Operation::Pack { .. } => "pack",
        Operation::Assign => "assign",
        Operation::Adam => "adam",
    }
}
