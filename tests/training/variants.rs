//! What the variants of the generator compute, against compositions by hand and finite differences, and that they go on
//! after a stop with the bits of a run that was not stopped.

use super::common::{labels, largest, named, normals, session, worst};
use super::{DIGITS, batch, bits, close, cpu, digits, run, tiny};
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker, Norm};
use pgn_wgpu::data::Augment;
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::{Graph, Unary};
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::{Classifier, Init, Net, Network, Pass, Plan, Values};
use pgn_wgpu::pgn::{Generator, GeneratorBall, GeneratorInputs, GeneratorLoss, GradientInput, Recipe, Turn};
use pgn_wgpu::training::validation::Validator;
use pgn_wgpu::training::{GeneratorInput, Method, StepRecord, TrainConfig, TrainError, Trainer, Update};

const WIDTH: f32 = 0.03125;
const PIXELS: usize = 64;
const CLASSES: usize = 10;

/// A classifier and a generator with initial weights, and images.
struct Case {
    net: Net,
    classifier: Values,
    generator: Generator,
    weights: Values,
    images: Vec<f32>,
    labels: Vec<f32>,
    noise: Vec<f32>,
}

/// What came out of one turn.
struct Answer {
    output: Vec<f32>,
    adversarial: Vec<f32>,
    /// Logits of the adversarial images.
    logits: Vec<f32>,
}

impl Case {
    /// Of `n` images with pixels around the middle of the box.
    fn new(recipe: Recipe, n: usize) -> Self {
        let net = Network::default().build(Plan::new(DIGITS, WIDTH)).unwrap();
        let generator = Generator::of(DIGITS, WIDTH, recipe).unwrap();
        let mut weights = generator.initial(Init::He, 2);
        // A last layer of unit gain, so that rounds differ.
        for (index, slot) in generator.slots.all.iter().enumerate() {
            if slot.name.ends_with("up4.weight") {
                generator.slots.get_mut(&mut weights, index).iter_mut().for_each(|w| *w *= 3.0);
            }
        }
        Self {
            classifier: net.initial(Init::He, 1),
            net,
            generator,
            weights,
            images: normals(3, n * PIXELS).iter().map(|v| 0.5 + 0.1 * v.clamp(-3.0, 3.0)).collect(),
            labels: labels(4, n, CLASSES),
            noise: normals(5, n * PIXELS),
        }
    }

    /// The answer to `images` (in place of the case's own), in evaluation mode.
    fn answer_to(&self, images: &[f32], strongest: bool) -> Answer {
        let n = self.labels.len();
        let mut graph = Graph::new();
        let states = self.net.live(&mut graph, "classifier").unwrap();
        let classifier = Classifier::evaluated(&self.net, &states);
        let x = graph.input("images", &DIGITS.batch(n)).unwrap();
        let labels = graph.input("labels", &[n, 1]).unwrap();
        let logits = classifier.logits(&mut graph, x).unwrap();
        let loss = graph.cross_entropy(logits, labels).unwrap();
        let own = self.generator.live(&mut graph).unwrap();
        let noise = self.generator.recipe.noise;
        let turn = Turn {
            generator: &self.generator,
            states: &own,
            pass: Pass::Evaluate,
            classifier,
            images: x,
            labels,
            clean: [logits, loss],
            noise: noise.then(|| graph.input("noise", &DIGITS.batch(n)).unwrap()),
            through: false,
        };
        let answer = if strongest { turn.strongest(&mut graph) } else { turn.shared(&mut graph) }.unwrap();
        let logits = classifier.logits(&mut graph, answer.adversarial).unwrap();
        graph.output("output", answer.output);
        graph.output("adversarial", answer.adversarial);
        graph.output("logits", logits);
        let mut inputs = vec![named("images", images.to_vec()), named("labels", self.labels.clone())];
        inputs.extend(noise.then(|| named("noise", self.noise.clone())));
        let mut states = vec![
            named("classifier.parameters", self.classifier.weights.clone()),
            named("generator.parameters", self.weights.weights.clone()),
        ];
        if !self.weights.buffers.is_empty() {
            states.push(named("generator.buffers", self.weights.buffers.clone()));
        }
        let (_workspace, mut session) = session(&cpu(), &graph, &inputs, &states);
        let outputs = session.compute().unwrap();
        let of = |name: &str| outputs.get(name).to_vec();
        Answer { output: of("output"), adversarial: of("adversarial"), logits: of("logits") }
    }

    fn answer(&self) -> Answer {
        self.answer_to(&self.images, false)
    }

    /// The same case with member `member` as its only generator.
    fn alone(&self, member: usize) -> Self {
        let recipe = Recipe { members: 1, ..self.generator.recipe.clone() };
        let mut alone = Self::new(recipe, self.labels.len());
        alone.take(self, &format!("{member}."));
        alone
    }

