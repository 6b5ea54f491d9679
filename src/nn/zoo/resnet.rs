//! ResNet-18 as it is used on CIFAR: a 3x3 stem without pooling, four stages of two basic blocks, the mean over all
//! positions and a linear layer (He et al. 2016; names of kuangliu's pytorch-cifar).

use super::{LAST_GAIN, Plan, scaled};
use crate::nn::builder::{Builder, Kernel};
use crate::nn::net::Value;

/// Channels of the four stages at width 1, and the stride of each one's first block.
pub const STAGES: [(usize, usize); 4] = [(64, 1), (128, 2), (256, 2), (512, 2)];
/// Blocks of a stage.
const BLOCKS: usize = 2;

/// `conv1`, `bn1`, `layer{1..4}.{0,1}`, `linear`.
pub fn layers(net: &mut Builder, images: Value, plan: Plan) -> Value {
    let x = net.convolution(images, "conv1", Kernel::new(3, scaled(STAGES[0].0, plan.width)).without_bias());
    let x = net.batch_norm(x, "bn1");
    let x = net.relu(x);
    let x = stages(net, x, plan, basic_block);
    let x = net.global_mean(x);
    net.dense(x, "linear", plan.problem.classes, LAST_GAIN)
}

/// Appends a block of so many channels and a stride: the network, what it reads, its name.
type Block = fn(&mut Builder, Value, &str, usize, usize) -> Value;

/// The four stages, `layer{1..4}.{0,1}`.
pub fn stages(net: &mut Builder, mut x: Value, plan: Plan, block: Block) -> Value {
    for (stage, (channels, stride)) in STAGES.into_iter().enumerate() {
        for index in 0..BLOCKS {
            let name = format!("layer{}.{index}", stage + 1);
            x = block(net, x, &name, scaled(channels, plan.width), if index == 0 { stride } else { 1 });
        }
    }
    x
}

/// Two convolutions beside the identity, or beside a 1x1 convolution where channels or extents change.
fn basic_block(net: &mut Builder, x: Value, name: &str, channels: usize, stride: usize) -> Value {
    let convolution = |stride| Kernel::new(3, channels).stride(stride).without_bias();
    let y = net.convolution(x, &format!("{name}.conv1"), convolution(stride));
    let y = net.batch_norm(y, &format!("{name}.bn1"));
    let y = net.relu(y);
    let y = net.convolution(y, &format!("{name}.conv2"), convolution(1));
    let y = net.batch_norm(y, &format!("{name}.bn2"));
    let same = stride == 1 && net.extents(x).channels() == channels;
    let beside = if same {
        x
    } else {
        let kernel = Kernel::new(1, channels).stride(stride).without_bias();
        let beside = net.convolution(x, &format!("{name}.shortcut.0"), kernel);
        net.batch_norm(beside, &format!("{name}.shortcut.1"))
    };
    let sum = net.add(y, beside);
    net.relu(sum)
}
