//! A program: the static list of kernel calls that a graph becomes, over tensors whose places in memory are
//! planned beforehand. Both executors replay the same program.
//!
//! `rewrite` joins biases, activations and masks to convolutions. `lower` turns nodes into calls. `fuse` makes one call of
//! element-wise calls that share values. `memory` plans the places. Tensors that are views of one another share a *root*, and the
//! plan gives each root a place. A program depends on a device only by its limits.

mod assemble;
mod fuse;
mod lower;
mod memory;
pub mod precision;
mod rewrite;

pub use crate::graph::ALIGNMENT;
use crate::graph::{Graph, Shape};
pub use crate::kernels::{Call, TensorId};
use crate::memory::OutOfMemory;
pub use lower::{ADAM_BETAS, ADAM_EPSILON, adam_step_size};
pub use memory::MemoryPlan;

/// Where a tensor's values are: from `offset` values into root `root`.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// For reports.
    pub label: String,
    /// Static shape.
    pub shape: Shape,
    /// Index into [`Program::roots`].
    pub root: usize,
    /// In values.
    pub offset: usize,
}

/// What fills a root's memory.
#[derive(Clone, Debug, PartialEq)]
pub enum RootKind {
    /// Computed by the program; its memory is reused when it is dead.
    Computed,
    /// Written by the host before each run.
    Input(String),
    /// Outlives the run; shared by name between programs of a workspace.
    State(String),
    /// Filled once when the program is prepared.
    Constant(f32),
}

/// A piece of memory and the span of calls during which it is alive.
#[derive(Clone, Debug)]
pub struct Root {
    /// What fills it.
    pub kind: RootKind,
    /// In values.
    pub len: usize,
    /// First call at which it must exist.
    pub first: usize,
    /// Last call at which it must exist.
    pub last: usize,
    /// Whether it is stored as f16 on a GPU.
    pub half: bool,
}

/// Why a graph could not be compiled.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum ProgramError {
    /// One tensor is larger than a binding may be.
    #[error(
        "the tensor {label} of shape {shape} takes {bytes} bytes, more than the {limit} that this adapter can bind; \
         use a smaller batch or width"
    )]
    TensorTooLarge {
        /// The tensor.
        label: String,
        /// Its shape.
        shape: Shape,
        /// Its size.
        bytes: u64,
        /// The adapter's limit.
        limit: u64,
    },
    /// A tensor has more values than the 32-bit counters of the kernels.
    #[error(
        "the tensor {label} of shape {shape} has more than the {} values that are possible; use a smaller batch or width",
        u32::MAX
    )]
    TooManyValues {
        /// The tensor.
        label: String,
        /// Its shape.
        shape: Shape,
    },
    /// A call needs more workgroups than any adapter offers.
    #[error(
        "{kernel} on {label} of shape {shape} needs {groups} workgroups along one dimension, more than {MOST_GROUPS}; \
         use a smaller batch"
    )]
    GridTooLarge {
        /// The kernel.
        kernel: &'static str,
        /// What it writes.
        label: String,
        /// Its shape.
        shape: Shape,
        /// Workgroups.
        groups: u32,
    },
    /// A view starts where no binding may start.
    #[error("the tensor {label} starts at value {offset}, which is not a multiple of {}", ALIGNMENT)]
    Misaligned {
        /// The tensor.
        label: String,
        /// Its first value.
        offset: usize,
    },
    /// Too little memory is left to compile in.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

/// Bytes that have to be free to compile a graph in: many small vectors, whose refusal would end the process. PGD with ten
/// iterations on a ResNet-18 takes 2.5 million.
const ROOM_TO_COMPILE: usize = 8 << 20;

/// Refuses to begin where a graph could not be built and compiled.
///
/// # Errors
/// If there is too little memory.
pub fn room_to_compile() -> Result<(), OutOfMemory> {
    crate::memory::with_room::<u8>(ROOM_TO_COMPILE).map(drop)
}

/// Workgroups along one dimension that every adapter offers (WebGPU's default limit).
pub(crate) const MOST_GROUPS: u32 = 65_535;

/// Into how many partial sums a weight gradient is split, so that small layers keep a device busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Partial values to aim at.
    pub values: usize,
    /// Partial sums at most.
    pub most: usize,
}

impl Split {
    /// A GPU computes some thousand tiles at a time.
    pub const GPU: Self = Self { values: 1 << 22, most: 512 };
}

/// The limits of a device, and the choices that suit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Largest buffer in bytes.
    pub buffer: u64,
    /// Largest part of a buffer that one kernel can see, in bytes.
    pub binding: u64,
    /// Whether convolutions become matrix products, by Winograd's algorithms or by `im2col`, where this is faster.
    pub matrix_products: bool,
    /// Whether a direct weight gradient also computes the gradient of the bias, where both have neighbouring places. A GPU waits for
    /// the end of every call, and sums over rows are two calls.
    pub biases_with_weights: bool,
    /// How weight gradients are split.
    pub split: Split,
    /// Whether activations are stored as f16.
    pub half: bool,
}

impl MemoryLimits {
    /// No limits: the CPU path.
    pub const NONE: Self = Self {
        buffer: u64::MAX,
        binding: u64::MAX,
        matrix_products: false,
        biases_with_weights: false,
        split: Split { values: 1 << 17, most: 64 },
        half: false,
    };

