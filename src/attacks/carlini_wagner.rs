//! Carlini and Wagner's L2 attack: Adam on `‖x' − x‖² + c · max(z_y − max_{j≠y} z_j + κ, 0)` in tanh space, with a
//! binary search on c; towards a class t, on `max(max_{j≠t} z_j − z_t + κ, 0)`. Everything is per image: constants, Adam's moments and step count, the early end of
//! a search step. So a result does not depend on which images share its batch.

use super::driver::{Arrival, SlotAttack, Slots, chunk_of};
use super::objective::{self, Objective};
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::target::{IMAGES, Target};
use crate::executor::{ExecutionError, Session};
use crate::graph::{Binary, Graph, GraphError, Tensor, Unary};
use crate::program::{ADAM_BETAS, ADAM_EPSILON, adam_step_size};

/// Its description.
pub static CW: Attack = Attack {
    name: "cw",
    title: "C&W",
    about: "Carlini and Wagner's L2 attack with a binary search on its constant",
    goal: Goal::Smallest { careful: true },
    norms: &[Norm::L2],
    usual: &[Norm::L2],
    options: &[
        "search-steps",
        "iterations",
        "learning-rate",
        "initial-c",
        "confidence",
        "abort-early",
        "target",
    ],
    classes: 2,
    aims: Some(2),
    defaults: |_| {},
    passes: |options, _| (options.iterations * options.search_steps) as f64,
    remedy,
    run: Run::Slots {
        prepare: |target, options| Ok(Box::new(CarliniWagner::new(target, options)?)),
        multiple: 1,
    },
};

/// What makes the search stronger.
fn remedy(options: &AttackOptions) -> String {
    let AttackOptions { iterations, search_steps, learning_rate, initial_c, .. } = options;
    // Every failure multiplies the constant by 10.
    let largest = (initial_c * 10_f32.powi(*search_steps as i32 - 1)).min(UNBOUNDED);
    format!(
        "its constant must suit the scale of the logits; the search starts at {initial_c} and reaches {largest} at most: raise \
         `initial-c` or `search-steps` (now {search_steps}), or try other `iterations` (now {iterations}) and another \
         `learning-rate` (now {learning_rate})"
    )
}

type Result<T = Tensor> = std::result::Result<T, GraphError>;

const START: &str = "cw.start";
const ORIGIN: &str = "cw.origin";
const MODIFIER: &str = "cw.modifier";
const MOMENTUM: &str = "cw.momentum";
const VARIANCE: &str = "cw.variance";
const BEST: &str = "cw.best";
const BEST_L2: &str = "cw.best_l2";
const LOSS: &str = "cw.loss";
const SUCCESS: &str = "cw.success";

/// Images are pulled this far towards grey before the inverse of tanh (the library's).
const SMOOTH: f32 = 0.999_999;
/// A squared distance that no image has.
const NONE: f32 = 1e10;
/// Upper end of the search as long as there is none (the library's). The constant goes no further, so that it stays finite after
/// any number of search steps.
const UNBOUNDED: f32 = 1e9;
/// A search step ends when a tenth of its iterations, or a little more, bring the loss down by less than this share (the
/// library's). The loss is looked at every [`chunk_of`] iterations.
const LEAST_PROGRESS: f32 = 0.9999;

/// One image's search.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// Search steps done.
    step: usize,
    /// Iterations done in this step.
    iteration: usize,
    constant: f32,
    lower: f32,
    upper: f32,
    /// Loss when it was last compared.
    previous: f32,
    /// Iterations that were done then.
    compared: usize,
    /// The next iteration starts a search step.
    fresh: bool,
}

impl Search {
    fn new(constant: f32) -> Self {
        Self {
            step: 0,
            iteration: 0,
            constant,
            lower: 0.0,
            upper: UNBOUNDED,
            previous: f32::MAX,
            compared: 0,
            fresh: true,
        }
    }

    /// Whether the step is over, as `loss` is after so many of the `iterations` of a step.
    fn is_over(&mut self, loss: f32, iterations: usize, abort_early: bool) -> bool {
        let mut over = self.iteration >= iterations;
        if abort_early && self.iteration - self.compared >= (iterations / 10).max(1) {
            over |= loss > self.previous * LEAST_PROGRESS;
            (self.previous, self.compared) = (loss, self.iteration);
        }
        over
    }

