//! PreActResNet-18: as ResNet-18, but each convolution has its normalisation and ReLU before it (He et al. 2016b; names of
//! kuangliu's pytorch-cifar, which has no normalisation before the mean).

use super::resnet::{STAGES, stages};
use super::{LAST_GAIN, Plan, scaled};
use crate::nn::builder::{Builder, Kernel};
use crate::nn::net::Value;

/// `conv1`, `layer{1..4}.{0,1}`, `linear`.
pub fn layers(net: &mut Builder, images: Value, plan: Plan) -> Value {
    let kernel = Kernel::new(3, scaled(STAGES[0].0, plan.width)).without_bias();
    let x = net.convolution(images, "conv1", kernel);
    let x = stages(net, x, plan, |net, x, name, channels, stride| {
        preact_block(net, x, [name, "shortcut.0"], channels, stride)
    });
    let x = net.global_mean(x);
    net.dense(x, "linear", plan.problem.classes, LAST_GAIN)
}

/// A block and, where channels or extents change, a 1x1 convolution `beside` it, which reads what the block's first convolution
/// reads; wide residual networks have the same.
pub fn preact_block(
    net: &mut Builder,
    x: Value,
    [name, beside]: [&str; 2],
    channels: usize,
    stride: usize,
) -> Value {
    let same = stride == 1 && net.extents(x).channels() == channels;
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
    let second = if same {
        x
    } else {
        let kernel = Kernel::new(1, channels).stride(stride).without_bias();
        net.convolution(seen, &format!("{name}.{beside}"), kernel)
    };
    net.add(y, second)
}
