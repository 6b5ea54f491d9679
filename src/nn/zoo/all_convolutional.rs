//! The paper's classifier (Table 1; the all-convolutional model of its library).
//!
//! Per scale: 3x3 convolution, 3x3 convolution to twice the channels, 2x2 average pooling; then a 3x3
//! convolution to the classes and the mean over all positions. Leaky ReLU after every convolution, the
//! last one too.

use super::{Plan, scaled};
use crate::graph::Window;
use crate::nn::builder::{Builder, Kernel};
use crate::nn::layer::{Activation, Pooling};
use crate::nn::net::Value;

/// Channels of the first convolution at width 1 (Table 1).
const BASE_CHANNELS: usize = 64;
/// Slope of leaky ReLU below zero (the paper's library, its all-convolutional model).
const SLOPE: f32 = 0.2;

/// `convs.{0..}`.
pub fn layers(net: &mut Builder, images: Value, plan: Plan) -> Value {
    let base = scaled(BASE_CHANNELS, plan.width);
    let (mut x, mut index) = (images, 0);
    let mut convolution = |net: &mut Builder, x, outputs| {
        let x = net.convolution(x, &format!("convs.{index}"), Kernel::new(3, outputs));
        index += 1;
        net.activation(x, Activation::LeakyRelu(SLOPE))
    };
    for scale in 0..scales(plan.problem.height.min(plan.problem.width)) {
        x = convolution(net, x, base << scale);
        x = convolution(net, x, base << (scale + 1));
        x = net.pool(x, Pooling::Mean, Window::mean(2, 2));
    }
    x = convolution(net, x, plan.problem.classes);
    net.global_mean(x)
}

/// Pooling stages: `round(log2 side) − 2` of the shorter side.
pub fn scales(side: usize) -> usize {
    ((side as f64).log2().round() as usize).saturating_sub(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Problem;
    use crate::nn::zoo::Network;

    #[test]
    fn a_forward_pass_costs_what_the_paper_sized_network_costs() {
        let problem = Problem { height: 32, width: 32, channels: 3, classes: 10 };
        let net = Network::default().build(Plan { problem, width: 1.0, normalisation: None }).unwrap();
        assert_eq!(net.multiply_adds() / 1_000_000, 304);
    }

    #[test]
    fn sides_that_are_no_power_of_two_pool_down_to_at_least_two_pixels() {
        for (side, expected) in [(8, 1), (12, 2), (28, 3), (32, 3), (64, 4)] {
            assert_eq!(scales(side), expected);
            assert!(side >> expected >= 2);
        }
    }
}
