//! Batch normalisation per channel (Ioffe and Szegedy 2015), from primitive operations, so that gradients of gradients
//! need no rule of their own.
//!
//! The batch is normalised by its biased variance; the running variance learns from the unbiased one, as in PyTorch.
//! Images that only pad a batch enter no statistic.

use crate::graph::{Formula, Graph, GraphError, Tensor, Term};

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
fn inverse_deviation(variance: Term, epsilon: f32) -> Term {
    (variance + epsilon).sqrt().reciprocal()
}

/// The scale and the shift per channel that normalisation by the running statistics is.
pub fn affine(graph: &mut Graph, numbers: Statistics) -> Result<(Tensor, Tensor)> {
    let Statistics { scale, shift, mean, variance, epsilon, .. } = numbers;
    let [scale, shift] = graph.formulas(|f| {
        let [scale, shift, mean, variance] = f.all([scale, shift, mean, variance]);
        // A copy: gradients through an attack are written down after a training pass has moved the running mean, and would
        // read the new one.
        let mean = mean.affine(1.0, 0.0);
        let scale = scale * inverse_deviation(variance, epsilon);
        [scale, shift - mean * scale]
    })?;
    Ok((scale, shift))
}

/// `x` normalised by the statistics of its real images; `real` is 1 for those and 0 for padding, `[n, 1]`. Without a real
/// image the running statistics stay, and what comes out are finite numbers without a meaning.
pub fn train(graph: &mut Graph, numbers: Statistics, x: Tensor, real: Tensor, update: bool) -> Result {
    let channels = graph.shape(x).channels();
    let positions = graph.shape(x).columns() / channels;
    graph.formula(|f| {
        let [x, real, scale, shift] = f.all([x, real, numbers.scale, numbers.shift]);
        let images = real.sum();
        let count = images.clamp(1.0, f32::MAX) * positions as f32;
        let mean = channel_mean(x, real, count, channels);
        let centred = x - mean;
        let variance = channel_mean(centred.square(), real, count, channels);
        if update {
            // n / (n − 1), of one value 1.
            let others = (count - 1.0).clamp(1.0, f32::MAX);
            let unbiased = variance * count / others;
            let momentum = images.clamp(0.0, 1.0) * numbers.momentum;
            follow(f, numbers.mean, mean, momentum);
            follow(f, numbers.variance, unbiased, momentum);
        }
        centred * (scale * inverse_deviation(variance, numbers.epsilon)) + shift
    })
}

/// The mean of each channel over the positions of real images.
fn channel_mean<'f>(x: Term<'f>, real: Term<'f>, count: Term<'f>, channels: usize) -> Term<'f> {
    (x * real).sum_rows(channels) / count
}

/// Moves a running statistic towards the batch's.
fn follow<'f>(f: &'f Formula, running: Tensor, batch: Term<'f>, momentum: Term<'f>) {
    f.assign(running, f.of(running) * momentum.affine(-1.0, 1.0) + batch * momentum);
}