    /// Takes over what the generator of `other` has in slots of the same names after `prefix`.
    fn take(&mut self, other: &Self, prefix: &str) {
        let names: Vec<String> = self.generator.slots.all.iter().map(|slot| slot.name.clone()).collect();
        for name in names {
            self.slot_mut(&name).copy_from_slice(other.slot(&format!("{prefix}{name}")));
        }
    }

    /// What the generator has in the slot `name`.
    fn slot(&self, name: &str) -> &[f32] {
        self.generator.slots.get(&self.weights, self.place(name))
    }

    /// The same, to be written.
    fn slot_mut(&mut self, name: &str) -> &mut [f32] {
        let place = self.place(name);
        self.generator.slots.get_mut(&mut self.weights, place)
    }

    fn place(&self, name: &str) -> usize {
        self.generator.slots.all.iter().position(|slot| slot.name == name).unwrap()
    }

    /// The mean length of the perturbations, and the mean cross-entropy under them.
    fn measured(&self) -> [f64; 2] {
        let answer = self.answer();
        let pairs = self.images.chunks(PIXELS).zip(answer.adversarial.chunks(PIXELS));
        let lengths: f64 = pairs.map(|(x, moved)| Norm::L2.distance(x, moved)).sum();
        let losses: f64 = raised(&answer.logits, &self.labels, GeneratorLoss::CrossEntropy).iter().sum();
        [lengths, losses].map(|sum| sum / self.labels.len() as f64)
    }

    /// The gradient of the margin or of DLR by the images: what it is by the logits, found on the host, and from there the
    /// classifier's backward pass.
    fn gradient(&self, what: GeneratorLoss) -> Vec<f32> {
        let n = self.labels.len();
        let mut graph = Graph::new();
        let states = self.net.live(&mut graph, "classifier").unwrap();
        let x = graph.input("images", &DIGITS.batch(n)).unwrap();
        let weights = graph.input("weights", &[n, CLASSES]).unwrap();
        let logits = Classifier::evaluated(&self.net, &states).logits(&mut graph, x).unwrap();
        let gradient = graph.gradient(logits, weights, &[x]).unwrap()[0];
        graph.output("logits", logits);
        graph.output("gradient", gradient);
        let inputs = vec![named("images", self.images.clone()), named("weights", vec![0.0; n * CLASSES])];
        let states = vec![named("classifier.parameters", self.classifier.weights.clone())];
        let (_workspace, mut session) = session(&cpu(), &graph, &inputs, &states);
        let logits = session.compute().unwrap().get("logits").to_vec();
        let rows = logits.chunks(CLASSES).zip(&self.labels);
        let weights: Vec<f32> = rows.flat_map(|(z, &label)| by_logits(z, label as usize, what)).collect();
        session.write("weights", &weights).unwrap();
        session.compute().unwrap().get("gradient").to_vec()
    }

    /// The generator's output to a gradient image that is given.
    fn output_to(&self, gradient_image: &[f32]) -> Vec<f32> {
        let n = self.labels.len();
        let mut graph = Graph::new();
        let states = self.generator.live(&mut graph).unwrap();
        let images = graph.input("images", &DIGITS.batch(n)).unwrap();
        let gradient = graph.input("gradient", &DIGITS.batch(n)).unwrap();
        let labels = graph.input("labels", &[n, 1]).unwrap();
        let seen = GeneratorInputs { labels, images, gradient, noise: None };
        let output = self.generator.output(&mut graph, (&states, 0), seen, Pass::Evaluate).unwrap();
        graph.output("output", output);
        let inputs = vec![
            named("images", self.images.clone()),
            named("gradient", gradient_image.to_vec()),
            named("labels", self.labels.clone()),
        ];
        let states = vec![named("generator.parameters", self.weights.weights.clone())];
        let (_workspace, mut session) = session(&cpu(), &graph, &inputs, &states);
        session.compute().unwrap().get("output").to_vec()
    }
}

fn assert_near(what: &str, own: &[f32], expected: &[f32], allowed: f32) {
    assert_eq!(own.len(), expected.len(), "{what}");
    for (i, (own, expected)) in own.iter().zip(expected).enumerate() {
        assert!((own - expected).abs() <= allowed, "{what}, number {i}: {own} instead of {expected}");
    }
}

/// Equation 5 in double precision.
fn composed(image: f32, output: f32) -> f32 {
    let logit = (f64::from(image) / (1.0 - f64::from(image))).ln();
    (1.0 / (1.0 + (-(logit + 2.0 * f64::from(output))).exp())) as f32
}

/// The cross-entropy, the margin or DLR of each image, in double precision.
fn raised(logits: &[f32], labels: &[f32], what: GeneratorLoss) -> Vec<f64> {
    let of = |(z, &label): (&[f32], &f32)| {
        let z: Vec<f64> = z.iter().map(|&v| f64::from(v)).collect();
        let own = z[label as usize];
        let other = (0..z.len()).filter(|&k| k != label as usize).map(|k| z[k]).fold(f64::MIN, f64::max);
        let mut sorted = z.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        match what {
            GeneratorLoss::CrossEntropy => z.iter().map(|v| v.exp()).sum::<f64>().ln() - own,
            GeneratorLoss::Margin => other - own,
            GeneratorLoss::Dlr => (other - own) / (sorted[0] - sorted[2]),
        }
    };
    logits.chunks(CLASSES).zip(labels).map(of).collect()
}

