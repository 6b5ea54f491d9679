//! Wide residual networks (Zagoruyko and Komodakis 2016): three stages of blocks with normalisation before convolution; depth counts
//! convolutions, width multiplies channels. Names of the TRADES repository, which the models of `RobustBench` have too.

use super::preact_resnet::preact_block;
use super::{LAST_GAIN, Plan, scaled};
use crate::nn::builder::{Builder, Kernel};
use crate::nn::net::Value;

/// Channels of the stem, and of the three stages before they are widened; the stride of each stage's first block.
const STEM: usize = 16;
const STAGES: [(usize, usize); 3] = [(16, 1), (32, 2), (64, 2)];

/// WideResNet-34-10.
pub fn depth_34_width_10(net: &mut Builder, images: Value, plan: Plan) -> Value {
    layers(net, images, plan, 34, 10)
}

/// WideResNet-28-10.
pub fn depth_28_width_10(net: &mut Builder, images: Value, plan: Plan) -> Value {
    layers(net, images, plan, 28, 10)
}

/// WideResNet-16-4.
pub fn depth_16_width_4(net: &mut Builder, images: Value, plan: Plan) -> Value {
    layers(net, images, plan, 16, 4)
}

/// `conv1`, `block{1..3}.layer.{0..}`, `bn1`, `fc`.
fn layers(net: &mut Builder, images: Value, plan: Plan, depth: usize, widen: usize) -> Value {
    let kernel = Kernel::new(3, scaled(STEM, plan.width)).without_bias();
    let mut x = net.convolution(images, "conv1", kernel);
    for (stage, (channels, stride)) in STAGES.into_iter().enumerate() {
        for block in 0..(depth - 4) / 6 {
            let name = format!("block{}.layer.{block}", stage + 1);
            let channels = scaled(widen * channels, plan.width);
            x = preact_block(net, x, [&name, "convShortcut"], channels, if block == 0 { stride } else { 1 });
        }
    }
    let x = net.batch_norm(x, "bn1");
    let x = net.relu(x);
    let x = net.global_mean(x);
    net.dense(x, "fc", plan.problem.classes, LAST_GAIN)
}
