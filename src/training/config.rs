//! Everything that decides a training run, as one struct: what flags and `--config` files fill, what is written
//! to the run folder, and what repeats the run from there.

pub use super::check::ConfigError;
pub use super::choices::{AttackLabel, AttackMode, PenaltySpace, Preset, Update};
use super::defenses::awp::Gamma;
use super::defenses::free::REPLAYS;
use super::defenses::{Inner, Method};
pub use super::identity::{Difference, MAY_DIFFER};
use super::optimiser::{Decayed, Optimiser, Rule};
use super::schedule::Schedule;
use crate::attacks::{AttackKind, AttackOptions, CeForm, Goal, Norm};
use crate::data::{Augment, DataOptions, DatasetKind, FolderOptions, Resize, Size, absolute};
use crate::executor::Opening;
use crate::gpu::tuning::{KernelChoices, Tune};
use crate::nn::normalise::{Parts, Published};
use crate::nn::{Init, ModelError, Net, Network, Normalisation, Plan, Problem};
use crate::pgn::{Generator, GeneratorBall, Recipe};
pub use crate::pgn::{GeneratorInput, GeneratorLoss, GradientInput};
use crate::program::precision::Precision;
use crate::threat::Radius;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &u32) -> bool {
    *value == one()
}

/// A complete training configuration. Keys are the flags' names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// How the classifier is defended.
    pub method: Method,
    /// Which data set.
    pub dataset: DatasetKind,
    /// Where it is; not needed for digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// To what the images of a folder are resized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// What is then cut out of their middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Size>,
    /// The file that says which folder is which class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_index: Option<PathBuf>,
    /// Share of the training images held out to choose the best epoch; absent: the data set's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_share: Option<f32>,
    /// The adapter choice.
    pub adapter: String,
    /// How much is measured to choose the forms of kernels.
    pub tune: Tune,
    /// How numbers are stored on the adapter.
    pub precision: Precision,
    /// The classifier's architecture.
    pub network: Network,
    /// Width multiplier of both networks.
    pub width: f32,
    /// By whose published numbers pixels are normalised before the first layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Published>,
    /// What is subtracted from each channel before the first layer; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// What each channel is divided by after that; absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
    /// What all are multiplied by after that; absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// Images per step.
    pub batch_size: usize,
    /// Passes over the training images.
    pub epochs: u32,
    /// Steps after which training ends even within an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Every so many epochs the networks are kept in a file of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_every: Option<u32>,
    /// A checkpoint is written every so many steps; absent: by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u64>,
    /// Every so many epochs accuracy under PGD is measured, 0 being never; absent: see [`Self::robust_every`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub robust_every: Option<u32>,
    /// How the classifier's weights follow gradients.
    pub optimiser: Optimiser,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Whether SGD looks ahead.
    pub nesterov: bool,
    /// Weight decay of the classifier.
    pub weight_decay: f32,
    /// Which of its weights decay.
    pub decayed: Decayed,
    /// Longest gradient of the classifier's weights; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,
    /// How the learning rates change over the run.
    pub schedule: Schedule,
    /// Epochs after which [`Schedule::Step`] lowers them; none: half and three quarters of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milestones: Vec<u32>,
    /// Epochs over which the learning rates rise to what the schedule says.
    pub warm_up: f32,
    /// Share of the label's weight that all classes get in the classifier's objective.
    pub label_smoothing: f32,
    /// The classifier's learning rate.
    pub lr: f32,
    /// Adam's learning rate for the generator; absent: the classifier's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_lr: Option<f32>,
    /// Decay of the moving average of the classifier's weights.
    pub ema_decay: f32,
    /// Whether the decay starts at (1 + t) / (10 + t).
    pub ema_warmup: bool,
    /// Weight of the adversarial term; the clean term has the rest.
    pub adv_coeff: f32,
    /// Weight of the divergence beside a cross-entropy; absent: the defense's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f32>,
    /// Times that each batch is learned from.
    pub replays: u32,
    /// Perturbation of weights; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awp: Option<Gamma>,
    /// Epochs before it begins.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub awp_warm_up: u32,
    /// Weight of the penalty, c_L.
    pub c_l: f32,
    /// What the generator sees of the classifier's gradient.
    pub gradient_input: GradientInput,
    /// Inputs that the generator does not see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<GeneratorInput>,
    /// The loss whose gradient the generator sees.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub gradient_of: GeneratorLoss,
    /// How often the generator is applied.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub generator_rounds: u32,
    /// Whether its perturbations have the radius `epsilon` instead of a price.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub fixed_radius: bool,
    /// The loss that it raises.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub generator_objective: GeneratorLoss,
    /// Whether it sees noise.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub generator_noise: bool,
    /// Generators that share each batch.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub generators: u32,
    /// Its width multiplier; absent: that of both networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_width: Option<f32>,
    /// Its additional layers.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub generator_depth: u32,
    /// Whether it has batch normalisation.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub generator_batch_norm: bool,
    /// Where the penalty is charged.
    pub penalty_space: PenaltySpace,
    /// In which order the networks move.
    pub update: Update,
    /// Generator steps per classifier step.
    pub generator_steps: u32,
    /// Whether the classifier's gradient flows back through the attack.
    pub through_attack: bool,
    /// Whether only the generator learns, against the classifier as it is.
    pub freeze_classifier: bool,
    /// The attack of a defense that takes any; absent: PGD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner: Option<AttackKind>,
    /// Radius of the inner attack in pixel units.
    pub epsilon: f32,
    /// Norm of that radius.
    pub norm: Norm,
    /// Iterations of the inner attack.
    pub iterations: usize,
    /// Step of the inner attack; absent: its own rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_size: Option<f32>,
    /// Whether the inner attack starts at a random point.
    pub random_start: bool,
    /// Which class the inner attack moves images away from.
    pub attack_label: AttackLabel,
    /// Which gradient the inner attack follows.
    pub ce_form: CeForm,
    /// With which statistics batch normalisation computes while an image is attacked.
    pub attack_mode: AttackMode,
    /// Scale of the initial weights.
    pub init: Init,
    /// Start from these weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Flips and crops.
    pub augment: Augment,
    /// Whether the order changes every epoch.
    pub shuffle: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Learning rates that resumed sessions have set, in the order of their steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RateChange>,
    /// The forms of kernels that the run began with: other forms give other bits. Last, as TOML wants its tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernels: Option<KernelChoices>,
}