/// The derivative of an image's margin or DLR by its logits, in double precision.
fn by_logits(logits: &[f32], label: usize, what: GeneratorLoss) -> Vec<f32> {
    let z: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
    let mut order: Vec<usize> = (0..z.len()).collect();
    order.sort_by(|&a, &b| z[b].total_cmp(&z[a]));
    let rival = if order[0] == label { order[1] } else { order[0] };
    let (lead, spread) = (z[rival] - z[label], z[order[0]] - z[order[2]]);
    let mut all = vec![0.0_f64; z.len()];
    let scale = if what == GeneratorLoss::Dlr { 1.0 / spread } else { 1.0 };
    all[rival] += scale;
    all[label] -= scale;
    if what == GeneratorLoss::Dlr {
        all[order[0]] -= lead / spread.powi(2);
        all[order[2]] += lead / spread.powi(2);
    }
    all.iter().map(|&v| v as f32).collect()
}

/// Each pixel at the side of the box that it is nearer to.
fn corners(images: &[f32]) -> Vec<f32> {
    images.iter().map(|&v| if v < 0.5 { 0.0 } else { 1.0 }).collect()
}

/// The image at a ball's radius from `image` that an output leads to, in double precision.
fn at_radius(ball: GeneratorBall, image: &[f32], output: &[f32]) -> Vec<f32> {
    let mut direction: Vec<f64> = output.iter().map(|&u| f64::from(u)).collect();
    let length = match ball.norm {
        Norm::L2 => direction.iter().map(|u| u * u).sum::<f64>().sqrt(),
        Norm::Linf => {
            for u in &mut direction {
                *u = u.tanh();
            }
            direction.iter().fold(0.0, |most: f64, t| most.max(t.abs()))
        }
    };
    let step = f64::from(ball.epsilon) / length;
    let moved = image.iter().zip(direction).map(|(&x, d)| (f64::from(x) + step * d).clamp(0.0, 1.0) as f32);
    moved.collect()
}

/// A transposed 3x3 convolution of stride 1 over images of the digits' size, with its biases, in double precision.
fn up(x: &[f64], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let (outputs, side) = (bias.len(), DIGITS.width);
    let inputs = weight.len() / (9 * outputs);
    let mut y = Vec::new();
    for image in x.chunks(PIXELS * inputs) {
        for place in 0..PIXELS {
            for (output, &bias) in bias.iter().enumerate() {
                let mut sum = f64::from(bias);
                for tap in 0..9 {
                    // The middle tap stays where it is; what would be below 0 wraps to far beyond the image.
                    let row = (place / side + 1).wrapping_sub(tap / 3);
                    let column = (place % side + 1).wrapping_sub(tap % 3);
                    if row < side && column < side {
                        let from = &image[(row * side + column) * inputs..][..inputs];
                        let by = &weight[(tap * outputs + output) * inputs..][..inputs];
                        sum += from.iter().zip(by).map(|(x, w)| x * f64::from(*w)).sum::<f64>();
                    }
                }
                y.push(sum);
            }
        }
    }
    y
}

#[test]
fn rounds_are_moves_with_a_fresh_gradient_each_and_the_same_noise_whose_outputs_add_up() {
    // More images than classes, and fewer: the generator has a way of its own for each.
    for (n, noise) in [(12, false), (4, false), (4, true)] {
        let case = Case::new(Recipe { rounds: 3, noise, ..Recipe::default() }, n);
        let single = Case::new(Recipe { noise, ..Recipe::default() }, n);
        let (mut seen, mut sum) = (case.images.clone(), vec![0.0; n * PIXELS]);
        for _ in 0..3 {
            let own = single.answer_to(&seen, false).output;
            sum.iter_mut().zip(&own).for_each(|(sum, own)| *sum += own);
            seen = case.images.iter().zip(&sum).map(|(&x, &u)| composed(x, u)).collect();
        }
        let answer = case.answer();
        assert_near("output", &answer.output, &sum, 2e-4);
        assert_near("image", &answer.adversarial, &seen, 2e-4);
        let once: Vec<f32> = single.answer().output.iter().map(|u| 3.0 * u).collect();
        let off = answer.output.iter().zip(&once).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off > 1e-2, "later rounds see something else than the first: {off}");
    }
}

