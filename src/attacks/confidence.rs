//! How sure a classifier is of the true class, whatever images it is shown.

use super::attacker::AttackError;
use super::target::Target;
use super::verify::over;
use crate::executor::Device;
use crate::models::file::Model;

/// Images at a time.
const BATCH: usize = 128;

/// The softmax probability of each image's class; `images` are NHWC in [0, 1].
pub fn confidences(
    device: &Device,
    model: &Model,
    images: &[f32],
    labels: &[usize],
) -> Result<Vec<f32>, AttackError> {
    let mut target = Target::new(device, model, BATCH.min(labels.len().max(1)))?;
    let mut a = target.graph()?;
    let logits = target.classifier(&a.states).logits(&mut a.graph, a.images)?;
    let sum = a.graph.sum_columns(logits);
    let probabilities = a.graph.softmax(logits);
    let own = a.graph.one_hot(a.labels, model.facts.problem.classes);
    let of_class = a.graph.multiply(probabilities, own)?;
    let confidence = a.graph.sum_columns(of_class);
    a.graph.output("sum", sum);
    a.graph.output("confidence", confidence);
    let mut session = target.prepare(&a.graph)?;
    let mut confidences = Vec::with_capacity(labels.len());
    over(&mut session, &mut target, images, labels, |outputs, real| {
        confidences.extend_from_slice(&outputs.get("confidence")[..real]);
    })?;
    Ok(confidences)
}