/// Learning rates from a step on, as `--resume --lr` sets them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RateChange {
    /// Steps done before.
    pub step: u64,
    /// The classifier's; absent: as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f32>,
    /// The generator's; absent: as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_lr: Option<f32>,
}

impl TrainConfig {
    /// How its device is opened.
    pub fn opening(&self, checked: bool) -> Opening {
        Opening { checked, tune: self.tune, precision: self.precision }
    }

    /// The same with paths from the root on, so that it means the same files wherever it is read.
    #[must_use]
    pub fn with_absolute_paths(mut self) -> Self {
        for path in [&mut self.data, &mut self.class_index, &mut self.from].into_iter().flatten() {
            *path = absolute(path);
        }
        self
    }

    /// What a run has that names no setting but its preset, its method and its data set.
    pub fn defaults(preset: Preset, method: Method, dataset: DatasetKind) -> Self {
        let mut config = Self::preset(preset, dataset);
        if preset == Preset::Paper {
            (method.paper)(&mut config);
        }
        Self { method, ..config }
    }

    /// A preset's values for a data set, those of PGN's paper for [`Preset::Paper`].
    pub fn preset(preset: Preset, dataset: DatasetKind) -> Self {
        let small = Self {
            method: Method::PGN,
            dataset,
            data: None,
            resize: None,
            crop: None,
            class_index: None,
            validation_share: None,
            adapter: "auto".to_string(),
            tune: Tune::Quick,
            precision: Precision::F32,
            network: Network::default(),
            width: 0.125,
            normalise: None,
            mean: None,
            std: None,
            scale: None,
            batch_size: 128,
            epochs: if dataset == DatasetKind::Digits { 80 } else { 8 },
            max_steps: None,
            keep_every: None,
            checkpoint_every: None,
            robust_every: None,
            optimiser: Optimiser::Adam,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 0.0,
            decayed: Decayed::All,
            clip_norm: None,
            schedule: Schedule::Constant,
            milestones: Vec::new(),
            warm_up: 0.0,
            label_smoothing: 0.0,
            lr: 2e-3,
            generator_lr: None,
            ema_decay: 0.99,
            ema_warmup: true,
            adv_coeff: 1.0,
            beta: None,
            replays: REPLAYS,
            awp: None,
            awp_warm_up: 0,
            c_l: 3.0,
            gradient_input: GradientInput::Log,
            without: Vec::new(),
            gradient_of: GeneratorLoss::CrossEntropy,
            generator_rounds: 1,
            fixed_radius: false,
            generator_objective: GeneratorLoss::CrossEntropy,
            generator_noise: false,
            generators: 1,
            generator_width: None,
            generator_depth: 0,
            generator_batch_norm: false,
            penalty_space: PenaltySpace::Pixel,
            update: Update::Simultaneous,
            generator_steps: 1,
            through_attack: false,
            freeze_classifier: false,
            inner: None,
            epsilon: if dataset == DatasetKind::Cifar100 { 0.02 } else { 0.1 },
            norm: Norm::L2,
            iterations: 10,
            step_size: None,
            random_start: false,
            attack_label: AttackLabel::True,
            ce_form: CeForm::SaturationFree,
            attack_mode: AttackMode::Evaluate,
            init: Init::He,
            from: None,
            augment: dataset.default_augment(),
            shuffle: true,
            seed: 0,
            changes: Vec::new(),
            kernels: None,
        };
        match preset {
            Preset::Small => small,
            Preset::Paper => Self {
                width: 1.0,
                epochs: 200,
                lr: 5e-4,
                ema_decay: 0.998,
                ema_warmup: false,
                c_l: 50.0,
                gradient_input: GradientInput::Raw,
                through_attack: true,
                attack_label: AttackLabel::Predicted,
                init: Init::Library,
                ..small
            },
        }
    }