#[test]
fn a_fixed_radius_is_met_exactly_inside_the_box_and_never_exceeded() {
    for (norm, epsilon) in [(Norm::L2, 0.3), (Norm::Linf, 0.05)] {
        for rounds in [1, 2] {
            let ball = Some(GeneratorBall { norm, epsilon });
            let case = Case::new(Recipe { ball, rounds, ..Recipe::default() }, 6);
            let lengths = |images: &[f32], adversarial: &[f32]| -> Vec<f64> {
                let pairs = images.chunks(PIXELS).zip(adversarial.chunks(PIXELS));
                pairs.map(|(x, moved)| norm.distance(x, moved)).collect()
            };
            // At most 0.2 and 0.8, which leaves room for any step of the radius.
            let answer = case.answer();
            for length in lengths(&case.images, &answer.adversarial) {
                assert!((length / f64::from(epsilon) - 1.0).abs() < 1e-4, "{norm:?}: {length}");
            }
            let corner = corners(&case.images);
            let answer = case.answer_to(&corner, false);
            assert!(answer.adversarial.iter().all(|v| (0.0..=1.0).contains(v)));
            for length in lengths(&corner, &answer.adversarial) {
                let share = length / f64::from(epsilon);
                assert!(share > 0.1 && share < 1.0 + 1e-6, "{norm:?}: {length}");
            }
        }
    }
}

#[test]
fn a_fixed_radius_leads_along_the_output_in_l2_and_along_its_hyperbolic_tangent_in_linf() {
    for (norm, epsilon) in [(Norm::L2, 0.5), (Norm::Linf, 0.2)] {
        let ball = GeneratorBall { norm, epsilon };
        let case = Case::new(Recipe { ball: Some(ball), rounds: 2, ..Recipe::default() }, 6);
        // Inside the box, and where every step out of it is cut.
        for images in [case.images.clone(), corners(&case.images)] {
            let Answer { output, adversarial, .. } = case.answer_to(&images, false);
            assert!(largest(&output) > 0.05, "an output that its hyperbolic tangent differs from");
            let pairs = images.chunks(PIXELS).zip(output.chunks(PIXELS));
            let expected: Vec<f32> = pairs.flat_map(|(x, u)| at_radius(ball, x, u)).collect();
            assert_near(norm.name(), &adversarial, &expected, 1e-5);
        }
    }
}

#[test]
fn the_generator_sees_minus_the_gradient_of_the_loss_that_it_is_told_in_the_reading_that_it_is_told() {
    for gradient_of in [GeneratorLoss::Margin, GeneratorLoss::Dlr] {
        for gradient_input in [GradientInput::Log, GradientInput::Rms, GradientInput::L2] {
            let case = Case::new(Recipe { gradient_of, gradient_input, ..Recipe::default() }, 6);
            let read = |gradient: &[f32]| -> Vec<f32> {
                let length = gradient.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                let scale = match gradient_input {
                    GradientInput::Rms => (PIXELS as f64).sqrt() / length,
                    GradientInput::L2 => 1.0 / length,
                    _ => 10.0,
                };
                gradient.iter().map(|&v| (-scale * f64::from(v)) as f32).collect()
            };
            let image: Vec<f32> = case.gradient(gradient_of).chunks(PIXELS).flat_map(read).collect();
            let turned: Vec<f32> = image.iter().map(|v| -v).collect();
            let output = case.answer().output;
            let (what, size) = (format!("{gradient_of:?}, {gradient_input:?}"), largest(&output));
            assert_near(&what, &output, &case.output_to(&image), 1e-4 * size);
            let off = worst(&output, &case.output_to(&turned));
            assert!(off > 1e-2 * size, "{what}: the output depends on what is seen: {off} of {size}");
        }
    }
}

#[test]
fn layers_of_a_deeper_generator_stand_before_the_last_each_with_leaky_relu_behind_it() {
    const N: usize = 4;
    let mut deep = Case::new(Recipe { depth: 2, ..Recipe::default() }, N);
    let mut shallow = Case::new(Recipe::default(), N);
    shallow.take(&deep, "");
    // They start at 0.
    for (seed, bias) in [(7, "deep1.bias"), (8, "deep2.bias"), (9, "up4.bias")] {
        let values: Vec<f32> = normals(seed, deep.slot(bias).len()).iter().map(|v| 0.3 * v).collect();
        deep.slot_mut(bias).copy_from_slice(&values);
    }
    // What comes before is read out channel by channel, by a last layer that leaves one as it is.
    let channels = deep.slot("deep1.bias").len();
    let mut h = vec![0.0_f64; N * PIXELS * channels];
    for channel in 0..channels {
        shallow.slot_mut("up4.weight").fill(0.0);
        shallow.slot_mut("up4.weight")[4 * channels + channel] = 1.0;
        for (place, &value) in shallow.answer().output.iter().enumerate() {
            h[place * channels + channel] = f64::from(value);
        }
    }
    let after = |h: &[f64], layer: &str| {
        up(h, deep.slot(&format!("{layer}.weight")), deep.slot(&format!("{layer}.bias")))
    };
    for layer in ["deep1", "deep2"] {
        h = after(&h, layer).iter().map(|&v| if v > 0.0 { v } else { 0.2 * v }).collect();
    }
    let expected: Vec<f32> = after(&h, "up4").iter().map(|&v| v as f32).collect();
    assert_near("output", &deep.answer().output, &expected, 1e-5);
}