    /// Halves the bracket after a success, raises the constant after a failure, and starts the next step.
    fn next_step(&mut self, success: bool) {
        if success {
            self.upper = self.upper.min(self.constant);
        } else {
            self.lower = self.lower.max(self.constant);
        }
        self.constant = match self.upper < UNBOUNDED {
            true => f32::midpoint(self.lower, self.upper),
            false => (self.constant * 10.0).min(UNBOUNDED),
        };
        self.step += 1;
        (self.iteration, self.previous, self.compared, self.fresh) = (0, f32::MAX, 0, true);
    }
}

/// The attack over slots.
pub struct CarliniWagner {
    options: AttackOptions,
    searches: Vec<Search>,
    /// Computes what stays the same while an image is attacked.
    enter: Session,
    /// Images were loaded for which it has not run.
    entered: bool,
    iterate: Session,
}

impl CarliniWagner {
    /// Prepares it.
    pub fn new(target: &mut Target, options: &AttackOptions) -> std::result::Result<Self, ExecutionError> {
        let enter = target.prepare(&entry_graph(target)?)?;
        let iterate = target.prepare(&iteration_graph(target, options)?)?;
        let searches = vec![Search::new(options.initial_c); target.slots];
        Ok(Self { options: options.clone(), searches, enter, entered: false, iterate })
    }

    /// Constants, step sizes and whether the state is kept, for the iteration about to run.
    fn write_inputs(&mut self) -> std::result::Result<(), ExecutionError> {
        let constants: Vec<f32> = self.searches.iter().map(|s| s.constant).collect();
        let keep: Vec<f32> = self.searches.iter().map(|s| if s.fresh { 0.0 } else { 1.0 }).collect();
        let rate = |s: &Search| adam_step_size(self.options.learning_rate, s.iteration as u64 + 1);
        let steps: Vec<f32> = self.searches.iter().map(rate).collect();
        self.iterate.write("constant", &constants)?;
        self.iterate.write("keep", &keep)?;
        self.iterate.write("step_size", &steps)?;
        for search in &mut self.searches {
            search.iteration += 1;
            search.fresh = false;
        }
        Ok(())
    }
}

/// The states of one iteration.
struct Variables {
    modifier: Tensor,
    momentum: Tensor,
    variance: Tensor,
    best: Tensor,
    best_l2: Tensor,
    success: Tensor,
}

/// The images as the tanh space has them, from which distances are measured.
fn entry_graph(target: &Target) -> Result<Graph> {
    let mut a = target.graph()?;
    let start = a.graph.state(START, &target.extents())?;
    let origin = a.graph.state(ORIGIN, &target.extents())?;
    let x = to_pixels(&mut a.graph, start);
    a.graph.assign(origin, x)?;
    Ok(a.graph)
}

fn iteration_graph(target: &Target, options: &AttackOptions) -> Result<Graph> {
    let mut a = target.graph()?;
    let (graph, n, images) = (&mut a.graph, target.slots, target.extents());
    let per_image = [n, 1];
    let start = graph.state(START, &images)?;
    let origin = graph.state(ORIGIN, &images)?;
    let [constant, keep, step_size] =
        ["constant", "keep", "step_size"].map(|name| graph.input(name, &per_image));
    let (constant, keep, step_size) = (constant?, keep?, step_size?);
    let old = Variables {
        modifier: graph.state(MODIFIER, &images)?,
        momentum: graph.state(MOMENTUM, &images)?,
        variance: graph.state(VARIANCE, &images)?,
        best: graph.state(BEST, &images)?,
        best_l2: graph.state(BEST_L2, &per_image)?,
        success: graph.state(SUCCESS, &per_image)?,
    };
    // A fresh search step forgets the variable and its moments.
    let modifier = graph.multiply(old.modifier, keep)?;
    let point = graph.add(start, modifier)?;
    let x = to_pixels(graph, point);
    let delta = graph.subtract(x, origin)?;
    let square = graph.unary(Unary::Square, delta);
    let l2 = graph.sum_columns(square);
    let logits = target.classifier(&a.states).logits(graph, x)?;
    let class = a.aim.unwrap_or(a.labels);
    // Of the largest other logit. It must lead before the image's class; towards a class, it must not.
    let lead = Objective::Margin.value(graph, logits, class, class)?;
    let wanted = graph.affine(lead, if a.aim.is_some() { 1.0 } else { -1.0 }, options.confidence);
    let margin = graph.unary(Unary::Clamp(0.0, f32::MAX), wanted);
    let weighted = graph.multiply(margin, constant)?;
    let loss = graph.add(l2, weighted)?;
    let one = graph.constant(1.0, &[1])?;
    let gradient = graph.gradient(loss, one, &[modifier])?[0];
    let handicap = if a.aim.is_some() { -options.confidence } else { options.confidence };
    let classes = graph.shape(logits).columns();
    let class = graph.one_hot(class, classes);
    let handicap = graph.affine(class, handicap, 0.0);
    let judged = graph.add(logits, handicap)?;
    let fooled = objective::reached_surely(graph, judged, a.labels, a.aim)?;
    keep_best(graph, &old, x, l2, fooled, keep)?;
    let state = graph.state(LOSS, &per_image)?;
    graph.assign(state, loss)?;
    adam(graph, &old, gradient, keep, step_size)?;
    Ok(a.graph)
}

