//! From graph to graph: finds the operations behind a convolution that its kernel can do at the end of a sum, and makes them its
//! epilogue.
//!
//! Networks are written in primitives: a convolution, a bias, an activation, and in the backward pass a gradient and the mask of
//! the activation. Each of them is a pass over memory. If the value between two of them is used once, the second becomes the
//! epilogue of the first, and the value is never stored. The compiler does this and not the builder, because only the whole graph
//! shows whether a value is used again.

use crate::graph::{Binary, Epilogue, Graph, Node, Operation, Tensor, Unary};

/// The same calculation with epilogues.
pub fn rewrite(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let (uses, updates) = (uses(&graph), updates(&graph));
    // Operands come before results, so a chain grows from its convolution.
    for index in 0..graph.nodes.len() {
        let joined = joined(&graph, Tensor(index), &uses, &updates);
        if let Some((operation, operands)) = joined {
            let node = &mut graph.nodes[index];
            (node.operation, node.operands) = (operation, operands);
        }
    }
    graph
}

/// The number of reads of each value by live nodes and by the host.
fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes.len()];
    for (_, output) in &graph.outputs {
        uses[output.0] += 1;
    }
    for (node, live) in graph.nodes.iter().zip(super::lower::live(graph)) {
        for operand in node.operands.iter().filter(|_| live) {
            uses[operand.0] += 1;
        }
    }
    uses
}

/// The number of states that are written before each node.
fn updates(graph: &Graph) -> Vec<usize> {
    let writes = |node: &Node| matches!(node.operation, Operation::Assign | Operation::Adam);
    let counted = graph.nodes.iter().scan(0, |count, node| {
        let before = *count;
        *count += usize::from(writes(node));
        Some(before)
    });
    counted.collect()
}

/// A node and the convolution before it as one operation, and the operands of this operation.
fn joined(
    graph: &Graph,
    tensor: Tensor,
    uses: &[usize],
    updates: &[usize],
) -> Option<(Operation, Vec<Tensor>)> {
    let Node { operation, operands, shape } = graph.node(tensor);
    let &first = operands.first()?;
    let whole = graph.shape(first) == shape && uses[first.0] == 1;
    // The convolution moves to the place of its epilogue. A state that is written between the two would then be read too late.
    if !whole || updates[first.0] != updates[tensor.0] {
        return None;
    }
    let source = graph.node(first);
    let ended = match (operation, sum_of(&source.operation)?) {
        (Operation::Binary(Binary::Add), Epilogue::None)
            if graph.shape(operands[1]).extents() == [shape.channels()] =>
        {
            Epilogue::Bias
        }
        (Operation::Unary(Unary::LeakyRelu(slope)), Epilogue::Bias) => Epilogue::BiasLeaky(*slope),
        (Operation::Binary(Binary::LeakyMask(slope)), Epilogue::None)
            if graph.shape(operands[1]) == shape =>
        {
            Epilogue::LeakyMask(*slope)
        }
        _ => return None,
    };
    let operation = match (&source.operation, ended) {
        (Operation::Convolve(g, _), _) => Operation::Convolve(*g, ended),
        (Operation::ConvolveInputGradient(g, _), _) => Operation::ConvolveInputGradient(*g, ended),
        (Operation::Unpool(window, None), Epilogue::LeakyMask(slope)) => {
            Operation::Unpool(*window, Some(slope))
        }
        _ => return None,
    };
    let more = operands.get(1);
    Some((operation, source.operands.iter().chain(more).copied().collect()))
}

/// The present epilogue of an operation that may have one.
fn sum_of(operation: &Operation) -> Option<Epilogue> {
    match operation {
        Operation::Convolve(_, epilogue) | Operation::ConvolveInputGradient(_, epilogue) => Some(*epilogue),
        Operation::Unpool(window, None) if window.is_side_by_side() => Some(Epilogue::None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Convolution;

    const SAME: Convolution = Convolution::same(3, 1);

    /// A convolution with bias and leaky ReLU of slope 0.1; `again` reads its values once more.
    fn layer(again: impl Fn(&mut Graph, [Tensor; 3])) -> Graph {
        let mut g = Graph::new();
        let x = g.input("x", &[2, 4, 4, 3]).unwrap();
        let (w, b) = (g.state("w", &[3, 3, 3, 5]).unwrap(), g.state("b", &[5]).unwrap());
        let sum = g.convolve(SAME, x, w).unwrap();
        let biased = g.add(sum, b).unwrap();
        let y = g.unary(Unary::LeakyRelu(0.1), biased);
        again(&mut g, [sum, biased, y]);
        g.output("y", y);
        g
    }

    fn epilogues(graph: &Graph) -> Vec<Epilogue> {
        let live = crate::program::lower::live(graph);
        let nodes = graph.nodes.iter().zip(live).filter(|(_, live)| *live);
        nodes.filter_map(|(node, _)| sum_of(&node.operation)).collect()
    }

    #[test]
    fn bias_and_activation_become_one_epilogue_of_any_slope() {
        assert_eq!(epilogues(&rewrite(&layer(|_, _| ()))), [Epilogue::BiasLeaky(0.1)]);
    }

    #[test]
    fn a_value_that_is_used_twice_is_kept() {
        let biased = layer(|g, [_, biased, _]| g.output("before the activation", biased));
        assert_eq!(epilogues(&rewrite(&biased)), [Epilogue::Bias]);
        let sum = layer(|g, [sum, ..]| g.output("before the bias", sum));
        assert_eq!(epilogues(&rewrite(&sum)), [Epilogue::None]);
    }

    #[test]
    fn a_sum_does_not_move_past_a_write_of_what_it_reads() {
        let mut g = Graph::new();
        let x = g.input("x", &[2, 4, 4, 3]).unwrap();
        let (w, b) = (g.state("w", &[3, 3, 3, 5]).unwrap(), g.state("b", &[5]).unwrap());
        let sum = g.convolve(SAME, x, w).unwrap();
        let doubled = g.affine(w, 2.0, 0.0);
        g.assign(w, doubled).unwrap();
        let biased = g.add(sum, b).unwrap();
        g.output("y", biased);
        assert_eq!(epilogues(&rewrite(&g)), [Epilogue::None]);
    }

    #[test]
    fn what_is_not_a_bias_per_channel_is_no_epilogue() {
        let mut g = Graph::new();
        let x = g.input("x", &[2, 4, 4, 3]).unwrap();
        let w = g.state("w", &[3, 3, 3, 3]).unwrap();
        let sum = g.convolve(SAME, x, w).unwrap();
        let residual = g.add(sum, x).unwrap();
        g.output("y", residual);
        assert_eq!(epilogues(&rewrite(&g)), [Epilogue::None]);
    }

    #[test]
    fn a_backward_mask_ends_the_gradient_before_it() {
        let mut g = layer(|_, _| ());
        let y = g.outputs[0].1;
        let x = Tensor(0);
        let w = g.state("second", &[3, 3, 5, 2]).unwrap();
        let z = g.convolve(SAME, y, w).unwrap();
        let gradient = g.gradient(z, z, &[x]).unwrap()[0];
        g.output("gradient", gradient);
        assert!(epilogues(&rewrite(&g)).contains(&Epilogue::LeakyMask(0.1)), "{:?}", epilogues(&rewrite(&g)));
    }
}