#[test]
fn members_share_a_batch_in_order_and_as_an_attack_the_strongest_counts() {
    let case = Case::new(Recipe { members: 3, rounds: 2, ..Recipe::default() }, 8);
    let alone: Vec<Answer> = (0..3).map(|member| case.alone(member).answer()).collect();
    let shared = case.answer();
    // 8 images in shares of 2, 3 and 3.
    for (image, member) in [0, 0, 1, 1, 1, 2, 2, 2].into_iter().enumerate() {
        let of = |values: &[f32]| values[image * PIXELS..][..PIXELS].to_vec();
        assert_near(&format!("image {image}"), &of(&shared.output), &of(&alone[member].output), 2e-4);
    }
    assert!(alone[0].output != alone[1].output, "members have weights of their own");
    let losses: Vec<Vec<f64>> = alone
        .iter()
        .map(|answer| raised(&answer.logits, &case.labels, GeneratorLoss::CrossEntropy))
        .collect();
    let strongest = case.answer_to(&case.images, true);
    let mut winners = [0; 3];
    for image in 0..8 {
        let best = (0..3).max_by(|&a, &b| losses[a][image].total_cmp(&losses[b][image])).unwrap();
        let of = |values: &[f32]| values[image * PIXELS..][..PIXELS].to_vec();
        assert_near("strongest", &of(&strongest.adversarial), &of(&alone[best].adversarial), 2e-4);
        winners[best] += 1;
    }
    assert!(winners.iter().filter(|&&wins| wins > 0).count() > 1, "{winners:?}");
}

#[test]
fn noise_moves_the_answer_and_batch_normalisation_uses_its_running_statistics() {
    let mut case = Case::new(Recipe { noise: true, batch_norm: true, depth: 1, ..Recipe::default() }, 4);
    let before = case.answer().output;
    assert_eq!(before, case.answer().output, "the same noise is the same answer");
    case.noise = normals(6, 4 * PIXELS);
    let other = case.answer().output;
    assert!(before != other);
    case.slot_mut("deep1_bn.running_mean").fill(1.0);
    assert!(case.answer().output != other);
}

/// A trainer before its first step.
fn started(config: &TrainConfig) -> Trainer {
    Trainer::new(cpu(), config, DIGITS, None, None).unwrap()
}

/// One step on the first images.
fn step(trainer: &mut Trainer) -> StepRecord {
    let first = batch(trainer.config().batch_size);
    let pending = trainer.submit(&first).unwrap();
    trainer.collect(pending).unwrap()
}

#[test]
fn training_normalises_by_the_batch_wherever_the_running_statistics_are() {
    const N: usize = 6;
    let config =
        TrainConfig { batch_size: N, generator_batch_norm: true, generator_depth: 1, ..tiny(Method::PGN) };
    let learned = |running: f32| {
        let mut trainer = started(&config);
        let len = trainer.generator().unwrap().slots.buffers;
        trainer.workspace().write("generator.buffers", &vec![running; len]).unwrap();
        let record = step(&mut trainer);
        let read = |name| trainer.workspace().read(name).unwrap();
        (record, ["generator.momentum", "generator.buffers"].map(read))
    };
    let (record, [gradient, tenth]) = learned(0.0);
    let (same, [same_gradient, _]) = learned(3.0);
    assert_eq!(record, same);
    assert!(gradient == same_gradient && gradient.iter().any(|&v| v != 0.0));

    // Evaluation with the statistics of this batch, of which the running ones learn a tenth, does the same.
    let mut case = Case::new(config.recipe(), N);
    let (classifier, _, generator) = started(&config).values().unwrap();
    (case.classifier, case.weights) = (classifier, generator.unwrap());
    let first = batch(N);
    (case.images, case.labels) = (first.images, first.labels);
    let [other, _] = case.measured();
    case.weights.buffers = tenth.iter().map(|v| 10.0 * v).collect();
    for variance in ["up3_bn.running_var", "deep1_bn.running_var"] {
        // They learn the unbiased one.
        let count = (N * PIXELS) as f32;
        case.slot_mut(variance).iter_mut().for_each(|v| *v *= (count - 1.0) / count);
    }
    let [delta, loss] = case.measured();
    assert!(
        close(record.delta, Some(delta), 1e-4) && close(Some(record.loss), Some(loss), 1e-5),
        "{record:?} instead of {delta} and {loss}"
    );
    assert!(!close(Some(other), Some(delta), 1e-2), "{other}: other statistics make other perturbations");
}

