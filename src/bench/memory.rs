//! How close a step's memory is to what it cannot do without: arithmetic on a program, no device needed.

use crate::program::{Program, RootKind};
use serde::Serialize;

/// A step's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StepMemory {
    /// Bytes of the plan: arenas and states.
    pub planned_bytes: u64,
    /// Bytes of the states (weights, moments, averages) and of every tensor that exists before the last backward pass
    /// and is read in it.
    pub needed_bytes: u64,
}

/// The memory of a training step; `None` of a program without a backward pass.
pub fn step_memory(program: &Program) -> Option<StepMemory> {
    // It begins with the gradient of the loss by the logits.
    let begin = program.calls.iter().rposition(|call| call.kernel.name == "cross_entropy_gradient")?;
    let needed = program.roots.iter().filter(|root| match root.kind {
        RootKind::State(_) => true,
        _ => root.first <= begin && root.last > begin,
    });
    let needed_bytes = needed.map(|root| crate::gpu::half::bytes(root.len, root.half)).sum();
    Some(StepMemory { planned_bytes: program.memory.bytes(), needed_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Unary};
    use crate::program::MemoryLimits;

    #[test]
    fn what_the_backward_pass_reads_is_needed_and_what_comes_before_or_after_is_not() {
        let mut graph = Graph::new();
        let (weights, labels) =
            (graph.state("weights", &[4, 64]).unwrap(), graph.input("labels", &[4, 1]).unwrap());
        // Kept for the derivative of exp: 4 x 64 values. What exp reads is dead by then.
        let doubled = graph.unary(Unary::Affine(2.0, 0.0), weights);
        let logits = graph.unary(Unary::Exp, doubled);
        let losses = graph.cross_entropy(logits, labels).unwrap();
        let share = graph.input("share", &[4, 1]).unwrap();
        let gradient = graph.gradient(losses, share, &[weights]).unwrap()[0];
        graph.output("gradient", gradient);
        let program = Program::compile(&graph, MemoryLimits::NONE).unwrap();
        let memory = step_memory(&program).unwrap();
        let (state, kept) = (4 * 4 * 64, 4 * 4 * 64);
        // And the gradient by the logits itself, which its call writes.
        assert_eq!(memory.needed_bytes, state + kept + 4 * 4 * 64);
        assert!(memory.planned_bytes >= memory.needed_bytes);
        assert_eq!(step_memory(&Program::compile(&Graph::new(), MemoryLimits::NONE).unwrap()), None);
    }
}
