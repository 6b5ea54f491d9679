//! The classifier F (Table 1 of the paper; the all-convolutional model of its library).
//!
//! Per scale: 3x3 convolution, 3x3 convolution to twice the channels, 2x2 average pooling; then a 3x3
//! convolution to the classes and the mean over all positions. Leaky ReLU after every convolution, the
//! last one too.

use super::layout::{Layer, LayerKind, ParameterLayout, Weights};
use super::{Init, ModelError, Problem, scaled_channels};
use crate::graph::{Convolution, Epilogue, Graph, GraphError, Tensor, Window};
use crate::random::Stream;

/// Channels of the first convolution at width 1 (Table 1).
const BASE_CHANNELS: usize = 64;

/// The architecture of a classifier; see [`Classifier::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// Images and classes.
    pub problem: Problem,
    /// Width multiplier; 1 is the paper's.
    pub width: f32,
    /// Its layers and their places.
    pub layout: ParameterLayout,
}

impl Classifier {
    /// The classifier for a problem at a width.
    ///
    /// # Errors
    /// If the side is not a multiple of 4 from 8 on, or another size is out of its range.
    pub fn new(problem: Problem, width: f32) -> Result<Self, ModelError> {
        problem.check(width)?;
        let base = scaled_channels(BASE_CHANNELS, width);
        let mut layers: Vec<Layer> = Vec::new();
        let (mut inputs, mut side) = (problem.channels, problem.side);
        let mut convolution = |inputs: usize, outputs: usize, side: usize| {
            let name = format!("classifier.convs.{}", layers.len());
            layers.push(Layer {
                name,
                kind: LayerKind::Convolution,
                inputs,
                outputs,
                side,
                activation: true,
            });
        };
        for scale in 0..problem.scales() {
            convolution(inputs, base << scale, side);
            convolution(base << scale, base << (scale + 1), side);
            (inputs, side) = (base << (scale + 1), side / 2);
        }
        convolution(inputs, problem.classes, side);
        Ok(Self { problem, width, layout: ParameterLayout::new(layers) })
    }

    /// Initial weights (normal, scaled as `init` says) in the flat layout; biases are 0.
    pub fn initial(&self, init: Init, seed: u64) -> Vec<f32> {
        super::initial(&self.layout, init, seed, Stream::ClassifierInit)
    }

    /// Appends the forward pass: images `[n, s, s, c]` to logits `[n, k]`.
    pub fn logits(&self, graph: &mut Graph, weights: &Weights, images: Tensor) -> Result<Tensor, GraphError> {
        let convolution = Convolution { size: 3, stride: 1 };
        let (last, blocks) = weights.layers.split_last().expect("a classifier has layers");
        let mut x = images;
        for pair in blocks.chunks(2) {
            for &[weight, bias] in pair {
                x = graph.convolve(convolution, Epilogue::BiasLeaky, &[x, weight, bias])?;
            }
            x = graph.pool(Window::mean(2, 2), x)?;
        }
        let [weight, bias] = *last;
        x = graph.convolve(convolution, Epilogue::BiasLeaky, &[x, weight, bias])?;
        let [n, h, w, classes] = graph.shape(x).image().expect("a convolution's result is an image");
        let mean = graph.pool(Window::mean(h, w), x)?;
        graph.reshape(mean, &[n, classes])
    }
}
