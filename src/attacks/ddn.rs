//! Decoupled direction and norm (Rony et al. 2019), in L2: every step follows the gradient of the cross-entropy, and then
//! the perturbation is scaled to a radius of its own. The radius shrinks while the image is adversarial and grows while it
//! is not, so that the search swings about the boundary.
//!
//! Written from the paper. Pixels are not rounded to 256 levels. An image without a gradient stays where it is; the paper's
//! public code moves it at random.
//!
//! Where logits are tiny, the softmax is flat, and the gradient of the cross-entropy leads away from the class towards the
//! mean of all others, not towards the nearest. Distances are then longer (by a half on a small CIFAR-10 classifier whose
//! logits were divided by 100; the public code's are the same). `fmn` follows the margin, which does not depend on the scale.

use super::ball;
use super::objective::{CeForm, Objective};
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::smallest::{Nearest, cosine, length, per_image, reach};
use super::steps::{Start, Steps, Victim};
use crate::graph::{Graph, GraphError, Tensor};

/// The radius at the start.
const RADIUS: f32 = 1.0;
/// Share by which the radius changes in each step.
const CHANGE: f32 = 0.05;
/// The length of the first step, and that towards which steps shrink.
const LENGTHS: [f32; 2] = [1.0, 0.01];

/// Its description.
pub static DDN: Attack = Attack {
    name: "ddn",
    title: "DDN",
    about: "Decoupled direction and norm: a radius that swings about the boundary",
    goal: Goal::Smallest { careful: true },
    norms: &[Norm::L2],
    usual: &[],
    options: &["iterations", "target"],
    classes: 2,
    aims: Some(2),
    defaults: |_| {},
    passes: |options, _| options.iterations as f64,
    remedy: |options| format!("raise `iterations`, now {}", options.iterations),
    run: Run::Steps(|options, _| Box::new(Ddn { options: options.clone() })),
};

struct Ddn {
    options: AttackOptions,
}

impl Steps for Ddn {
    fn iterations(&self) -> usize {
        self.options.iterations
    }

    /// The length of the step.
    fn numbers(&self, iteration: usize) -> Vec<f32> {
        vec![cosine(LENGTHS, iteration, self.options.iterations)]
    }

    /// The nearest adversarial image, the point that the next step looks at, the radius, and the nearest one's distance.
    fn start(&self, graph: &mut Graph, victim: Victim, _: Start) -> Result<Vec<Tensor>, GraphError> {
        let nearest = Nearest::none(graph, victim.images)?;
        let radius = per_image(graph, victim.images, RADIUS)?;
        Ok(vec![nearest.image, victim.images, radius, nearest.distance])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        numbers: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let [image, x, radius, distance] = kept.try_into().expect("four values are kept");
        let images = victim.images;
        let logits = victim.classifier.logits(graph, x)?;
        let fooled = victim.reached(graph, logits)?;
        let gradient = victim.gradient_of(graph, Objective::CrossEntropy, (logits, logits), x)?;
        let direction = ball::unit(graph, gradient, CeForm::SaturationFree, Norm::L2)?;

        let perturbation = graph.subtract(x, images)?;
        let far = length(graph, perturbation, Norm::L2)?;
        let nearest = Nearest { image, distance }.or(graph, x, fooled, far)?;

        let farthest = reach(graph, images, Norm::L2)?;
        let [moved, radius] = graph.formulas(|f| {
            let [perturbation, direction, by] = f.all([perturbation, direction, numbers[0]]);
            let [fooled, radius, farthest] = f.all([fooled, radius, farthest]);
            let change = fooled.affine(-2.0 * CHANGE, 1.0 + CHANGE);
            [perturbation + direction * by, (radius * change).minimum(farthest)]
        })?;
        let moved_length = length(graph, moved, Norm::L2)?;
        let x = graph.formula(|f| {
            let [images, moved, radius, length] = f.all([images, moved, radius, moved_length]);
            (images + moved * (radius / length)).clamp(0.0, 1.0)
        })?;
        Ok(vec![nearest.image, x, radius, nearest.distance])
    }
}
