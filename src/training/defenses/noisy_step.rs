//! Fast adversarial training: one gradient step from a random start, at about the price of FGM.
//!
//! - `fast` (RS-FGSM; Wong, Rice and Kolter 2020): a start in the ball, a step of 1.25 ε, then ball and box.
//! - `n-fgsm` (N-FGSM; de Jorge et al. 2022): a start in the ball of radius 2 ε, a step of ε, then the box alone; the
//!   perturbation is longer than ε.
//!
//! Linf as in their public codes (`locuslab/fast_adversarial`, `pdejorge/N-FGSM`): the start is uniform in the ball, and
//! clipped to the box before the gradient is taken. Both codes take it in training mode, and that pass moves running statistics
//! too. Here it is taken in evaluation mode, or with `--attack-mode train` in training mode, and moves none. Both papers and codes
//! know Linf alone. In L2, `fast` is what Rice, Wong
//! and Kolter 2020 run under the name of FGSM (`locuslab/robust_overfitting`): a start in a random direction whose length is
//! uniform from 0 to the radius, and the same step along the normalised gradient. `n-fgsm` in L2 has no public form; it takes
//! that start with twice the radius, and keeps what defines it: a step of ε and no projection onto the ball.
//!
//! The length of a start in L2 comes from the same normal numbers as its direction: their norm does not depend on the
//! direction, and its distribution function makes a uniform number of it.

use super::adversarial::{OPTIONS, PGD};
use super::recipes;
use super::registry::{Defense, Inner};
use crate::attacks::fgm::{self, Move};
use crate::attacks::objective::CeForm;
use crate::attacks::options::{AttackOptions, Norm};
use crate::attacks::registry::{Attack, Goal, Run};
use crate::attacks::steps::{Start, Steps, Victim};
use crate::attacks::{AttackKind, ball};
use crate::graph::{Graph, GraphError, Tensor, Unary};

/// How a step is taken; lengths in units of ε.
#[derive(Clone, Copy)]
struct Rule {
    /// Radius of the ball in which it starts.
    start: f32,
    /// Its length.
    step: f32,
    /// Whether the result is brought back into the ball of radius ε.
    projects: bool,
}

/// Wong et al. 2020: alpha = 10/255 for 8/255.
const FAST: Rule = Rule { start: 1.0, step: 1.25, projects: true };
/// De Jorge et al. 2022: k = 2, alpha = ε, no clipping.
const NOISE: Rule = Rule { start: 2.0, step: 1.0, projects: false };

static RS_FGSM: Attack = Attack {
    name: "rs-fgsm",
    title: "RS-FGSM",
    about: "One step of 1.25 epsilon from a random start in the ball",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &[],
    options: &["epsilon", "norm", "step-size", "ce-form"],
    classes: 2,
    aims: None,
    defaults: |_| {},
    passes: |_, _| 1.0,
    remedy: |_| "use an attack of several steps".to_string(),
    run: Run::Steps(|options, _| Box::new(NoisyStep { options: options.clone(), rule: FAST })),
};

static N_FGSM: Attack = Attack {
    name: "n-fgsm",
    title: "N-FGSM",
    about: "One step of epsilon from a random start in twice the ball, not brought back into the ball",
    run: Run::Steps(|options, _| Box::new(NoisyStep { options: options.clone(), rule: NOISE })),
    ..RS_FGSM
};

/// Against one step from a random start.
pub static FAST_TRAINING: Defense = Defense {
    name: "fast",
    title: "fast",
    about: "Against one step from a random start (RS-FGSM, Wong et al.)",
    inner: Inner::Fixed(AttackKind::of(&RS_FGSM)),
    options: OPTIONS,
    paper: recipes::fast,
    ..PGD
};

/// Against one step from a farther start, without clipping.
pub static N_FGSM_TRAINING: Defense = Defense {
    name: "n-fgsm",
    title: "N-FGSM",
    about: "Against one step from stronger noise, not clipped to the ball (de Jorge et al.)",
    inner: Inner::Fixed(AttackKind::of(&N_FGSM)),
    paper: recipes::n_fgsm,
    ..FAST_TRAINING
};

struct NoisyStep {
    options: AttackOptions,
    rule: Rule,
}

impl Steps for NoisyStep {
    fn iterations(&self) -> usize {
        1
    }

    fn is_random(&self) -> bool {
        true
    }

    fn seed(&self) -> u64 {
        self.options.seed
    }

    fn start(&self, graph: &mut Graph, victim: Victim, start: Start) -> Result<Vec<Tensor>, GraphError> {
        let noise = start.noise.expect("it starts at random");
        let radius = self.rule.start * self.options.epsilon;
        let offset = match self.options.norm {
            Norm::Linf => {
                let uniform = ball::uniform(graph, noise);
                graph.affine(uniform, radius, 0.0)
            }
            Norm::L2 => {
                let unit = ball::unit(graph, noise, CeForm::SaturationFree, Norm::L2)?;
                let share = uniform_of_norm(graph, noise);
                let length = graph.affine(share, radius, 0.0);
                graph.multiply(unit, length)?
            }
        };
        let moved = graph.add(victim.images, offset)?;
        Ok(vec![ball::clip(graph, moved)])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        _: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let AttackOptions { epsilon, norm, ce_form, step_size, .. } = self.options;
        let length = graph.constant(step_size.unwrap_or(self.rule.step * epsilon), &[1])?;
        let moved = fgm::moved(graph, victim, kept[0], Move { length, norm, form: ce_form })?;
        if !self.rule.projects {
            return Ok(vec![ball::clip(graph, moved)]);
        }
        let epsilon = graph.constant(epsilon, &[1])?;
        Ok(vec![ball::project(graph, victim.images, moved, epsilon, norm)?])
    }
}

/// A number from 0 to 1 per image, `[n, 1]`, uniform and independent of the direction of the normal numbers `noise`. The norm
/// of d of them is normal with mean √(d − ½) and variance ½, but for terms of 1/d.
fn uniform_of_norm(graph: &mut Graph, noise: Tensor) -> Tensor {
    let mean = (graph.shape(noise).columns() as f32 - 0.5).sqrt();
    let norm = ball::l2(graph, noise);
    let centred = graph.affine(norm, 1.0, -mean);
    let share = graph.unary(Unary::Erf, centred);
    graph.affine(share, 0.5, 0.5)
}
