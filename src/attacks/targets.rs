//! Target classes: of an image, the wrong classes with the largest logits before the attack.

use super::objective::EXCLUDED;
use super::steps::Victim;
use crate::graph::{Graph, GraphError, Tensor};

/// The numbers that choose the target of this rank, 0 for the largest wrong logit, out of `count`.
pub fn chosen(rank: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| f32::from(u8::from(i == rank))).collect()
}

/// The class that each image aims at, `[n, 1]`; `chosen` has the numbers of [`chosen`], one value or one per image each.
pub fn aim(graph: &mut Graph, victim: Victim, chosen: &[Tensor]) -> Result<Tensor, GraphError> {
    let logits = victim.classifier.logits(graph, victim.images)?;
    let classes = graph.shape(logits).columns();
    let mut out = graph.one_hot(victim.labels, classes);
    let mut aim = None;
    for chosen in chosen {
        let excluded = graph.affine(out, EXCLUDED, 0.0);
        let left = graph.add(logits, excluded)?;
        let class = graph.arg_max(left);
        let one_hot = graph.one_hot(class, classes);
        out = graph.add(out, one_hot)?;
        let share = graph.multiply(class, *chosen)?;
        aim = Some(match aim {
            None => share,
            Some(sum) => graph.add(sum, share)?,
        });
    }
    Ok(aim.unwrap_or(victim.labels))
}