#[test]
fn each_further_step_of_the_generator_is_one_alone_before_the_rest_with_the_noise_of_the_same_step() {
    for update in [Update::Simultaneous, Update::Alternating] {
        let of = |generator_steps, freeze_classifier| TrainConfig {
            batch_size: 6,
            update,
            generator_steps,
            freeze_classifier,
            generator_noise: true,
            ..tiny(Method::PGN)
        };
        let mut alone = started(&of(1, true));
        step(&mut alone);
        let (states, updates) = alone.snapshot().unwrap();
        assert_eq!(updates, [0, 1]);
        for steps in [1_u32, 2, 3] {
            let mut whole = started(&of(steps, false));
            step(&mut whole);
            let whole = whole.snapshot().unwrap();
            assert_eq!(whole.1, [1, u64::from(steps)], "updates of classifier and generator, {update:?}");
            if steps > 1 {
                let mut rest = started(&of(steps - 1, false));
                // As if no step were done, from whose number noise is drawn.
                rest.restore(&states, updates, 0).unwrap();
                step(&mut rest);
                assert!(rest.snapshot().unwrap() == whole, "{steps} steps, {update:?}");
            }
        }
    }
}

#[test]
fn whatever_the_generator_raises_the_classifier_learns_from_the_cross_entropy() {
    for update in [Update::Simultaneous, Update::Alternating] {
        // In turns the generator moves first, and here so little that the classifier learns from the same images.
        let momenta = |generator_objective| {
            let config = TrainConfig {
                batch_size: 12,
                c_l: 0.0,
                generator_lr: Some(1e-9),
                update,
                generator_objective,
                ..tiny(Method::PGN)
            };
            let mut trainer = started(&config);
            step(&mut trainer);
            ["classifier.momentum", "generator.momentum"].map(|name| trainer.workspace().read(name).unwrap())
        };
        let [classifier, generator] = momenta(GeneratorLoss::CrossEntropy);
        for objective in [GeneratorLoss::Margin, GeneratorLoss::Dlr] {
            let [own, raised] = momenta(objective);
            let (size, off) = (largest(&classifier), worst(&own, &classifier));
            assert!(size > 0.0 && off <= 1e-5 * size, "{objective:?}, {update:?}: {off} of {size}");
            let (size, off) = (largest(&generator), worst(&raised, &generator));
            assert!(off > 1e-2 * size, "{objective:?}, {update:?}, the generator: {off} of {size}");
        }
    }
}

/// The generator's gradient of `config` at its initial weights on the first images: what Adam's momentum has after one step.
fn gradient_of(config: &TrainConfig) -> (Trainer, Vec<f32>, Vec<f32>) {
    let mut trainer = started(config);
    let weights = trainer.workspace().read("generator.parameters").unwrap();
    step(&mut trainer);
    let momentum = trainer.workspace().read("generator.momentum").unwrap();
    (trainer, weights, momentum.iter().map(|m| m / 0.1).collect())
}

#[test]
fn the_generator_climbs_the_loss_that_it_is_told_to_through_radius_rounds_and_members() {
    let base = TrainConfig {
        batch_size: 6,
        c_l: 0.0,
        freeze_classifier: true,
        // Else what a round sees is a constant to it, and differences are not its gradient.
        through_attack: true,
        ..tiny(Method::PGN)
    };
    let variants = [
        TrainConfig { generator_objective: GeneratorLoss::CrossEntropy, ..base.clone() },
        TrainConfig { generator_objective: GeneratorLoss::Margin, ..base.clone() },
        TrainConfig {
            generator_objective: GeneratorLoss::Dlr,
            gradient_of: GeneratorLoss::Dlr,
            ..base.clone()
        },
        TrainConfig { fixed_radius: true, epsilon: 0.5, ..base.clone() },
        TrainConfig { fixed_radius: true, norm: Norm::Linf, epsilon: 0.1, ..base.clone() },
        // Gradients of this classifier jump where its activations bend, so a round that sees one has no derivative.
        TrainConfig {
            generator_rounds: 2,
            without: vec![GeneratorInput::Gradient],
            fixed_radius: true,
            epsilon: 0.5,
            ..base.clone()
        },
        TrainConfig { generators: 2, generator_depth: 1, ..base },
    ];
    for config in variants {
        let (trainer, weights, gradient) = gradient_of(&config);
        let generator = trainer.generator().unwrap();
        let mut case = Case::new(generator.recipe.clone(), config.batch_size);
        let first = batch(config.batch_size);
        (case.images, case.labels) = (first.images.clone(), first.labels.clone());
        case.classifier = trainer.values().unwrap().0;
        let steep = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let mean = |step: f64| {
            let mut moved = case.copy();
            let along = |(w, g): (&f32, &f32)| (f64::from(*w) + step * f64::from(*g) / steep) as f32;
            moved.weights.weights = weights.iter().zip(&gradient).map(along).collect();
            let all = raised(&moved.answer().logits, &moved.labels, config.generator_objective);
            all.iter().sum::<f64>() / all.len() as f64
        };
        let step = 2e-3;
        let slope = (mean(step) - mean(-step)) / (2.0 * step);
        // Adam descends, so its gradient points down the loss.
        let what = format!("{:?} {:?}", config.generator_objective, generator.recipe);
        assert!(steep > 0.0 && (slope + steep).abs() <= 0.05 * steep, "{what}: {slope}, expected {}", -steep);
    }
}