    /// Those of an adapter in a browser that has nothing but WebGPU's defaults, and the choices for GPUs.
    pub const BROWSER: Self = Self {
        buffer: 256 << 20,
        binding: 128 << 20,
        matrix_products: false,
        biases_with_weights: true,
        split: Split::GPU,
        half: false,
    };
}

/// A compiled graph.
#[derive(Clone, Debug)]
pub struct Program {
    /// All tensors.
    pub tensors: Vec<TensorInfo>,
    /// All pieces of memory.
    pub roots: Vec<Root>,
    /// The calls in order.
    pub calls: Vec<Call>,
    /// Names and lengths of the inputs that the graph has. Those that nothing depends on have no root.
    pub inputs: Vec<(String, usize)>,
    /// The tensors that the host reads after a run.
    pub outputs: Vec<(String, TensorId)>,
    /// Where every root is.
    pub memory: MemoryPlan,
}

impl Program {
    /// Drops nodes that no output or state needs, turns the others into calls, fuses element-wise calls and plans memory.
    pub fn compile(graph: &Graph, limits: MemoryLimits) -> Result<Self, ProgramError> {
        room_to_compile()?;
        Self::planned(graph, fuse::fuse(lowered(&rewrite::rewrite(graph), limits)?), limits)
    }

    /// The same as [`Program::compile`] with one call per operation. Tests compare fused programs with it.
    pub fn compile_unfused(graph: &Graph, limits: MemoryLimits) -> Result<Self, ProgramError> {
        Self::planned(graph, lowered(&rewrite::rewrite(graph), limits)?, limits)
    }

    fn planned(graph: &Graph, lowered: lower::Lowered, limits: MemoryLimits) -> Result<Self, ProgramError> {
        let lower::Lowered { tensors, mut roots, calls, outputs } = lowered;
        check(&tensors, &calls, limits)?;
        memory::lifetimes(&tensors, &mut roots, &calls, &outputs);
        if limits.half {
            precision::halve(&mut roots, &tensors, &calls, &outputs);
        }
        let memory = MemoryPlan::new(&roots, limits.buffer);
        let inputs =
            graph.inputs().into_iter().map(|(name, shape)| (name.to_string(), shape.len())).collect();
        Ok(Self { tensors, roots, calls, inputs, outputs, memory })
    }

    /// The facts about a tensor.
    pub fn tensor(&self, id: TensorId) -> &TensorInfo {
        &self.tensors[id.0]
    }

    /// Whether a tensor is stored as f16 on a GPU.
    pub fn is_half(&self, id: TensorId) -> bool {
        self.roots[self.tensor(id).root].half
    }

    /// The length of the input `name`, if the graph has one of this name.
    pub fn declared(&self, name: &str) -> Option<usize> {
        self.inputs.iter().find(|(input, _)| input == name).map(|(_, len)| *len)
    }

    /// The root that the host writes as `name`; none if nothing depends on it.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.roots.iter().position(|r| matches!(&r.kind, RootKind::Input(n) if n == name))
    }

    /// Floating-point operations of one run, counted as direct convolution.
    pub fn flops(&self) -> u64 {
        self.calls.iter().map(|c| c.flops).sum()
    }
}

/// The calls of a graph. It refuses tensors with more values than the kernels can count. Lowering and fusing multiply lengths, so the
/// check comes before both.
fn lowered(graph: &Graph, limits: MemoryLimits) -> Result<lower::Lowered, ProgramError> {
    let countable = |label: &str, shape: &Shape| match u32::try_from(shape.len()) {
        Ok(_) => Ok(()),
        Err(_) => Err(ProgramError::TooManyValues { label: label.to_string(), shape: shape.clone() }),
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        countable(&format!("{}.{index}", lower::name(&node.operation)), &node.shape)?;
    }
    let lowered = lower::lower(graph, limits);
    lowered.tensors.iter().try_for_each(|tensor| countable(&tensor.label, &tensor.shape))?;
    Ok(lowered)
}

fn check(tensors: &[TensorInfo], calls: &[Call], limits: MemoryLimits) -> Result<(), ProgramError> {
    for call in calls {
        let TensorInfo { label, shape, .. } = &tensors[call.writes[0].0];
        let fitting = call.kernel.forms.iter().filter(|form| (form.fits)(&call.params, &call.constants));
        let grids = fitting.flat_map(|form| (form.grid)(&call.params, &form.constants(call)));
        if let Some(groups) =
            grids.max().filter(|&groups| groups > MOST_GROUPS && limits != MemoryLimits::NONE)
        {
            let (kernel, label, shape) = (call.kernel.name, label.clone(), shape.clone());
            return Err(ProgramError::GridTooLarge { kernel, label, shape, groups });
        }
    }
    for id in calls.iter().flat_map(|c| c.reads.iter().chain(&c.writes)) {
        let TensorInfo { label, shape, offset, .. } = &tensors[id.0];
        if shape.bytes() > limits.binding {
            let (label, shape, bytes) = (label.clone(), shape.clone(), shape.bytes());
            return Err(ProgramError::TensorTooLarge { label, shape, bytes, limit: limits.binding });
        }
        if !offset.is_multiple_of(ALIGNMENT) {
            return Err(ProgramError::Misaligned { label: label.clone(), offset: *offset });
        }
    }
    Ok(())
}
