//! The fast minimum-norm attack (Pintor et al. 2021), in L2 and Linf: every step follows the gradient of the margin and is
//! projected onto a ball of its own. Until an adversarial image is found, the radius of that ball is where the linearised
//! boundary lies; after that it shrinks or grows by a share that becomes smaller.
//!
//! Written from the paper, with three choices. The projection leaves what is inside the ball where it is. Pixels at the edge
//! of the box do not count in gradients that point out of it: in images with many black and white pixels the box would undo
//! most of each step. And the radius never shrinks before an adversarial image is found: steps that end just short of the
//! linearised boundary would never cross it.

use super::ball;
use super::objective::{self, CeForm, Objective};
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::smallest::{NONE, Nearest, cosine, length, per_image, reach};
use super::steps::{Start, Steps, Victim};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};

/// The length of the first step, and that towards which steps shrink; in L2, whatever the norm.
const LENGTHS: [f32; 2] = [1.0, 0.01];
/// The share by which the radius changes first, and that towards which it shrinks.
const CHANGES: [f32; 2] = [0.05, 0.001];
/// Gradients are multiplied by this before they are squared, so that squares of small ones stay normal numbers.
const GRADIENT_SCALE: f32 = 1e6;
/// Gradients whose dual norm is below this are flat.
const FLAT: f32 = 1e-20;

/// Its description.
pub static FMN: Attack = Attack {
    name: "fmn",
    title: "FMN",
    about: "Fast minimum-norm attack: a projection radius that settles at the boundary",
    goal: Goal::Smallest { careful: true },
    norms: &Norm::ALL,
    usual: &[],
    options: &["norm", "iterations"],
    classes: 2,
    defaults: |_| {},
    passes: |options, _| options.iterations as f64,
    remedy: |options| format!("raise --iterations, now {}", options.iterations),
    run: Run::Steps(|options, _| Box::new(Fmn { options: options.clone() })),
};

/// The gradient without the pixels of `x` that are at the edge to which it points.
fn inward(graph: &mut Graph, x: Tensor, gradient: Tensor) -> Result<Tensor, GraphError> {
    let sign = |graph: &mut Graph, x| Ok(graph.unary(Unary::Sign, x));
    graph.formula(|f| {
        let [x, gradient] = f.all([x, gradient]);
        let room = (gradient.then(sign).clamp(0.0, 1.0) - x).abs();
        gradient * room.then(sign)
    })
}

struct Fmn {
    options: AttackOptions,
}

impl Fmn {
    /// How far the linearised boundary is, `[n, 1]`: the margin over the dual norm of its gradient.
    fn boundary(&self, graph: &mut Graph, margin: Tensor, gradient: Tensor) -> Result<Tensor, GraphError> {
        let scaled = graph.affine(gradient, GRADIENT_SCALE, 0.0);
        let dual = match self.options.norm {
            Norm::L2 => length(graph, scaled, Norm::L2)?,
            Norm::Linf => graph.formula(|f| f.of(scaled).abs().sum_columns())?,
        };
        graph.formula(|f| {
            let [margin, dual] = f.all([margin, dual]);
            margin.abs() / (dual / GRADIENT_SCALE).clamp(FLAT, f32::MAX)
        })
    }
}

impl Steps for Fmn {
    fn iterations(&self) -> usize {
        self.options.iterations
    }

    /// The length of the step, and the share by which the radius changes.
    fn numbers(&self, iteration: usize) -> Vec<f32> {
        [LENGTHS, CHANGES].map(|ends| cosine(ends, iteration, self.options.iterations)).to_vec()
    }

    /// The nearest adversarial image, the point that the next step looks at, the radius, and the nearest one's distance.
    fn start(&self, graph: &mut Graph, victim: Victim, _: Start) -> Result<Vec<Tensor>, GraphError> {
        let nearest = Nearest::none(graph, victim.images)?;
        let radius = per_image(graph, victim.images, 0.0)?;
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
        let Victim { classifier, images, labels } = victim;
        let norm = self.options.norm;
        let logits = classifier.logits(graph, x)?;
        let fooled = objective::fooled(graph, logits, labels)?;
        let margin = Objective::Margin.value(graph, logits, labels, labels)?;
        let gradient = Objective::Margin.gradient(graph, (logits, margin), labels, x)?;
        let gradient = inward(graph, x, gradient)?;

        let perturbation = graph.subtract(x, images)?;
        let far = length(graph, perturbation, norm)?;
        let nearest = Nearest { image, distance }.or(graph, x, fooled, far)?;

        let boundary = self.boundary(graph, margin, gradient)?;
        let farthest = reach(graph, images, norm)?;
        let none = graph.constant(NONE, &[1])?;
        let found = graph.binary(Binary::Greater, none, nearest.distance)?;
        let radius = graph.formula(|f| {
            let [radius, nearest, far, boundary] = f.all([radius, nearest.distance, far, boundary]);
            let [fooled, change, farthest] = f.all([fooled, numbers[1], farthest]);
            let smaller = (radius * (-change + 1.0)).minimum(nearest);
            let grown = radius * (change + 1.0);
            let larger = f.of(found).choose(grown, grown.maximum(far + boundary));
            fooled.choose(smaller, larger).minimum(farthest)
        })?;
        let direction = ball::unit(graph, gradient, CeForm::SaturationFree, Norm::L2)?;
        let moved = graph.formula(|f| f.of(x) + f.of(direction) * f.of(numbers[0]))?;
        let x = ball::project(graph, images, moved, radius, norm)?;
        Ok(vec![nearest.image, x, radius, nearest.distance])
    }
}
