//! Gradients of gradients: what "through the attack" training and JSMA-like attacks rest on.

use crate::check::{Built, Operand, check, fixed, wanted};
use crate::common::epilogue::{convolve, transposed};
use pgn_wgpu::graph::{Convolution, Epilogue, Graph, GraphError, Tensor, Unary, Window};

const SAME: Convolution = Convolution::same(3, 1);
const LABELS: [f32; 2] = [2.0, 0.0];

/// Images, two convolutions (the first with leaky ReLU) with weight and bias, labels.
fn network() -> Vec<Operand> {
    vec![
        wanted(1, &[2, 4, 4, 2]).map(|v| 0.5 * v).step(1.0 / 4.0),
        wanted(2, &[3, 3, 2, 4]).map(|v| 0.5 * v).step(1.0 / 16.0),
        wanted(3, &[4]).map(|v| 0.2 * v).alternating(6.0).step(1.0 / 8.0),
        wanted(4, &[3, 3, 4, 3]).map(|v| 0.1 * v).step(1.0 / 64.0),
        wanted(5, &[3]).step(1.0 / 16.0),
        fixed(&[2, 1], LABELS.to_vec()),
    ]
}

/// Logits `[2, 3]` of convolution, leaky ReLU, pooling, convolution, mean; and the activation, which has a kink.
fn logits(g: &mut Graph, t: &[Tensor]) -> Result<[Tensor; 2], GraphError> {
    let activation = convolve(g, SAME, Epilogue::BiasLeaky(0.2), &t[..3])?;
    let pooled = g.pool(Window::mean(2, 2), activation)?;
    let classes = convolve(g, SAME, Epilogue::Bias, &[pooled, t[3], t[4]])?;
    let mean = g.pool(Window::mean(2, 2), classes)?;
    Ok([g.reshape(mean, &[2, 3])?, activation])
}

fn gradient_by_images(g: &mut Graph, of: Tensor, images: Tensor) -> Result<Tensor, GraphError> {
    let one = g.constant(1.0, &[1])?;
    Ok(g.gradient(of, one, &[images])?[0])
}

#[test]
fn through_convolution_leaky_relu_pooling_and_cross_entropy() {
    check("input gradient of the cross-entropy", &network(), |g, t| {
        let [logits, activation] = logits(g, t)?;
        let loss = g.cross_entropy(logits, t[5])?;
        let result = gradient_by_images(g, loss, t[0])?;
        Ok(Built { result, kinks: vec![activation] })
    });
}

#[test]
fn through_softmax() {
    check("input gradient of the true class's probability", &network(), |g, t| {
        let [logits, activation] = logits(g, t)?;
        let probabilities = g.softmax(logits);
        let label = g.one_hot(t[5], 3);
        let product = g.multiply(probabilities, label)?;
        let probability = g.sum_columns(product);
        let result = gradient_by_images(g, probability, t[0])?;
        Ok(Built { result, kinks: vec![activation] })
    });
}

#[test]
fn through_the_norm_of_the_gradient_as_in_the_fast_gradient_method() {
    check("input gradient of unit length", &network(), |g, t| {
        let [logits, activation] = logits(g, t)?;
        let loss = g.cross_entropy(logits, t[5])?;
        let gradient = gradient_by_images(g, loss, t[0])?;
        // Of order one, so that the steps are small against it.
        let gradient = g.affine(gradient, 50.0, 0.0);
        let square = g.unary(Unary::Square, gradient);
        let sum = g.sum_columns(square);
        let norm = g.unary(Unary::Sqrt, sum);
        let result = g.binary(pgn_wgpu::graph::Binary::Divide, gradient, norm)?;
        Ok(Built { result, kinks: vec![activation] })
    });
}

#[test]
fn through_an_attack_back_into_the_network() {
    check("loss after a step along the input gradient", &network(), |g, t| {
        let [before, activation] = logits(g, t)?;
        let loss = g.cross_entropy(before, t[5])?;
        let gradient = gradient_by_images(g, loss, t[0])?;
        let step = g.affine(gradient, 2.0, 0.0);
        let attacked = g.add(t[0], step)?;
        let [after, second] = logits(g, &[&[attacked], &t[1..]].concat())?;
        let result = g.cross_entropy(after, t[5])?;
        Ok(Built { result, kinks: vec![activation, second] })
    });
}

#[test]
fn through_a_transposed_convolution() {
    let up = Convolution::same(3, 2);
    let operands = [
        wanted(6, &[2, 2, 3, 2]),
        wanted(7, &[3, 3, 3, 2]).map(|v| 0.2 * v),
        wanted(8, &[3]).map(|v| 0.2 * v).alternating(4.0),
    ];
    check("gradient by the coarse side of a sum of cubes", &operands, |g, t| {
        let fine = transposed(g, up, Epilogue::BiasLeaky(0.2), t)?;
        let square = g.unary(Unary::Square, fine);
        let cube = g.multiply(square, fine)?;
        let cube = g.affine(cube, 0.1, 0.0);
        let one = g.constant(1.0, &[1])?;
        let gradients = g.gradient(cube, one, &[t[0], t[1]])?;
        let sum = g.sum(gradients[1]);
        let result = g.multiply(gradients[0], sum)?;
        Ok(Built { result, kinks: vec![fine] })
    });
}

#[test]
fn through_every_kind_of_broadcast() {
    let images = [4, 2, 3, 2];
    for part in [&[2][..], &[3, 2], &[2, 2, 3, 2], &[4, 1], &[1]] {
        let operands = [wanted(9, &images), wanted(10, part)];
        check(&format!("gradient by {part:?} of a product's square"), &operands, |g, t| {
            let product = g.multiply(t[0], t[1])?;
            let square = g.unary(Unary::Square, product);
            let one = g.constant(1.0, &[1])?;
            Ok(g.gradient(square, one, &[t[1]])?[0])
        });
    }
}

#[test]
fn through_pieces_side_by_side() {
    let parts = [wanted(11, &[2, 3, 2, 2]), wanted(12, &[2, 3]), wanted(13, &[2, 3, 2, 1])];
    check("gradient by planes of a square", &parts, |g, t| {
        let all = g.concatenate(t)?;
        let piece = g.slice(all, 1, 4)?;
        let square = g.unary(Unary::Square, piece);
        let product = g.multiply(square, piece)?;
        let one = g.constant(1.0, &[1])?;
        Ok(g.gradient(product, one, &[t[1]])?[0])
    });
}
