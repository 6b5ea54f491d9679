//! Programs as data: buffers with their sizes, and for every call its pipeline, grid, parameters and the piece of memory that stands at
//! each binding. The description holds all that a browser needs to replay them. `page/player.js` does.
//!
//! The form of a kernel is the most specific one that can exist in a browser, as on an adapter that has no time to measure. Small
//! products are an exception: a browser compiles when the page opens, and forms for GPUs are long. WebGPU
//! refuses a dispatch in which two bindings name overlapping memory that can be written. An operand that is named but not read
//! gets a buffer of its own, and any other overlap is an error here.

use super::WebError;
use crate::kernels::{Form, generate};
use crate::program::{Call, Program, RootKind, TensorId};
use serde::Serialize;
use std::collections::BTreeMap;

/// Several programs with the shaders and pipelines that they share.
#[derive(Debug, Default, Serialize)]
pub struct Description {
    /// WGSL texts.
    pub shaders: Vec<String>,
    /// What pipelines are made from.
    pub pipelines: Vec<PipelineRow>,
    /// The programs by name.
    pub programs: BTreeMap<String, ProgramRow>,
}

/// A compute pipeline: one uniform buffer, then storage buffers that can be written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PipelineRow {
    /// The kernel and its form.
    pub kernel: String,
    /// Index of its text.
    pub shader: usize,
    /// Values of its override constants.
    pub constants: BTreeMap<&'static str, u32>,
    /// How many storage buffers.
    pub tensors: usize,
}

/// A program. Its buffers are counted in this order: arenas, states, and one of [`ProgramRow::spare`] bytes.
#[derive(Debug, Serialize)]
pub struct ProgramRow {
    /// Bytes of each arena.
    pub arenas: Vec<u64>,
    /// Names and lengths of the states.
    pub states: Vec<(String, usize)>,
    /// Bytes of a buffer for operands that are not read.
    pub spare: u64,
    /// What is filled once with a value.
    pub constants: Vec<(Place, f32)>,
    /// What the host writes before each run.
    pub inputs: BTreeMap<String, Place>,
    /// What it reads afterwards.
    pub outputs: BTreeMap<String, Place>,
    /// The calls in order.
    pub calls: Vec<CallRow>,
}

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Which buffer.
    pub buffer: usize,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Place {
    fn overlaps(self, other: Self) -> bool {
        self.buffer == other.buffer
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }
}

/// One dispatch.
#[derive(Debug, Serialize)]
pub struct CallRow {
    /// Index of its pipeline.
    pub pipeline: usize,
    /// Workgroups.
    pub grid: [u32; 3],
    /// The words of its parameter struct.
    pub params: Vec<u32>,
    /// What stands at the bindings from 1 on.
    pub tensors: Vec<Place>,
    /// Floating-point operations, by which long runs are cut into several submissions.
    pub flops: u64,
}

/// Floating-point operations of a call below which the large forms for GPUs are not worth their compilation: a GPU does as many in
/// a tenth of a millisecond, in any form, while drivers take up to seconds for such a form.
const SMALL_PRODUCT: u64 = 100_000_000;

/// Bytes of the buffer for operands that are not read: one alignment.
const SPARE: u64 = 256;

impl Description {
    /// Adds a program under a name.
    ///
    /// # Errors
    /// If a call binds the same memory twice.
    pub fn add(&mut self, name: &str, program: &Program) -> Result<(), WebError> {
        let layout = Layout::of(program);
        let calls =
            program.calls.iter().map(|call| self.call(program, &layout, call)).collect::<Result<_, _>>()?;
        let constant = |(index, root): (usize, &crate::program::Root)| match root.kind {
            // Buffers are zero to begin with.
            RootKind::Constant(value) if value != 0.0 => Some((layout.root(program, index), value)),
            _ => None,
        };
        let inputs = program.inputs.iter().filter_map(|(name, _)| {
            let root = program.input(name)?;
            Some((name.clone(), layout.root(program, root)))
        });
        let outputs = program.outputs.iter().map(|(name, id)| (name.clone(), layout.tensor(program, *id)));
        let row = ProgramRow {
            arenas: program.memory.arenas.clone(),
            spare: SPARE,
            constants: program.roots.iter().enumerate().filter_map(constant).collect(),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            calls,
            states: layout.states,
        };
        self.programs.insert(name.to_string(), row);
        Ok(())
    }

    fn call(&mut self, program: &Program, layout: &Layout, call: &Call) -> Result<CallRow, WebError> {
        let form = form(call);
        let source = call.expression.as_ref().map(|e| generate::shader(form.source, e));
        let source = source.as_deref().unwrap_or(form.source);
        let constants = form.constants(call);
        let declared = |name: &str| source.contains(&format!("override {name}:"));
        let row = PipelineRow {
            kernel: format!("{}, {}", call.kernel.name, form.name),
            shader: index_of(&mut self.shaders, source.to_string()),
            constants: constants.iter().copied().filter(|(name, _)| declared(name)).collect(),
            tensors: call.reads.len() + call.writes.len(),
        };
        let words =
            call.params.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("whole words")));
        Ok(CallRow {
            pipeline: index_of(&mut self.pipelines, row),
            grid: (form.grid)(&call.params, &constants),
            params: words.collect(),
            tensors: layout.tensors(program, call)?,
            flops: call.flops,
        })
    }
}

