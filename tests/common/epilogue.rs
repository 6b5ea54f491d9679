//! Convolutions with what follows them, in primitives; the compiler joins them to one call.

use pgn_wgpu::graph::{Binary, Convolution, Epilogue, Graph, GraphError, Tensor, Unary};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// `[x, w]` or `[x, w, beside]`: a convolution and its epilogue.
pub fn convolve(graph: &mut Graph, g: Convolution, epilogue: Epilogue, operands: &[Tensor]) -> Result {
    let sum = graph.convolve(g, operands[0], operands[1])?;
    end(graph, sum, epilogue, operands.get(2))
}

/// `[d, w]` or `[d, w, beside]`: a transposed convolution to `stride` times the extents, and its epilogue.
pub fn transposed(graph: &mut Graph, g: Convolution, epilogue: Epilogue, operands: &[Tensor]) -> Result {
    if let Epilogue::BorderBiasLeaky(slope) = epilogue {
        return graph.convolve_transposed_with_borders(g, slope, [operands[0], operands[1], operands[2]]);
    }
    let sum = graph.convolve_transposed(g, operands[0], operands[1])?;
    end(graph, sum, epilogue, operands.get(2))
}

/// What an epilogue does to a convolution's sums.
pub fn end(graph: &mut Graph, sum: Tensor, epilogue: Epilogue, beside: Option<&Tensor>) -> Result {
    let beside = || *beside.expect("this epilogue has an operand");
    match epilogue {
        Epilogue::None => Ok(sum),
        Epilogue::Bias => graph.add(sum, beside()),
        Epilogue::BiasLeaky(slope) => {
            let biased = graph.add(sum, beside())?;
            Ok(graph.unary(Unary::LeakyRelu(slope), biased))
        }
        Epilogue::LeakyMask(slope) => graph.binary(Binary::LeakyMask(slope), sum, beside()),
        Epilogue::BorderBiasLeaky(_) => unreachable!("transposed convolutions have an operation for it"),
    }
}
