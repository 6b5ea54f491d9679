//! Wide residual networks (Zagoruyko and Komodakis 2016): three stages of blocks with normalisation before convolution; depth counts
//! convolutions, width multiplies channels. Names of the TRADES repository, which the models of `RobustBench` have too.

use super::{LAST_GAIN, Plan, scaled};
use crate::nn::builder::{Builder, Kernel};
use crate::nn::net::Value;

/// Channels of the stem, and of the three stages before they are widened; the stride of each stage's first block.
const STEM: usize = 16;
const STAGES: [(usize, usize); 3] = [(16, 1), (32, 2), (64, 2)];

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
            x = wide_block(net, x, &name, channels, if block == 0 { stride } else { 1 });
        }
    }
    let x = net.batch_norm(x, "bn1");
    let x = net.relu(x);
    let x = net.global_mean(x);
    net.dense(x, "fc", plan.problem.classes, LAST_GAIN)
}

/// Where the channels change, the 1x1 convolution beside the block reads what the first convolution reads.
fn wide_block(net: &mut Builder, x: Value, name: &str, channels: usize, stride: usize) -> Value {
    let same = net.extents(x).channels() == channels;
    let y = net.batch_norm(x, &format!("{name}.bn1"));
    let seen = net.relu(y);
    let y = net.convolution(
        seen,
        &format!("{name}.conv1"),
        Kernel::new(3, channels).stride(stride).without_bias(),
    );
    let y = net.batch_norm(y, &format!("{name}.bn2"));
    let y = net.relu(y);
    let y = net.convolution(y, &format!("{name}.conv2"), Kernel::new(3, channels).without_bias());
    let beside = if same && stride == 1 {
        x
    } else {
        let kernel = Kernel::new(1, channels).stride(stride).without_bias();
        net.convolution(seen, &format!("{name}.convShortcut"), kernel)
    };
    net.add(y, beside)
}