impl Case {
    /// A copy.
    fn copy(&self) -> Self {
        let (net, generator) = (self.net.clone(), self.generator.clone());
        let (classifier, weights) = (self.classifier.clone(), self.weights.clone());
        let (images, labels, noise) = (self.images.clone(), self.labels.clone(), self.noise.clone());
        Self { net, classifier, generator, weights, images, labels, noise }
    }
}

/// Everything at once.
fn loaded(method: Method) -> TrainConfig {
    TrainConfig {
        generator_rounds: 2,
        fixed_radius: true,
        epsilon: 0.4,
        generator_objective: GeneratorLoss::Margin,
        generator_noise: true,
        generators: 2,
        generator_width: Some(0.0625),
        generator_depth: 1,
        generator_batch_norm: true,
        gradient_of: GeneratorLoss::Dlr,
        max_steps: Some(15),
        ..tiny(method)
    }
}

#[test]
fn a_run_with_every_variant_goes_on_after_a_stop_with_the_bits_of_one_that_was_not_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    let config = loaded(Method::PGN);
    run(&cpu(), &config, &whole, None).unwrap();
    assert!(run(&cpu(), &config, &pieces, Some(5)).unwrap().interrupted);
    run(&cpu(), &config, &pieces, None).unwrap();
    assert!(bits(&whole).iter().any(|(name, _)| name == "generator.buffers"));
    assert!(bits(&whole) == bits(&pieces));
    let file = |folder: &std::path::Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert!(file(&whole) == file(&pieces));

    let model = Model::load(&whole.join("model.safetensors"), Some(DIGITS)).unwrap();
    assert_eq!(model.facts.generator, config.recipe());
    the_attack_is_the_move_of_training(&model, 0.4);
}

/// Of whatever batches, within the radius.
fn the_attack_is_the_move_of_training(model: &Model, epsilon: f64) {
    let images = digits().test.subset(&(0..14).collect::<Vec<u32>>());
    let attacked = |batch_size: usize| {
        let options = AttackOptions { batch_size, ..AttackOptions::new(AttackKind::PGN) };
        let mut attacker = Attacker::new(&cpu(), model, options, images.len()).unwrap();
        attacker.run(&images, &mut |_, _| {}).unwrap()
    };
    let (few, many) = (attacked(4), attacked(14));
    assert_near("attack in batches of 4 and of 14", &few.adversarial, &many.adversarial, 2e-4);
    let pairs = many.images.chunks(PIXELS).zip(many.adversarial.chunks(PIXELS));
    let lengths: Vec<f64> = pairs.map(|(x, moved)| Norm::L2.distance(x, moved)).collect();
    assert!(lengths.iter().all(|length| *length < epsilon * (1.0 + 1e-6)), "{lengths:?}");
    assert!(lengths.iter().any(|length| *length > 0.5 * epsilon), "{lengths:?}");
}

#[test]
fn a_generator_whose_share_of_a_short_batch_has_no_image_learns_no_statistics_from_it() {
    let folder = tempfile::tempdir().unwrap();
    // The tenth and last batch of an epoch has 27 images in 130 places, all of them in the first generator's share.
    let config = TrainConfig {
        generators: 2,
        generator_batch_norm: true,
        batch_size: 130,
        augment: Augment::None,
        ..tiny(Method::PGN)
    };
    let statistics = |steps: u64| {
        let path = folder.path().join(steps.to_string());
        run(&cpu(), &TrainConfig { max_steps: Some(steps), ..config.clone() }, &path, None).unwrap();
        let buffers = bits(&path).into_iter().find(|(name, _)| name == "generator.buffers");
        buffers.unwrap().1.into_iter().map(f32::from_bits).collect::<Vec<f32>>()
    };
    let (before, after) = (statistics(9), statistics(10));
    assert!(after.iter().all(|value| value.is_finite()), "{after:?}");
    // What only fills the buffer up is 0.
    let statistics = after.iter().filter(|value| **value != 0.0).count();
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!(statistics > 0);
    assert_eq!(2 * moved, statistics, "those of the first generator move, those of the second stay");
}

#[test]
fn generators_that_share_a_batch_need_it_whole_and_dlr_needs_three_classes() {
    let device: Device = cpu();
    let config = TrainConfig { batch_size: 12, generators: 2, ..tiny(Method::PGN) };
    let error = Trainer::new(device.clone(), &config, DIGITS, None, Some(5)).err().unwrap();
    assert!(matches!(error, TrainError::WholeBatch { .. }), "{error}");
    assert!(error.to_string().contains("`generators` needs a whole batch"), "{error}");
    let config = TrainConfig { generator_objective: GeneratorLoss::Dlr, ..tiny(Method::PGN) };
    let two = pgn_wgpu::nn::Problem { classes: 2, ..DIGITS };
    let error = Trainer::new(device, &config, two, None, None).err().unwrap().to_string();
    assert!(error.contains("`generator-objective` dlr for 2 classes"), "{error}");
}