    /// The classifier for a problem.
    ///
    /// # Errors
    /// If the images do not suit the network, or the normalisation has another number of channels.
    pub fn classifier(&self, problem: Problem) -> Result<Net, ModelError> {
        let normalisation = self.normalisation(problem.channels);
        self.network.build(Plan { problem, width: self.width, normalisation: normalisation.as_ref() })
    }

    /// What the classifier does to pixels of so many channels before its first layer.
    pub fn normalisation(&self, channels: usize) -> Option<Normalisation> {
        let [mean, deviation] = [&self.mean, &self.std].map(|given| given.as_deref().unwrap_or_default());
        Parts { published: self.normalise, mean, deviation, scale: self.scale }.normalisation(channels)
    }

    /// How the run's generator is built and moves.
    pub fn recipe(&self) -> Recipe {
        let ball = GeneratorBall { norm: self.norm, epsilon: self.epsilon };
        Recipe {
            gradient_input: self.gradient_input,
            without: self.without.clone(),
            gradient_of: self.gradient_of,
            rounds: self.generator_rounds,
            ball: self.fixed_radius.then_some(ball),
            noise: self.generator_noise,
            members: self.generators,
            width: self.generator_width,
            depth: self.generator_depth,
            batch_norm: self.generator_batch_norm,
        }
    }

    /// The generator that learns beside the classifier, for a method that has one.
    ///
    /// # Errors
    /// If it cannot make such images.
    pub fn generator(&self, problem: Problem) -> Result<Option<Generator>, ModelError> {
        let build = || Generator::of(problem, self.width, self.recipe());
        self.method.generator.then(build).transpose()
    }

    /// The data set, how it is read and how it is split.
    pub fn data_options(&self) -> DataOptions {
        DataOptions {
            kind: self.dataset,
            dir: self.data.clone(),
            validation_share: self.validation_share,
            seed: self.seed,
            class_index: self.class_index.clone(),
            folder: FolderOptions { resize: self.resize, crop: self.crop, ..FolderOptions::default() },
            ..DataOptions::default()
        }
    }

    /// How the classifier's weights follow gradients.
    pub fn rule(&self) -> Rule {
        let Self { optimiser, momentum, nesterov, weight_decay, decayed, clip_norm, .. } = *self;
        Rule { optimiser, momentum, nesterov, weight_decay, decayed, clip_norm }
    }

