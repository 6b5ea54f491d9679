//! VGG-11 with batch normalisation, as it is used on CIFAR: convolutions with biases, max pooling, one linear layer
//! (Simonyan and Zisserman 2015; names of kuangliu's pytorch-cifar).

use super::{LAST_GAIN, Plan, scaled};
use crate::graph::Window;
use crate::nn::builder::{Builder, Kernel};
use crate::nn::layer::Pooling;
use crate::nn::net::Value;

/// Channels of each convolution at width 1, and whether pooling follows.
const CONVOLUTIONS: [(usize, bool); 8] = [
    (64, true),
    (128, true),
    (256, false),
    (256, true),
    (512, false),
    (512, true),
    (512, false),
    (512, true),
];

/// `features.{0..}`, numbered with activations and pooling as a PyTorch `Sequential` does, and `classifier`.
pub fn layers(net: &mut Builder, images: Value, plan: Plan) -> Value {
    let (mut x, mut index) = (images, 0);
    for (channels, pooled) in CONVOLUTIONS {
        x = net.convolution(x, &format!("features.{index}"), Kernel::new(3, scaled(channels, plan.width)));
        x = net.batch_norm(x, &format!("features.{}", index + 1));
        x = net.relu(x);
        index += 3;
        if pooled {
            x = net.pool(x, Pooling::Max, Window::new(2, 2));
            index += 1;
        }
    }
    let x = net.global_mean(x);
    net.dense(x, "classifier", plan.problem.classes, LAST_GAIN)
}
