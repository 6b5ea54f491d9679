//! Which training runs each experiment needs. Runs are named by what distinguishes them, so experiments that need
//! the same run share it and nothing is trained twice.

use super::Experiment;
use super::contenders::{Contender, Variant};
use super::settings::{METHODS, Settings};
use crate::nn::Network;
use crate::pgn::GeneratorInput;
use crate::sweep::Point;
use crate::training::config::AttackLabel;
use crate::training::defenses::Strength;
use crate::training::{Method, TrainConfig};
use std::path::Path;

/// What distinguishes a run from the others of a reproduction.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Defense.
    pub method: Method,
    /// ε or c_L; `None` for naive training.
    pub strength: Option<f32>,
    /// Width multiplier.
    pub width: f32,
    /// Seed.
    pub seed: u64,
    /// What the generator does without.
    pub without: Option<GeneratorInput>,
    /// Another network than the base's.
    pub network: Option<Network>,
    /// What is changed beside all that.
    pub variant: Option<&'static Variant>,
    /// Without the gradient through the attack, and against the true class, where the base has it otherwise.
    pub detached: bool,
}

impl Run {
    /// A run at the base width.
    pub fn new(settings: &Settings, method: Method, strength: Option<f32>, seed: u64) -> Self {
        let width = settings.base.width;
        Self { method, strength, width, seed, without: None, network: None, variant: None, detached: false }
    }

    /// The run in the middle of its method's grid, with the first seed.
    pub fn middle(settings: &Settings, method: Method) -> Self {
        Self::new(settings, method, Some(settings.middle(method)), settings.seeds[0])
    }

    /// Name of its folder.
    pub fn name(&self, settings: &Settings) -> String {
        let mut name = self.variant.map_or(self.method.name(), |variant| variant.name).to_string();
        if let Some(strength) = self.strength {
            name += &format!("-{}{strength}", self.strength_of().map_or("", |of| of.key));
        }
        if let Some(network) = self.network {
            name += &format!("-{network}");
        }
        if self.width.to_bits() != settings.base.width.to_bits() {
            name += &format!("-width{}", self.width);
        }
        if let Some(input) = self.without {
            name += &format!("-without-{}", input.name());
        }
        if self.detached {
            name += "-detached";
        }
        name + &format!("-seed{}", self.seed)
    }

    /// What its strength is of.
    fn strength_of(&self) -> Option<Strength> {
        match self.variant {
            Some(variant) => Contender::Variant(variant).strength(),
            None => self.method.strength,
        }
    }

    /// Everything that decides its weights.
    pub fn config(&self, settings: &Settings) -> TrainConfig {
        let mut config = TrainConfig {
            method: self.method,
            width: self.width,
            seed: self.seed,
            without: self.without.into_iter().collect(),
            network: self.network.unwrap_or(settings.base.network),
            ..settings.base.clone()
        };
        if self.detached {
            config.through_attack = false;
            config.attack_label = AttackLabel::True;
        }
        if let Some(variant) = self.variant {
            (variant.change)(&mut config);
        }
        if let Some((of, value)) = self.strength_of().zip(self.strength) {
            (of.set)(&mut config, value);
        }
        config
    }
}

/// A run that an experiment needs.
#[derive(Clone, Debug, PartialEq)]
struct Request {
    run: Run,
    /// The experiment looks at the model after every so many epochs, too.
    keep_every: Option<u32>,
}

impl Request {
    /// One request for both.
    fn merge(&mut self, other: &Self) {
        self.keep_every = match (self.keep_every, other.keep_every) {
            // Every multiple of either is one of their greatest common divisor.
            (Some(a), Some(b)) => Some(greatest_common_divisor(a, b)),
            (a, b) => a.or(b),
        };
    }

    fn point(&self, settings: &Settings) -> Point {
        let config = TrainConfig { keep_every: self.keep_every, ..self.run.config(settings) };
        Point { name: self.run.name(settings), config }
    }
}

