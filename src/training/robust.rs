//! Robust accuracy between epochs: PGD with 10 iterations, and FGM beside it, on a few validation images. The attack is the
//! same in every run and after every epoch, so that epochs compare; it is for choosing among them and no verdict.
//!
//! FGM stands beside PGD because training against attacks of one step can fail all at once: the classifier learns to withstand
//! that step alone ("catastrophic overfitting", Wong et al. 2020). Then PGD accuracy falls, and FGM accuracy does not.

use super::config::TrainConfig;
use super::optimiser::Role;
use super::step::BatchTensors;
use super::trainer::Trainer;
use super::validation::over;
use crate::attacks::steps::{Victim, unroll};
use crate::attacks::{AttackKind, AttackOptions, Norm, Run};
use crate::data::{Images, stratified};
use crate::executor::{ExecutionError, Session};
use crate::graph::{Binary, Graph, GraphError, Tensor};
use crate::nn::{Classifier, Net};
use crate::threat::Radius;
use serde::{Deserialize, Serialize};

/// Validation images that are attacked, of every class its share.
pub const IMAGES: usize = 200;
/// Iterations of PGD.
pub const ITERATIONS: usize = 10;
/// Images per run at most.
const BATCH: usize = 100;
/// A fall of PGD accuracy to below this share of the best so far is no noise.
const FALL: f64 = 0.5;
/// And it is a fall by at least this.
const LEAST_FALL: f64 = 0.1;
/// FGM accuracy that falls by no more has stayed.
const STAYS: f64 = 0.02;

/// Shares of the same validation images that are classified correctly both without the attack and under it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RobustAccuracy {
    /// Under PGD.
    pub pgd: f64,
    /// Under FGM within the same radius.
    pub fgm: f64,
}

/// The epoch with the best accuracy under PGD so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestRobust {
    /// From 0.
    pub epoch: u32,
    /// Accuracy under PGD.
    pub pgd: f64,
    /// Under FGM.
    pub fgm: f64,
    /// Benign accuracy on all validation images, which decides between equals.
    pub benign: f64,
}

impl BestRobust {
    /// Whether it is better than another one.
    pub fn beats(&self, other: &Self) -> bool {
        (self.pgd, self.benign) > (other.pgd, other.benign)
    }

    /// A sentence, if the classifier has overfitted catastrophically since: `now` is what a later epoch has come to.
    pub fn overfitted(&self, now: &Self) -> Option<String> {
        let fell = now.pgd < FALL * self.pgd && self.pgd - now.pgd >= LEAST_FALL;
        let stayed = now.fgm >= self.fgm - STAYS;
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        (fell && stayed).then(|| {
            format!(
                "catastrophic overfitting: from epoch {} to {} accuracy under PGD fell from {} to {}, while under FGM it went \
                 from {} to {}; the classifier withstands one step alone",
                self.epoch + 1,
                now.epoch + 1,
                percent(self.pgd),
                percent(now.pgd),
                percent(self.fgm),
                percent(now.fgm)
            )
        })
    }
}

/// The radius within which a run is measured: that of its own attack, else the usual one.
pub fn radius(config: &TrainConfig) -> Radius {
    let own = config.trained_ball().filter(|ball| ball.epsilon > 0.0);
    own.unwrap_or(Radius::l2(Norm::L2.usual_epsilon()))
}

/// Attacks a few validation images with the averaged weights of a workspace.
pub struct RobustValidator {
    session: Session,
    micro_batch: usize,
    images: Images,
}

impl RobustValidator {
    /// Prepares the attacks on the classifier that `trainer` trains; nothing if the run does not ask for it, or if there are no
    /// validation images. They take no more images at a time than a training step.
    pub fn new(trainer: &mut Trainer, validation: &Images) -> Result<Option<Self>, ExecutionError> {
        if trainer.config().robust_every() == 0 || validation.is_empty() {
            return Ok(None);
        }
        let images = validation.subset(&stratified(validation.labels(), IMAGES.min(validation.len()), 0));
        let (net, ball) = (trainer.classifier().clone(), radius(trainer.config()));
        let most = BATCH.min(trainer.micro_batch());
        let device = trainer.workspace().device().clone();
        let (session, micro_batch) =
            device.fitting(most, |images| trainer.workspace().prepare(&graph(&net, ball, images)?))?;
        Ok(Some(Self { session, micro_batch, images }))
    }