#[test]
fn numbers_of_a_generator_that_cannot_be_are_refused_with_their_flags() {
    let sentence = |change: fn(&mut TrainConfig)| {
        let mut config = tiny(Method::PGN);
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    assert!(sentence(|c| c.generator_rounds = 0).contains("`generator-rounds` 0"));
    assert!(sentence(|c| c.generators = 9).contains("`generators` 9"));
    assert!(sentence(|c| (c.generators, c.batch_size) = (4, 3)).contains("at most `batch-size`"));
    assert!(sentence(|c| c.generator_depth = 17).contains("`generator-depth` 17"));
    assert!(sentence(|c| c.generator_width = Some(9.0)).contains("`generator-width` 9"));
    let raw = |c: &mut TrainConfig| {
        (c.gradient_input, c.gradient_of) = (GradientInput::Raw, GeneratorLoss::Dlr);
    };
    assert!(sentence(raw).contains("`gradient-input` raw"));
}

#[test]
fn a_generator_is_compared_with_fgm_whose_perturbations_are_as_long_although_the_box_cuts_them() {
    let config = tiny(Method::PGN);
    let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, None).unwrap();
    let images = digits().train.subset(&(0..20).collect::<Vec<_>>());
    let measured = Validator::new(&mut trainer).unwrap().run(&images).unwrap().generator.unwrap();
    assert!(measured.delta > 0.01, "the generator moves images, or nothing was tested: {measured:?}");
    assert!((measured.fgm_delta / measured.delta - 1.0).abs() <= 0.01, "{measured:?}");
}

#[test]
fn a_generator_with_a_radius_is_compared_with_fgm_of_that_radius_in_its_norm() {
    for (norm, epsilon) in [(Norm::Linf, 0.1), (Norm::L2, 1.5)] {
        compares_with_fgm(norm, epsilon);
    }
}

#[track_caller]
fn compares_with_fgm(norm: Norm, epsilon: f32) {
    const IMAGES: usize = 20;
    let config = TrainConfig { fixed_radius: true, norm, epsilon, ..tiny(Method::PGN) };
    let mut trainer = Trainer::new(cpu(), &config, DIGITS, None, None).unwrap();
    let images = digits().train.subset(&(0..IMAGES as u32).collect::<Vec<_>>());
    let measured = Validator::new(&mut trainer).unwrap().run(&images).unwrap().generator.unwrap();

    let mut graph = Graph::new();
    let net = trainer.classifier().clone();
    let states = net.live(&mut graph, "classifier").unwrap();
    let classifier = Classifier::evaluated(&net, &states);
    let x = graph.input("images", &DIGITS.batch(IMAGES)).unwrap();
    let labels = graph.input("labels", &[IMAGES, 1]).unwrap();
    let loss_at = |graph: &mut Graph, x| {
        let logits = classifier.logits(graph, x).unwrap();
        graph.cross_entropy(logits, labels).unwrap()
    };
    let clean = loss_at(&mut graph, x);
    let ones = graph.constant(1.0, &[IMAGES, 1]).unwrap();
    let gradient = graph.gradient(clean, ones, &[x]).unwrap()[0];
    let direction = match norm {
        Norm::Linf => graph.unary(Unary::Sign, gradient),
        Norm::L2 => {
            let square = graph.unary(Unary::Square, gradient);
            let norm2 = graph.sum_columns(square);
            let length = graph.unary(Unary::Sqrt, norm2);
            let inverse = graph.unary(Unary::Reciprocal, length);
            graph.multiply(gradient, inverse).unwrap()
        }
    };
    let step = graph.affine(direction, epsilon, 0.0);
    let moved = graph.add(x, step).unwrap();
    let moved = graph.unary(Unary::Clamp(0.0, 1.0), moved);
    let attacked = loss_at(&mut graph, moved);
    graph.output("clean", clean);
    graph.output("attacked", attacked);
    let first = batch(IMAGES);
    let inputs = [named("images", first.images), named("labels", first.labels)].to_vec();
    let weights = trainer.values().unwrap().0.weights;
    let (_workspace, mut session) =
        session(&cpu(), &graph, &inputs, &vec![named("classifier.parameters", weights)]);
    let outputs = session.compute().unwrap();
    let mean = |name: &str| outputs.get(name).iter().map(|&v| f64::from(v)).sum::<f64>() / IMAGES as f64;
    let expected = mean("attacked");
    assert!(expected > mean("clean") + 0.01, "the step raises the loss, or nothing was tested");
    assert!((measured.fgm_loss - expected).abs() <= 1e-5, "{} instead of {expected}", measured.fgm_loss);
}