/// The form in which a page computes a call.
fn form(call: &Call) -> &'static Form {
    let small = (1..SMALL_PRODUCT).contains(&call.flops);
    let forms = call.forms_in_browsers().filter(|form| !(form.needs.hardware && small));
    forms.last().expect("the portable form computes every call")
}

/// The index of `item`, which is added if it is new.
fn index_of<T: PartialEq>(all: &mut Vec<T>, item: T) -> usize {
    all.iter().position(|known| *known == item).unwrap_or_else(|| {
        all.push(item);
        all.len() - 1
    })
}

/// The buffers of a program.
struct Layout {
    arenas: usize,
    states: Vec<(String, usize)>,
}

impl Layout {
    fn of(program: &Program) -> Self {
        let state = |root: &crate::program::Root| match &root.kind {
            RootKind::State(name) => Some((name.clone(), root.len)),
            _ => None,
        };
        Self { arenas: program.memory.arenas.len(), states: program.roots.iter().filter_map(state).collect() }
    }

    fn spare(&self) -> Place {
        Place { buffer: self.arenas + self.states.len(), offset: 0, bytes: SPARE }
    }

    /// `len` values of a root from value `offset` on.
    fn piece(&self, program: &Program, root: usize, offset: usize, len: usize) -> Place {
        let (buffer, first) = match (&program.roots[root].kind, program.memory.places[root]) {
            (RootKind::State(name), _) => {
                let place = self.states.iter().position(|(known, _)| known == name);
                (self.arenas + place.expect("every state is listed"), 0)
            }
            (_, Some(place)) => (place.arena, place.offset),
            (_, None) => unreachable!("the plan places every root that is no state"),
        };
        Place { buffer, offset: first + 4 * offset as u64, bytes: 4 * len as u64 }
    }

    fn root(&self, program: &Program, root: usize) -> Place {
        self.piece(program, root, 0, program.roots[root].len)
    }

    fn tensor(&self, program: &Program, id: TensorId) -> Place {
        let info = program.tensor(id);
        self.piece(program, info.root, info.offset, info.shape.len())
    }

    /// What stands at the bindings of a call.
    fn tensors(&self, program: &Program, call: &Call) -> Result<Vec<Place>, WebError> {
        let mut places: Vec<Place> = Vec::new();
        for (index, id) in call.reads.iter().chain(&call.writes).enumerate() {
            let read = index >= call.reads.len() || call.is_read(index);
            let place = if read { self.tensor(program, *id) } else { self.spare() };
            if places.iter().any(|other| other.overlaps(place)) {
                return Err(WebError::Twice { kernel: call.kernel.name });
            }
            places.push(place);
        }
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Convolution, Graph, Unary};
    use crate::program::MemoryLimits;

    fn described(graph: &Graph) -> Description {
        let program = Program::compile(graph, MemoryLimits::BROWSER).unwrap();
        let mut description = Description::default();
        description.add("it", &program).unwrap();
        description
    }

    #[test]
    fn an_operand_that_is_not_read_has_memory_of_its_own() {
        let mut graph = Graph::new();
        let x = graph.input("x", &[1, 4, 4, 4]).unwrap();
        let weight = graph.state("weight", &[3, 3, 4, 4]).unwrap();
        let y = graph.convolve(Convolution::same(3, 1), x, weight).unwrap();
        graph.output("y", y);
        let description = described(&graph);
        let program = &description.programs["it"];
        let [call] = program.calls.as_slice() else { panic!("{program:?}") };
        let beside = call.tensors[2];
        assert_eq!((beside.buffer, beside.bytes), (program.arenas.len() + 1, SPARE));
        assert_eq!(call.tensors[1], Place { buffer: 1, offset: 0, bytes: 4 * 144 }, "the weight is a state");
        assert_eq!(description.pipelines[call.pipeline].constants["EPILOGUE"], 0);
    }

    #[test]
    fn only_declared_constants_are_set_and_no_form_needs_what_browsers_lack() {
        let mut graph = Graph::new();
        let x = graph.input("x", &[2, 8, 8, 8]).unwrap();
        let weight = graph.state("weight", &[3, 3, 8, 8]).unwrap();
        let y = graph.convolve(Convolution::same(3, 1), x, weight).unwrap();
        let z = graph.unary(Unary::Exp, y);
        graph.output("z", z);
        let description = described(&graph);
        for row in &description.pipelines {
            let text = &description.shaders[row.shader];
            assert!(!row.kernel.contains("lavapipe"), "{}", row.kernel);
            for name in row.constants.keys() {
                assert!(text.contains(&format!("override {name}: ")), "{}: {name}", row.kernel);
            }
        }
    }
}
