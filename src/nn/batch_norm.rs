//! Batch normalisation per channel (Ioffe and Szegedy 2015), from primitive operations, so that gradients of gradients
//! need no rule of their own.
//!
//! The batch is normalised by its biased variance; the running variance learns from the unbiased one, as in PyTorch.
//! Images that only pad a batch enter no statistic.

use crate::graph::{Graph, GraphError, Tensor, Unary};

type Result<T = Tensor> = std::result::Result<T, GraphError>;

/// The numbers of one batch normalisation.
#[derive(Clone, Copy)]
pub struct Statistics {
    /// Scales, `[channels]`.
    pub scale: Tensor,
    /// Shifts, `[channels]`.
    pub shift: Tensor,
    /// Running means, `[channels]`, a state.
    pub mean: Tensor,
    /// Running variances, `[channels]`, a state.
    pub variance: Tensor,
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of the batch's statistics in the running ones' next value.
    pub momentum: f32,
}

/// `1 / sqrt(variance + epsilon)`.
fn inverse_deviation(graph: &mut Graph, variance: Tensor, epsilon: f32) -> Tensor {
    let floored = graph.affine(variance, 1.0, epsilon);
    let deviation = graph.unary(Unary::Sqrt, floored);
    graph.unary(Unary::Reciprocal, deviation)
}

/// The scale and the shift per channel that normalisation by the running statistics is.
pub fn affine(graph: &mut Graph, numbers: Statistics) -> Result<(Tensor, Tensor)> {
    let Statistics { scale, shift, mean, variance, epsilon, .. } = numbers;
    // A copy: gradients through an attack are written down after a training pass has moved the running mean, and would
    // read the new one.
    let mean = graph.affine(mean, 1.0, 0.0);
    let inverse = inverse_deviation(graph, variance, epsilon);
    let scale = graph.multiply(scale, inverse)?;
    let moved = graph.multiply(mean, scale)?;
    let shift = graph.subtract(shift, moved)?;
    Ok((scale, shift))
}

/// `x` normalised by the statistics of its real images; `real` is 1 for those and 0 for padding, `[n, 1]`.
pub fn train(graph: &mut Graph, numbers: Statistics, x: Tensor, real: Tensor, update: bool) -> Result {
    let Statistics { scale, shift, mean, variance, epsilon, momentum } = numbers;
    let channels = graph.shape(x).channels();
    let positions = graph.shape(x).columns() / channels;
    let images = graph.sum(real);
    let count = graph.affine(images, positions as f32, 0.0);
    let own_mean = channel_mean(graph, x, real, count)?;
    let centred = graph.subtract(x, own_mean)?;
    let square = graph.unary(Unary::Square, centred);
    let own_variance = channel_mean(graph, square, real, count)?;
    if update {
        // n / (n − 1), of one value 1.
        let others = graph.affine(count, 1.0, -1.0);
        let others = graph.unary(Unary::Clamp(1.0, f32::MAX), others);
        let unbiased = graph.multiply(own_variance, count)?;
        let unbiased = graph.binary(crate::graph::Binary::Divide, unbiased, others)?;
        follow(graph, mean, own_mean, momentum)?;
        follow(graph, variance, unbiased, momentum)?;
    }
    let inverse = inverse_deviation(graph, own_variance, epsilon);
    let scale = graph.multiply(scale, inverse)?;
    let scaled = graph.multiply(centred, scale)?;
    graph.add(scaled, shift)
}

/// The mean of each channel over the positions of real images.
fn channel_mean(graph: &mut Graph, x: Tensor, real: Tensor, count: Tensor) -> Result {
    let channels = graph.shape(x).channels();
    let weighted = graph.multiply(x, real)?;
    let sum = graph.sum_rows(weighted, channels)?;
    graph.binary(crate::graph::Binary::Divide, sum, count)
}

/// Moves a running statistic towards the batch's.
fn follow(graph: &mut Graph, running: Tensor, batch: Tensor, momentum: f32) -> Result<()> {
    let old = graph.affine(running, 1.0 - momentum, 0.0);
    let new = graph.affine(batch, momentum, 0.0);
    let sum = graph.add(old, new)?;
    graph.assign(running, sum)
}