    /// The classifier's learning rate when `step` steps are done, before the schedule's factor.
    pub fn lr_at(&self, step: u64) -> f32 {
        let mut rates =
            self.changes.iter().filter(|change| change.step <= step).filter_map(|change| change.lr);
        rates.next_back().unwrap_or(self.lr)
    }

    /// The generator's learning rate when `step` steps are done; where it has none, the classifier's.
    pub fn generator_lr_at(&self, step: u64) -> f32 {
        let changes = self.changes.iter().filter(|change| change.step <= step);
        let own = changes.filter_map(|change| change.generator_lr).next_back();
        own.or(self.generator_lr).unwrap_or_else(|| self.lr_at(step))
    }

    /// Whether the learning rates depend on how many epochs the run has.
    pub fn depends_on_epochs(&self) -> bool {
        match self.schedule {
            Schedule::Constant => false,
            Schedule::Step => self.milestones.is_empty(),
            Schedule::Cosine | Schedule::OneCycle | Schedule::Triangle => true,
        }
    }

    /// The attack that the classifier trains against, if there is one.
    pub fn inner(&self) -> Option<AttackKind> {
        match self.method.inner {
            Inner::None | Inner::Own(_) => None,
            Inner::Fixed(kind) => Some(kind),
            Inner::Chosen => Some(self.inner.unwrap_or(AttackKind::PGD)),
        }
    }

    /// Every so many epochs, and after the last, accuracy under PGD is measured on validation images; 0 is never. Unless it is
    /// said: after each epoch, of the digits' short ones after every tenth, and never in natural training, whose epochs it would
    /// not tell apart. A classifier that does not learn is not measured.
    pub fn robust_every(&self) -> u32 {
        let usual = match self.dataset {
            _ if !self.method.perturbs() => 0,
            DatasetKind::Digits => 10,
            _ => 1,
        };
        if self.freeze_classifier { 0 } else { self.robust_every.unwrap_or(usual) }
    }

    /// That attack with the run's options.
    pub fn inner_attack(&self) -> Option<AttackOptions> {
        let usual = AttackOptions::new(self.inner()?);
        Some(AttackOptions {
            epsilon: self.epsilon,
            norm: self.norm,
            iterations: self.iterations,
            step_size: self.step_size,
            random_start: self.random_start,
            ce_form: self.ce_form,
            seed: self.seed,
            ..usual
        })
    }

    /// Whether the classifier's gradient flows back through the attack.
    pub fn learns_through_attack(&self) -> bool {
        self.through_attack && self.method.reads("through-attack") && !self.attacks_by_signs()
    }

    /// Whether the attack that the classifier learns from moves by signs of a gradient alone, as all attacks within a ball do in Linf.
    /// Then its result has no derivative by the weights.
    pub fn attacks_by_signs(&self) -> bool {
        let by_signs = self.inner().is_none_or(|kind| kind.goal == Goal::Ball);
        self.norm == Norm::Linf && !self.method.generator && by_signs
    }

    /// The γ of adversarial weight perturbation, if the run has it.
    pub fn awp_gamma(&self) -> Option<f32> {
        self.awp.and_then(|gamma| gamma.value(self.method.awp)).filter(|_| !self.freeze_classifier)
    }

    /// The same in an epoch, counted from 0: 0 before it begins.
    pub fn awp_gamma_in(&self, epoch: u32) -> Option<f32> {
        self.awp_gamma().map(|gamma| if epoch < self.awp_warm_up { 0.0 } else { gamma })
    }

    /// The ball that images are attacked within: that of the inner attack, of steps of the defense's own, or of a generator.
    pub fn trained_ball(&self) -> Option<Radius> {
        let own = Radius { norm: self.norm, epsilon: self.epsilon };
        match self.method.inner {
            _ if self.method.generator => self.fixed_radius.then_some(own),
            Inner::Own(options) => options.contains(&"epsilon").then_some(own),
            _ => self.inner_attack().and_then(|attack| attack.ball()),
        }
    }

    /// How the run's defense is called in tables: `PGD`, or the attack's title for one that takes any.
    pub fn title(&self) -> &'static str {
        match self.method.inner {
            Inner::Chosen => self.inner().map_or(self.method.title, |kind| kind.title),
            Inner::None | Inner::Fixed(_) | Inner::Own(_) => self.method.title,
        }
    }
}