/// `½ (tanh(point) + 1)`, as a sigmoid, whose gradient needs the pixels and nothing else.
fn to_pixels(graph: &mut Graph, point: Tensor) -> Tensor {
    let double = graph.affine(point, 2.0, 0.0);
    graph.unary(Unary::Sigmoid, double)
}

/// Keeps the nearest adversarial image so far, and whether this search step has had one.
fn keep_best(
    graph: &mut Graph,
    old: &Variables,
    x: Tensor,
    l2: Tensor,
    fooled: Tensor,
    keep: Tensor,
) -> Result<()> {
    let nearer = graph.binary(Binary::Greater, old.best_l2, l2)?;
    let better = graph.multiply(fooled, nearer)?;
    let worse = graph.affine(better, -1.0, 1.0);
    for (state, new) in [(old.best_l2, l2), (old.best, x)] {
        let taken = graph.binary(Binary::Select, new, better)?;
        let kept = graph.binary(Binary::Select, state, worse)?;
        let next = graph.add(taken, kept)?;
        graph.assign(state, next)?;
    }
    let before = graph.multiply(old.success, keep)?;
    let success = graph.binary(Binary::Maximum, before, fooled)?;
    graph.assign(old.success, success)
}

/// One Adam step with a step size per image.
fn adam(graph: &mut Graph, old: &Variables, gradient: Tensor, keep: Tensor, step_size: Tensor) -> Result<()> {
    let [beta1, beta2] = ADAM_BETAS;
    let square = graph.unary(Unary::Square, gradient);
    let mut moments = [old.momentum, old.variance];
    for (moment, (beta, new)) in moments.iter_mut().zip([(beta1, gradient), (beta2, square)]) {
        let kept = graph.multiply(*moment, keep)?;
        let kept = graph.affine(kept, beta, 0.0);
        let new = graph.affine(new, 1.0 - beta, 0.0);
        *moment = graph.add(kept, new)?;
    }
    let [momentum, variance] = moments;
    let root = graph.unary(Unary::Sqrt, variance);
    let root = graph.affine(root, 1.0, ADAM_EPSILON);
    let direction = graph.binary(Binary::Divide, momentum, root)?;
    let step = graph.multiply(direction, step_size)?;
    // Computed once more: that costs less than keeping it from the start of the iteration to here.
    let modifier = graph.multiply(old.modifier, keep)?;
    let next = graph.subtract(modifier, step)?;
    graph.assign(old.momentum, momentum)?;
    graph.assign(old.variance, variance)?;
    graph.assign(old.modifier, next)
}

impl SlotAttack for CarliniWagner {
    fn load(
        &mut self,
        target: &mut Target,
        slot: usize,
        arrival: Arrival,
    ) -> std::result::Result<(), ExecutionError> {
        let Arrival { image, .. } = arrival;
        self.searches[slot] = Search::new(self.options.initial_c);
        self.entered = false;
        let pixels = target.pixels();
        let start: Vec<f32> = image.iter().map(|&v| ((2.0 * v - 1.0) * SMOOTH).atanh()).collect();
        target.workspace.write_part(START, slot * pixels, &start)?;
        target.workspace.write_part(BEST, slot * pixels, image)?;
        // A number of the last image that is not finite would stay: `keep` 0 does not take it away.
        for state in [MODIFIER, MOMENTUM, VARIANCE] {
            target.workspace.write_part(state, slot * pixels, &vec![0.0; pixels])?;
        }
        target.workspace.write_part(BEST_L2, slot, &[NONE])
    }

    fn advance(&mut self, target: &mut Target, iterations: usize) -> std::result::Result<(), ExecutionError> {
        if !std::mem::replace(&mut self.entered, true) {
            self.enter.run()?;
        }
        for _ in 0..iterations {
            self.write_inputs()?;
            self.iterate.run()?;
        }
        let (loss, success) = (target.workspace.read(LOSS)?, target.workspace.read(SUCCESS)?);
        for (slot, search) in self.searches.iter_mut().enumerate() {
            let over = search.is_over(loss[slot], self.options.iterations, self.options.abort_early);
            if over && search.step < self.options.search_steps {
                search.next_step(success[slot] != 0.0);
            }
        }
        Ok(())
    }