    /// Images per run.
    pub fn micro_batch(&self) -> usize {
        self.micro_batch
    }

    /// Attacks them.
    pub fn run(&mut self) -> Result<RobustAccuracy, ExecutionError> {
        let mut sums = RobustAccuracy::default();
        over(&mut self.session, &self.images, self.micro_batch, &[], |outputs, real| {
            let sum = |name: &str| outputs.get(name)[..real].iter().map(|&v| f64::from(v)).sum::<f64>();
            sums.pgd += sum("pgd");
            sums.fgm += sum("fgm");
        })?;
        let n = self.images.len() as f64;
        Ok(RobustAccuracy { pgd: sums.pgd / n, fgm: sums.fgm / n })
    }
}

/// Which of a batch's images are classified correctly before and after each attack.
fn graph(net: &Net, Radius { norm, epsilon }: Radius, images: usize) -> Result<Graph, GraphError> {
    let mut graph = Graph::new();
    let batch = BatchTensors::inputs(&mut graph, net.problem, images)?;
    let states = net.averaged(&mut graph, Role::Classifier.name())?;
    let classifier = Classifier::evaluated(net, &states);
    let correct = |graph: &mut Graph, images: Tensor| {
        let logits = classifier.logits(graph, images)?;
        let predictions = graph.arg_max(logits);
        graph.binary(Binary::Equal, predictions, batch.labels)
    };
    let before = correct(&mut graph, batch.images)?;
    for (name, kind, iterations) in [("pgd", AttackKind::PGD, ITERATIONS), ("fgm", AttackKind::FGM, 1)] {
        let Run::Steps(steps) = kind.run else { continue };
        let options = AttackOptions { epsilon, norm, iterations, ..AttackOptions::new(kind) };
        let victim = Victim { classifier, images: batch.images, labels: batch.labels, aim: None };
        let moved = unroll(&mut graph, steps(&options, net.problem).as_ref(), victim, None, false)?;
        let after = correct(&mut graph, moved)?;
        let both = graph.multiply(before, after)?;
        graph.output(name, both);
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::training::{Method, Preset};

    fn of(epoch: u32, pgd: f64, fgm: f64) -> BestRobust {
        BestRobust { epoch, pgd, fgm, benign: 0.8 }
    }

    #[test]
    fn a_sudden_fall_under_pgd_alone_is_named_with_its_numbers() {
        let best = of(6, 0.43, 0.5);
        let sentence = best.overfitted(&of(8, 0.03, 0.71)).unwrap();
        for part in
            ["epoch 7 to 9", "from 43.0 % to 3.0 %", "from 50.0 % to 71.0 %", "catastrophic overfitting"]
        {
            assert!(sentence.contains(part), "{part} in {sentence}");
        }
        assert_eq!(best.overfitted(&of(8, 0.03, 0.1)), None, "it has forgotten everything");
        assert_eq!(best.overfitted(&of(8, 0.35, 0.7)), None, "a little is noise");
        assert_eq!(of(0, 0.1, 0.1).overfitted(&of(1, 0.02, 0.3)), None, "there was little to lose");
    }

    #[test]
    fn the_better_is_more_robust_and_among_equals_better_on_clean_images() {
        assert!(of(1, 0.4, 0.1).beats(&of(0, 0.3, 0.9)) && !of(1, 0.3, 0.9).beats(&of(0, 0.3, 0.1)));
        assert!(BestRobust { benign: 0.9, ..of(1, 0.3, 0.1) }.beats(&of(0, 0.3, 0.1)));
    }

    #[test]
    fn the_radius_is_the_runs_own_or_the_usual_one() {
        let config =
            |method| TrainConfig { method, ..TrainConfig::preset(Preset::Small, DatasetKind::Digits) };
        let linf = TrainConfig { norm: Norm::Linf, epsilon: 0.1, ..config(Method::FGM) };
        let within = Radius { norm: Norm::Linf, epsilon: 0.1 };
        assert_eq!([radius(&config(Method::PGD)), radius(&linf)], [Radius::l2(0.1), within]);
        let free = TrainConfig { method: Method::FREE, ..linf };
        assert_eq!(radius(&free), within, "steps of the defense's own");
        assert_eq!([radius(&config(Method::NATURAL)), radius(&config(Method::PGN))], [Radius::l2(0.5); 2]);
    }
}
