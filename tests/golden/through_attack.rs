//! The saturation-free direction, the fast gradient method, and training through it: gradients of gradients that PyTorch
//! has computed too.

use crate::common::devices;
use crate::values::Golden;
use crate::{COMPOSED, FORWARD, GRADIENT, run};
use pgn_wgpu::graph::{Binary, Graph, GraphError, Tensor, Unary};
use pgn_wgpu::nn::Classifier;
use pgn_wgpu::training::step::BatchTensors;

/// The gradient by the images with the logits fed softmax over the wrong classes, and −1 at the true one.
fn saturation_free(g: &mut Graph, classifier: Classifier, batch: BatchTensors) -> Result<Tensor, GraphError> {
    let logits = classifier.logits(g, batch.images)?;
    let label = g.one_hot(batch.labels, classifier.net.problem.classes);
    // Far enough below the others that its share of the softmax is exactly 0.
    let lowered = g.affine(label, -1e4, 0.0);
    let wrong = g.add(logits, lowered)?;
    let shares = g.softmax(wrong);
    let feed = g.subtract(shares, label)?;
    Ok(g.gradient(logits, feed, &[batch.images])?[0])
}

#[test]
fn the_saturation_free_gradient() {
    for golden in Golden::all() {
        for (name, device) in devices() {
            let outputs = run(&golden, &device, |g, batch| {
                let states = golden.classifier().live(g, "classifier")?;
                let classifier = Classifier::evaluated(golden.classifier(), &states);
                let gradient = saturation_free(g, classifier, batch)?;
                g.output("gradient", gradient);
                Ok(())
            });
            golden.assert(name, "saturation_free_gradient", outputs.get("gradient"), FORWARD);
        }
    }
}

#[test]
fn training_through_the_fast_gradient_method() {
    for golden in Golden::all().into_iter().filter(|g| g.settings.variants) {
        let epsilon = golden.settings.through_epsilon.unwrap();
        for (name, device) in devices() {
            let outputs = run(&golden, &device, |g, batch| {
                let states = golden.classifier().live(g, "classifier")?;
                let classifier = Classifier::evaluated(golden.classifier(), &states);
                let gradient = saturation_free(g, classifier, batch)?;
                let square = g.unary(Unary::Square, gradient);
                let norm2 = g.sum_columns(square);
                let norm = g.unary(Unary::Sqrt, norm2);
                let direction = g.binary(Binary::Divide, gradient, norm)?;
                let step = g.affine(direction, epsilon, 0.0);
                let moved = g.add(batch.images, step)?;
                let attacked = g.unary(Unary::Clamp(0.0, 1.0), moved);
                let still = g.detach(attacked);
                g.output("x_adv", attacked);
                for (which, seen) in [("through", attacked), ("detached", still)] {
                    let logits = classifier.logits(g, seen)?;
                    let loss = g.cross_entropy(logits, batch.labels)?;
                    let gradients = g.gradient(loss, batch.weights, &states.learned)?;
                    let packed = classifier.net.slots.pack(g, &gradients)?;
                    let weighted = g.multiply(loss, batch.weights)?;
                    let mean = g.sum(weighted);
                    g.output(&format!("{which} gradient"), packed);
                    g.output(&format!("{which} loss"), mean);
                }
                Ok(())
            });
            golden.assert(name, "through_fgm.x_adv", outputs.get("x_adv"), COMPOSED);
            golden.assert(name, "through_fgm.loss", outputs.get("through loss"), FORWARD);
            let [through, detached] =
                ["through", "detached"].map(|which| outputs.get(&format!("{which} gradient")));
            golden.assert_network(name, "through_fgm.gradient.classifier", through, GRADIENT);
            golden.assert_network(name, "detached_fgm.gradient.classifier", detached, GRADIENT);
        }
    }
}