impl From<Run> for Request {
    /// Only the final model.
    fn from(run: Run) -> Self {
        Self { run, keep_every: None }
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The naive nets.
fn naive(settings: &Settings) -> Vec<Run> {
    settings.seeds.iter().map(|&seed| Run::new(settings, Method::NATURAL, None, seed)).collect()
}

/// A method over its grid and the seeds.
fn over_grid(settings: &Settings, method: Method) -> Vec<Run> {
    let strengths = settings.grid(method);
    let seeds = settings.seeds.iter();
    seeds
        .flat_map(|&seed| strengths.iter().map(move |&s| (s, seed)))
        .map(|(strength, seed)| Run::new(settings, method, Some(strength), seed))
        .collect()
}

/// The naive net that black-box images are made on.
pub fn source(settings: &Settings) -> Run {
    Run::new(settings, Method::NATURAL, None, settings.source_seed)
}

/// The runs of figure 7: FGM and PGN over their grids at one width, with the first seed.
pub fn at_width(settings: &Settings, method: Method, width: f32) -> Vec<Run> {
    let seed = settings.seeds[0];
    let strengths = settings.grid(method).iter();
    strengths.map(|&s| Run { width, ..Run::new(settings, method, Some(s), seed) }).collect()
}

/// The generators of figure 8: all inputs, then without each.
pub fn ablations(settings: &Settings) -> Vec<(Option<GeneratorInput>, Vec<Run>)> {
    let inputs = std::iter::once(None).chain(GeneratorInput::ALL.map(Some));
    let run = |without, seed| Run { seed, without, ..Run::middle(settings, Method::PGN) };
    inputs.map(|without| (without, settings.seeds.iter().map(|&seed| run(without, seed)).collect())).collect()
}

/// The run of figure 2 that is looked at on the way.
pub fn over_epochs(settings: &Settings) -> Run {
    Run::middle(settings, Method::FGM)
}

/// The two fixed robust classifiers of figure 3.
pub fn fixed_classifiers(settings: &Settings) -> [Run; 2] {
    [Method::PGD, Method::PGN].map(|method| Run::middle(settings, method))
}

/// The settings of a contender of the experiment `beyond` on a network, each with its runs over the seeds. TRADES and MART
/// have no gradient through the attack, so no contender has.
pub fn beyond_curve(
    settings: &Settings,
    network: Network,
    contender: Contender,
) -> Vec<(Option<f32>, Vec<Run>)> {
    let run = |strength, seed| Run {
        network: (network != settings.base.network).then_some(network),
        variant: match contender {
            Contender::Plain(_) => None,
            Contender::Variant(variant) => Some(variant),
        },
        detached: settings.base.through_attack && contender.method().reads("through-attack"),
        ..Run::new(settings, contender.method(), strength, seed)
    };
    let runs = |strength| settings.beyond_seeds.iter().map(|&seed| run(strength, seed)).collect();
    contender.grid(settings).into_iter().map(|strength| (strength, runs(strength))).collect()
}

/// The runs of the experiment `beyond`.
pub fn beyond(settings: &Settings) -> Vec<Run> {
    let mut all = Vec::new();
    for &network in &settings.beyond_networks {
        for contender in Contender::all() {
            all.extend(beyond_curve(settings, network, contender).into_iter().flat_map(|(_, runs)| runs));
        }
    }
    all
}

/// What an experiment needs.
fn requests(experiment: Experiment, settings: &Settings) -> Vec<Request> {
    let mut requests: Vec<Request> = needed(experiment, settings).into_iter().map(Request::from).collect();
    if experiment == Experiment::Figure2 {
        requests
            .push(Request { run: over_epochs(settings), keep_every: Some(settings.epochs_between_looks()) });
    }
    requests
}

/// The classifiers that an experiment needs.
fn needed(experiment: Experiment, settings: &Settings) -> Vec<Run> {
    let grids = || METHODS.into_iter().flat_map(|method| over_grid(settings, method));
    match experiment {
        Experiment::Beyond => beyond(settings),
        Experiment::Table2 | Experiment::Table3 => {
            naive(settings).into_iter().chain([source(settings)]).chain(grids()).collect()
        }
        Experiment::Figure4 | Experiment::Figure5 => naive(settings).into_iter().chain(grids()).collect(),
        Experiment::Figure2 => naive(settings).into_iter().chain(over_grid(settings, Method::FGM)).collect(),
        Experiment::Figure3 => fixed_classifiers(settings).into(),
        Experiment::Figure6 | Experiment::Table4 => vec![Run::middle(settings, Method::PGN)],
        Experiment::Figure7 => {
            let widths = settings.widths.iter();
            widths
                .flat_map(|&w| {
                    [Method::FGM, Method::PGN].into_iter().flat_map(move |m| at_width(settings, m, w))
                })
                .collect()
        }
        Experiment::Figure8 => ablations(settings).into_iter().flat_map(|(_, runs)| runs).collect(),
    }
}

/// The classifiers that some experiments need, each once, in an order that completes one seed after the other. A run
/// is the same whoever asks for it first: it keeps what any experiment wants kept.
pub fn classifiers(experiments: &[Experiment], settings: &Settings) -> Vec<Point> {
    let asked: Vec<Run> = experiments.iter().flat_map(|&e| needed(e, settings)).collect();
    let mut requests = merged(&Experiment::ALL, settings);
    requests.retain(|request| asked.contains(&request.run));
    requests.sort_by_key(|request| request.run.seed);
    requests.iter().map(|request| request.point(settings)).collect()
}

/// The requests of some experiments, one for each run.
fn merged(experiments: &[Experiment], settings: &Settings) -> Vec<Request> {
    let mut all: Vec<Request> = Vec::new();
    for request in experiments.iter().flat_map(|&e| requests(e, settings)) {
        match all.iter_mut().find(|known| known.run == request.run) {
            Some(known) => known.merge(&request),
            None => all.push(request),
        }
    }
    all
}

/// Name of the generator that is trained against a frozen classifier.
pub fn generator_name(classifier: &str) -> String {
    format!("generator-for-{classifier}")
}

/// The generators of figure 3, each against a classifier that is there in `folder`.
pub fn generators(experiments: &[Experiment], settings: &Settings, folder: &Path) -> Vec<Point> {
    if !experiments.contains(&Experiment::Figure3) {
        return Vec::new();
    }
    let points = fixed_classifiers(settings).map(|run| {
        let classifier = run.name(settings);
        let config = TrainConfig {
            method: Method::PGN,
            freeze_classifier: true,
            from: Some(folder.join(&classifier).join("model.safetensors")),
            epochs: settings.generator_epochs,
            c_l: settings.middle(Method::PGN),
            seed: run.seed,
            ..settings.base.clone()
        };
        Point { name: generator_name(&classifier), config }
    });
    points.into()
}

/// Strengths with their runs over the seeds, for a method's curve.
pub fn curve(settings: &Settings, method: Method) -> Vec<(Option<f32>, Vec<Run>)> {
    let strengths: Vec<Option<f32>> = match method.strength {
        None => vec![None],
        Some(_) => settings.grid(method).iter().copied().map(Some).collect(),
    };
    let runs = |s| settings.seeds.iter().map(|&seed| Run::new(settings, method, s, seed)).collect();
    strengths.into_iter().map(|s| (s, runs(s))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgn::GeneratorLoss;
    use crate::reproduce::Scale;
    use crate::reproduce::settings::DEFENSES;

    fn settings() -> Settings {
        Settings::new(Scale::Small, Scale::Small.dataset(), None)
    }

    #[test]
    fn experiments_share_their_runs() {
        let settings = settings();
        let curve = classifiers(&[Experiment::Figure5], &settings);
        // Two seeds of: naive, and three methods over a grid of three.
        assert_eq!(curve.len(), 2 * (1 + DEFENSES.len() * 3));
        let with_table = classifiers(&[Experiment::Figure5, Experiment::Table3], &settings);
        assert_eq!(with_table.len(), curve.len() + 1);
        let more = [Experiment::Figure2, Experiment::Figure3, Experiment::Figure4, Experiment::Figure6];
        assert!(classifiers(&more, &settings).iter().all(|point| curve.contains(point)));
    }

    #[test]
    fn a_run_keeps_what_any_experiment_looks_at_whoever_asks_for_it() {
        let settings = settings();
        let watched = over_epochs(&settings).name(&settings);
        for experiments in [&[Experiment::Figure2][..], &[Experiment::Figure5], &[Experiment::Table3]] {
            for point in classifiers(experiments, &settings) {
                let expected = (point.name == watched).then(|| settings.epochs_between_looks());
                assert_eq!(point.config.keep_every, expected, "{experiments:?}: {}", point.name);
            }
        }
    }

    #[test]
    fn two_requests_for_a_run_are_one_that_serves_both() {
        let run = over_epochs(&settings());
        let asking = |keep_every| Request { run: run.clone(), keep_every };
        for (first, second, both) in [
            (None, None, None),
            (Some(4), None, Some(4)),
            (None, Some(6), Some(6)),
            (Some(4), Some(6), Some(2)),
        ] {
            let mut request = asking(first);
            request.merge(&asking(second));
            assert_eq!(request, asking(both));
        }
    }

    #[test]
    fn beyond_trains_every_contender_on_every_network_with_every_seed_and_shares_the_papers_runs() {
        let settings = settings();
        let points = classifiers(&[Experiment::Beyond], &settings);
        // Two networks and three seeds of natural training, and of nine contenders over a grid of three.
        assert_eq!(points.len(), 2 * 3 * (1 + 9 * 3));
        let named = |name: &str| points.iter().find(|point| point.name == name).map(|point| &point.config);
        let config = named("pgn-radius-2-rounds-epsilon0.3-resnet18-seed2").unwrap();
        assert_eq!((config.network.name(), config.seed, config.epsilon), ("resnet18", 2, 0.3));
        assert!(config.fixed_radius && config.generator_rounds == 2);
        assert_eq!(config.generator_objective, GeneratorLoss::CrossEntropy);
        let margin = named("pgn-radius-2-rounds-margin-epsilon0.3-seed0").unwrap();
        assert_eq!((margin.generator_rounds, margin.generator_objective), (2, GeneratorLoss::Margin));
        assert_eq!(named("trades-epsilon0.6-seed0").unwrap().epsilon, 0.6);
        let paper = classifiers(&[Experiment::Figure5], &settings);
        assert!(paper.iter().all(|point| points.contains(point)), "those of two seeds are the same");
    }

    #[test]
    fn contenders_of_beyond_train_by_the_same_rules_at_every_scale() {
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            let settings = Settings::new(scale, scale.dataset(), None);
            let points = classifiers(&[Experiment::Beyond], &settings);
            assert!(points.iter().any(|point| point.config.method.name() == "trades"));
            for Point { name, config } in &points {
                assert!(!config.learns_through_attack(), "{name} differentiates through the attack");
                let reads = config.method.reads("attack-label");
                assert!(!reads || config.attack_label == AttackLabel::True, "{name} attacks another class");
            }
        }
    }

    #[test]
    fn names_and_configurations_are_one_to_one() {
        for scale in [Scale::Small, Scale::Paper] {
            one_to_one(&Settings::new(scale, scale.dataset(), None));
        }
    }

    fn one_to_one(settings: &Settings) {
        let points = classifiers(&Experiment::ALL, settings);
        for (i, a) in points.iter().enumerate() {
            for b in &points[..i] {
                assert!(a.name != b.name && a.config != b.config, "{} and {}", a.name, b.name);
            }
        }
    }

    #[test]
    fn every_method_gets_the_same_grid_size_epochs_and_seeds() {
        let settings = settings();
        let points = classifiers(&[Experiment::Table3], &settings);
        let of = |method| points.iter().filter(move |p| p.config.method == method);
        for method in DEFENSES {
            assert_eq!(of(method).count(), of(Method::FGM).count());
            assert!(of(method).all(|p| p.config.epochs == settings.base.epochs));
        }
    }
}