    fn finished(&self, slot: usize) -> bool {
        self.searches[slot].step >= self.options.search_steps
    }

    fn results(&mut self, target: &mut Target) -> std::result::Result<Vec<f32>, ExecutionError> {
        // Without a success the image itself is there, which the verification will count as a failure.
        let mut best = target.workspace.read(BEST)?;
        let l2 = target.workspace.read(BEST_L2)?;
        let images = target.workspace.read(IMAGES)?;
        let pixels = target.pixels();
        for (slot, _) in l2.iter().enumerate().filter(|(_, l2)| **l2 >= NONE) {
            best[slot * pixels..][..pixels].copy_from_slice(&images[slot * pixels..][..pixels]);
        }
        Ok(best)
    }

    fn sessions(&self) -> Vec<&Session> {
        vec![&self.enter, &self.iterate]
    }

    fn chunk(&self) -> usize {
        chunk_of(self.options.iterations)
    }

    fn narrowed(
        &self,
        target: &Target,
        slots: &[usize],
    ) -> std::result::Result<Option<Slots>, ExecutionError> {
        let mut narrow = target.narrowed(slots)?;
        let mut attack = Self::new(&mut narrow, &self.options)?;
        for state in [START, ORIGIN, MODIFIER, MOMENTUM, VARIANCE, BEST, BEST_L2, LOSS, SUCCESS] {
            target.hand_over(state, slots, &mut narrow)?;
        }
        attack.searches = slots.iter().map(|&slot| self.searches[slot]).collect();
        attack.entered = self.entered;
        Ok(Some((narrow, Box::new(attack))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;
    use crate::cpu::Mode;
    use crate::executor::{Device, Workspace};
    use crate::nn::{Init, Network, Plan, Problem};

    #[test]
    fn numbers_that_are_not_finite_leave_with_their_image() {
        let problem = Problem { height: 8, width: 8, channels: 1, classes: 3 };
        let net = Network::default().build(Plan::new(problem, 0.0625)).unwrap();
        let mut workspace = Workspace::new(Device::Cpu(Mode::Fast));
        workspace.write("classifier.parameters", &net.initial(Init::He, 3).weights).unwrap();
        let mut target = Target::live(&workspace, &net, 1);
        let pixels = problem.pixels();
        let image: Vec<f32> = (0..pixels).map(|i| 0.3 + 0.4 * (i as f32).sin().abs()).collect();
        target.load(&image, &[0.0]).unwrap();
        // Whatever the classifier answers, there is something to do.
        let options = AttackOptions { confidence: 10.0, ..AttackOptions::new(AttackKind::CW) };
        let mut attack = CarliniWagner::new(&mut target, &options).unwrap();
        let mut moved = |spoilt: bool| {
            if spoilt {
                for state in [MODIFIER, MOMENTUM, VARIANCE] {
                    target.workspace.write_part(state, 0, &vec![f32::NAN; pixels]).unwrap();
                }
            }
            attack.load(&mut target, 0, Arrival { image: &image, place: 0 }).unwrap();
            attack.advance(&mut target, 10).unwrap();
            target.workspace.read(MODIFIER).unwrap()
        };
        let fresh = moved(false);
        assert!(fresh.iter().all(|value| value.is_finite()) && fresh.iter().any(|value| *value != 0.0));
        assert!(moved(true) == fresh);
    }

    #[test]
    fn a_step_without_progress_ends_after_two_tenths_of_its_iterations_or_the_next_looks() {
        // 110 iterations have a look every 10, and a tenth of 11.
        for (iterations, expected) in [(100, 20), (110, 40), (1000, 200)] {
            let done = |abort_early: bool| {
                let mut search = Search::new(0.01);
                loop {
                    search.iteration += chunk_of(iterations);
                    if search.is_over(1.0, iterations, abort_early) {
                        return search.iteration;
                    }
                }
            };
            assert_eq!((done(true), done(false)), (expected, iterations));
        }
    }

    #[test]
    fn the_constant_of_an_image_that_nothing_fools_stays_finite() {
        let mut search = Search::new(0.01);
        for _ in 0..100 {
            search.next_step(false);
        }
        assert_eq!(search.constant, UNBOUNDED);
    }
}
