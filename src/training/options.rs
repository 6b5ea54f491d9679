//! Training options as they are given: every one optional, the same struct for flags and for `--config`
//! files. A file's options are laid over a preset, flags over the file. Each says in one place what it is called, what
//! it does, which values it takes, and where it has an effect.

use super::TrainError;
use super::config::{
    AttackLabel, AttackMode, GeneratorInput, GeneratorLoss, GradientInput, PenaltySpace, Preset, RateChange,
    TrainConfig, Update,
};
use super::defenses::Method;
use super::defenses::awp::Gamma;
use super::effects::{self, Effect};
use super::optimiser::{Decayed, Optimiser};
use super::run::LARGEST_CONFIG;
use super::schedule::Schedule;
use super::toml_text::from_toml;
use crate::attacks::length;
use crate::attacks::options::LINF_EPSILON;
use crate::attacks::{AttackKind, AttackOptions, CeForm, Goal, Norm};
use crate::data::{Augment, DatasetKind, Resize, Size};
use crate::files;
use crate::gpu::tuning::{KernelChoices, Tune};
use crate::nn::{Init, Network, Published};
use crate::program::precision::Precision;
use serde::Deserialize;
use std::path::{Path, PathBuf};
#[cfg(feature = "command-line")]
use {
    crate::command_line::names::{attacks, methods, networks},
    crate::numbers::{above, number},
    crate::pgn::recipe::{MOST_DEPTH, MOST_MEMBERS, MOST_ROUNDS},
};

/// The classifier's learning rate under SGD unless another is given, as this field uses it on CIFAR.
const SGD_LR: f32 = 0.1;

macro_rules! options {
    ($($(#[doc = $doc:tt])* $(#[arg $flag:tt])* $(#[serde $serde:tt])* $field:ident: $kind:ty => $target:ident, $effect:ident;)*) => {
        /// Every option but the preset and what files alone have: its field, and where it has an effect.
        pub const EFFECTS: &[(&str, Effect)] = &[$((stringify!($target), effects::$effect)),*];

        /// Options of a training run; what is absent keeps its default.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[cfg_attr(feature = "command-line", derive(clap::Args))]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub struct TrainOptions {
            /// What other options default to; theirs are given here for small [default: small]
            #[cfg_attr(feature = "command-line", arg(long))]
            pub preset: Option<Preset>,
            /// What a run has chosen by measurement; in files only.
            #[cfg_attr(feature = "command-line", arg(skip))]
            pub kernels: Option<KernelChoices>,
            /// What resumed sessions have changed; in files only.
            #[cfg_attr(feature = "command-line", arg(skip))]
            pub changes: Option<Vec<RateChange>>,
            $(
                $(#[doc = $doc])*
                $(#[serde $serde])*
                $(#[cfg_attr(feature = "command-line", arg $flag)])*
                #[cfg_attr(feature = "command-line", arg(long, allow_negative_numbers = true))]
                pub $field: Option<$kind>,
            )*
        }

        impl TrainOptions {
            /// Lays these options over `config`.
            pub fn apply(&self, config: &mut TrainConfig) {
                if self.kernels.is_some() {
                    config.kernels.clone_from(&self.kernels);
                }
                if let Some(changes) = &self.changes {
                    config.changes.clone_from(changes);
                }
                $(if let Some(value) = &self.$field {
                    config.$target = Wanted::from(value.clone()).into();
                })*
            }

            /// The flags that are given, for messages.
            pub fn given(&self) -> Vec<&'static str> {
                let mut given = Vec::new();
                if self.preset.is_some() {
                    given.push("preset");
                }
                $(if self.$field.is_some() { given.push(stringify!($field)); })*
                given
            }
        }
    };
}

/// A value that goes into a field of its own type or an optional one.
struct Wanted<T>(T);

impl<T> From<T> for Wanted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

macro_rules! into_fields {
    (plain: $($plain:ty),*; optional: $($optional:ty),*) => {
        $(impl From<Wanted<$plain>> for $plain {
            fn from(wanted: Wanted<$plain>) -> Self { wanted.0 }
        })*
        $(impl From<Wanted<$optional>> for Option<$optional> {
            fn from(wanted: Wanted<$optional>) -> Self { Some(wanted.0) }
        })*
    };
}
impl From<Wanted<Vec<GeneratorInput>>> for Vec<GeneratorInput> {
    /// In one order, so that the same inputs are the same configuration.
    fn from(wanted: Wanted<Self>) -> Self {
        let mut inputs = wanted.0;
        inputs.sort();
        inputs.dedup();
        inputs
    }
}
into_fields! {
    plain: Network, Optimiser, Decayed, Schedule, AttackMode, Method, DatasetKind, String, f32, usize, u32, bool, GradientInput, GeneratorLoss, PenaltySpace, Update, Init, Augment, u64, Norm, AttackLabel,
        CeForm, Tune, Precision, Vec<u32>;
    optional: AttackKind, Gamma, Resize, Size, Published, Vec<f32>, PathBuf, f32, usize, u32, u64
}

options! {
    /// How the classifier is defended [default: pgn]
    #[arg(value_parser = methods(), visible_alias = "defense")]
    method: Method => method, always;
    /// The data set [default: digits, which are embedded]
    dataset: DatasetKind => dataset, always;
    /// Folder (or .tar.gz) of the data set
    #[arg(value_name = "DIR")]
    data: PathBuf => data, always;
    /// Resize the images of a folder: their shorter side to SIDE, or both sides to a height and a width [default: 32]
    #[arg(value_name = "SIDE|HxW")]
    resize: Resize => resize, always;
    /// Cut a square of SIDE, or a height and a width, out of the middle of a folder's images, after --resize
    #[arg(value_name = "SIDE|HxW")]
    crop: Size => crop, always;
    /// File that names the classes in their order and says which folder is which: a class index in JSON, or lines of a folder
    /// and a name
    #[arg(value_name = "FILE")]
    class_index: PathBuf => class_index, always;
    /// Share of the training images held out to choose the best epoch [default: 0.1; digits have a fixed split]
    #[arg(value_parser = number(0.0..=0.5_f32))]
    validation_share: f32 => validation_share, always;
    /// auto (a GPU, else the CPU path), discrete, integrated, software, cpu, a number or part of a name from
    /// `pgn-wgpu adapters` [default: auto]
    adapter: String => adapter, always;
    /// How much is measured to choose the forms of kernels [default: quick]
    tune: Tune => tune, shaders;
    /// How numbers are stored on the adapter [default: f32]
    precision: Precision => precision, always;
    /// The classifier's architecture [default: all-convolutional, the paper's]
    #[arg(value_parser = networks())]
    network: Network => network, always;
    /// Width multiplier of both networks, 1 is the paper's [default: 0.125]
    #[arg(value_parser = number(0.03125..=4.0_f32))]
    width: f32 => width, always;
    /// Normalise pixels by the published mean and standard deviation of this data set
    #[arg(value_name = "DATASET")]
    normalise: Published => normalise, always;
    /// What the network subtracts from each channel before its first layer, pixels being in [0, 1] [default: nothing]
    #[arg(value_delimiter = ',', value_name = "NUMBERS", value_parser = number(-1e6..=1e6_f32))]
    mean: Vec<f32> => mean, always;
    /// What the network divides each channel by after that [default: 1]
    #[arg(value_delimiter = ',', value_name = "NUMBERS", value_parser = above(0.0, Some(1e6_f32)))]
    std: Vec<f32> => std, always;
    /// The largest pixel that the network takes, such as 255; for one that --from names [default: 1]
    #[arg(value_name = "NUMBER", value_parser = above(0.0, Some(1e6_f32)))]
    scale: f32 => scale, always;
    /// Images per step [default: 128]
    #[arg(value_parser = number(1..=65_536_usize))]
    batch_size: usize => batch_size, always;
    /// Passes over the training images [default: 80 for digits, 8 for others]
    #[arg(value_parser = number(1..=100_000_u32))]
    epochs: u32 => epochs, always;
    /// End after this many steps; --schedule goes over those of --epochs all the same
    #[arg(value_parser = number(1_u64..))]
    max_steps: u64 => max_steps, always;
    /// Keep the networks of every so many epochs, as checkpoints/epoch-0001.safetensors and so on
    #[arg(value_name = "EPOCHS")]
    #[arg(value_parser = number(1_u32..))]
    keep_every: u32 => keep_every, always;
    /// Write a checkpoint every so many steps [default: every 10 s at the end of an epoch, and every 5 min within one]
    #[arg(value_name = "STEPS", value_parser = number(1_u64..))]
    checkpoint_every: u64 => checkpoint_every, always;
    /// Measure accuracy under PGD with 10 iterations on 200 validation images every so many epochs and after the last, and keep
    /// the best networks as checkpoints/best-robust.safetensors; 0 is never [default: 1; 10 for digits; 0 with --method natural]
    #[arg(value_name = "EPOCHS", value_parser = number(0_u32..))]
    robust_every: u32 => robust_every, learning_classifier;
    /// How the classifier's weights follow gradients; the generator always learns by Adam [default: adam]
    optimiser: Optimiser => optimiser, learning_classifier;
    /// Momentum of --optimiser sgd [default: 0.9]
    #[arg(value_parser = number(0.0..1.0_f32))]
    momentum: f32 => momentum, sgd;
    /// Nesterov's form of that momentum [default: true]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    nesterov: bool => nesterov, sgd;
    /// Weight decay of the classifier; 5e-4 is usual with --optimiser sgd [default: 0]
    #[arg(value_parser = number(0.0..1.0_f32))]
    weight_decay: f32 => weight_decay, learning_classifier;
    /// Which of the classifier's weights decay [default: all]
    decayed: Decayed => decayed, decay;
    /// Scale gradients of the classifier's weights down to this L2 norm where they are longer [default: never]
    #[arg(value_parser = above(0.0, None::<f32>))]
    clip_norm: f32 => clip_norm, learning_classifier;
    /// How the learning rates change over the steps of --epochs [default: constant]
    schedule: Schedule => schedule, always;
    /// Epochs after which --schedule step goes on with a tenth of the learning rates, such as 75,90 [default: half and three
    /// quarters of --epochs]
    #[arg(value_delimiter = ',', value_name = "EPOCHS", value_parser = number(1..=100_000_u32))]
    milestones: Vec<u32> => milestones, steps_down;
    /// Epochs over which the learning rates rise to what the schedule says [default: 0]
    #[arg(value_parser = number(0.0_f32..))]
    warm_up: f32 => warm_up, always;
    /// Share of the label's weight that all classes get in what the classifier learns from [default: 0]
    #[arg(value_parser = number(0.0..1.0_f32))]
    label_smoothing: f32 => label_smoothing, learning_classifier;
    /// The classifier's learning rate [default: 0.002; 0.1 with --optimiser sgd]
    #[arg(value_parser = above(0.0, Some(10.0_f32)))]
    lr: f32 => lr, classifier_lr;
    /// The generator's learning rate [default: that of the classifier; 0.002 beside --optimiser sgd]
    #[arg(value_parser = above(0.0, Some(10.0_f32)))]
    generator_lr: f32 => generator_lr, defense;
    /// Decay of the moving average of the classifier's weights [default: 0.99]
    #[arg(value_parser = number(0.0..1.0_f32))]
    ema_decay: f32 => ema_decay, learning_classifier;
    /// Whether the decay starts at (1 + t) / (10 + t) [default: true]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    ema_warmup: bool => ema_warmup, averaged;
    /// Weight of the adversarial term; the clean term has the rest [default: 1]
    #[arg(value_parser = above(0.0, Some(1.0_f32)))]
    adv_coeff: f32 => adv_coeff, learned_defense;
    /// Weight of the divergence between predictions on clean and on attacked images [default: 6 for trades, 5 for mart]
    #[arg(value_parser = number(0.0_f32..))]
    beta: f32 => beta, learned_defense;
    /// Times that each batch is learned from; an epoch takes that much longer [default: 8]
    #[arg(value_parser = number(1..=100_u32))]
    replays: u32 => replays, learned_defense;
    /// Learn at weights that are moved up the loss by this share of their length (AWP) [default: 0; without a number 0.005 for
    /// trades and 0.01 for others]
    #[arg(num_args = 0..=1, default_missing_value = "usual", value_name = "GAMMA")]
    awp: Gamma => awp, learning_classifier;
    /// Epochs before --awp begins [default: 0; 9 for trades with --preset paper]
    #[arg(value_name = "EPOCHS", value_parser = number(0..=100_000_u32))]
    awp_warm_up: u32 => awp_warm_up, perturbed_weights;
    /// Weight of the penalty on the squared perturbation [default: 3]
    #[arg(value_parser = number(0.0_f32..))]
    c_l: f32 => c_l, priced;
    /// What the generator sees of the classifier's gradient [default: log; rms with --gradient-of dlr]
    gradient_input: GradientInput => gradient_input, seen_gradient;
    /// Inputs that the generator is to do without, zeros take their place [default: none]
    #[arg(value_delimiter = ',', value_name = "INPUT")]
    without: Vec<GeneratorInput> => without, defense;
    /// The loss of the classifier whose gradient the generator sees [default: cross-entropy]
    gradient_of: GeneratorLoss => gradient_of, seen_gradient;
    /// Apply the generator so many times, each time with the gradient at the image that it has made [default: 1]
    #[arg(value_name = "ROUNDS", value_parser = number(1..=MOST_ROUNDS))]
    generator_rounds: u32 => generator_rounds, defense;
    /// Scale every perturbation of the generator to --epsilon in --norm, instead of charging for its length [default: false]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    fixed_radius: bool => fixed_radius, defense;
    /// The loss of the classifier that the generator raises [default: cross-entropy]
    generator_objective: GeneratorLoss => generator_objective, defense;
    /// Give the generator an image of random numbers beside the gradient [default: false]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    generator_noise: bool => generator_noise, defense;
    /// Train so many generators, which share each batch [default: 1]
    #[arg(value_name = "NUMBER", value_parser = number(1..=MOST_MEMBERS))]
    generators: u32 => generators, defense;
    /// Width multiplier of the generator [default: that of --width]
    #[arg(value_parser = number(0.03125..=4.0_f32))]
    generator_width: f32 => generator_width, defense;
    /// Give the generator so many more 3x3 layers before its last [default: 0]
    #[arg(value_name = "LAYERS", value_parser = number(0..=MOST_DEPTH))]
    generator_depth: u32 => generator_depth, defense;
    /// Normalise the generator's hidden images by their batch [default: false]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    generator_batch_norm: bool => generator_batch_norm, defense;
    /// Where the penalty is charged [default: pixel]
    penalty_space: PenaltySpace => penalty_space, penalised;
    /// In which order the networks move [default: simultaneous]
    update: Update => update, learned_defense;
    /// Generator steps per classifier step [default: 1]
    #[arg(value_parser = number(1..=100_u32))]
    generator_steps: u32 => generator_steps, learned_defense;
    /// Let the classifier's gradient flow back through the attack, as the paper's library does [default: false]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    through_attack: bool => through_attack, through_attack;
    /// Let only the generator learn, against the classifier as it is [default: false]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    freeze_classifier: bool => freeze_classifier, defense;
    /// The attack of --method adversarial; apgd-t and fab-t lead images to the likeliest wrong class alone [default: pgd]
    #[arg(value_parser = attacks())]
    inner: AttackKind => inner, defense;
    /// Radius of the attack that is trained against, pixels being in [0, 1]: a number or a fraction such as 8/255 [default: 0.1 in l2, 0.02
    /// for cifar100; 8/255 in linf]
    #[arg(value_parser = length::parse)]
    #[serde(default, deserialize_with = "length::deserialize")]
    epsilon: f32 => epsilon, radius;
    /// Norm of that radius [default: l2]
    norm: Norm => norm, radius;
    /// Iterations of that attack [default: 10; that of `attack` for one that has no radius]
    #[arg(value_parser = number(1..=100_usize))]
    iterations: usize => iterations, inner_attack;
    /// Step of that attack, as epsilon is given [default: its own rule; 2.5 epsilon / iterations for pgd]
    #[arg(value_parser = length::parse)]
    #[serde(default, deserialize_with = "length::deserialize")]
    step_size: f32 => step_size, inner_attack;
    /// Start that attack at a random point: of the sphere in l2, of the whole ball in linf [default: false]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    random_start: bool => random_start, inner_attack;
    /// Which class that attack moves images away from [default: true]
    attack_label: AttackLabel => attack_label, unrolled_attack;
    /// Which gradient that attack follows [default: saturation-free]
    ce_form: CeForm => ce_form, inner_attack;
    /// With which statistics batch normalisation computes while an image is attacked [default: evaluate]
    attack_mode: AttackMode => attack_mode, attacked_statistics;
    /// Scale of the initial weights [default: he]
    init: Init => init, initial_weights;
    /// Start from the weights of this file
    #[arg(value_name = "FILE")]
    from: PathBuf => from, always;
    /// Flips and crops [default: crop for digits and mnist, flip-and-crop for others]
    augment: Augment => augment, always;
    /// Whether the order of the images changes every epoch [default: true]
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    shuffle: bool => shuffle, always;
    /// Seed of everything random [default: 0]
    #[arg(value_parser = number(0_u64..))]
    seed: u64 => seed, always;
}

impl TrainOptions {
    /// The keys that are given, as in files.
    pub fn keys(&self) -> Vec<String> {
        self.given().into_iter().map(effects::key).collect()
    }

    /// Reads a `--config` file.
    pub fn from_file(path: &Path) -> Result<Self, TrainError> {
        from_toml(&String::from_utf8_lossy(&files::read_at_most(path, LARGEST_CONFIG)?), path)
    }

    /// The complete configuration: a preset, then `file`, then these flags.
    pub fn resolve(&self, file: &Self) -> TrainConfig {
        let preset = self.preset.or(file.preset).unwrap_or(Preset::Small);
        let dataset = self.dataset.or(file.dataset).unwrap_or_default();
        let method = self.method.or(file.method).unwrap_or(Method::PGN);
        let usual = TrainConfig::defaults(preset, method, dataset);
        let mut config = usual.clone();
        file.apply(&mut config);
        self.apply(&mut config);
        self.follow_the_radius(file, &usual, &mut config);
        self.follow_the_optimiser(file, &usual, &mut config);
        self.follow_the_loss(file, &mut config);
        // AWP moves weights that the attack was made on, so no gradient goes through it. A frozen classifier gains
        // nothing from it, and with several rounds it would change what the generator learns.
        if (config.awp_gamma().is_some() || config.freeze_classifier)
            && self.through_attack.or(file.through_attack).is_none()
        {
            config.through_attack = false;
        }
        if config.awp_gamma().is_none() && self.awp_warm_up.or(file.awp_warm_up).is_none() {
            config.awp_warm_up = 0;
        }
        if let Some(kind) = config.inner().filter(|kind| kind.goal != Goal::Ball)
            && self.iterations.or(file.iterations).is_none()
        {
            config.iterations = AttackOptions::new(kind).iterations;
        }
        config
    }

    /// In another norm than that of `usual` the usual radius is another one. A usual step goes with the usual radius.
    fn follow_the_radius(&self, file: &Self, usual: &TrainConfig, config: &mut TrainConfig) {
        if config.norm != usual.norm && self.epsilon.or(file.epsilon).is_none() {
            config.epsilon = match config.norm {
                Norm::Linf => LINF_EPSILON,
                Norm::L2 => TrainConfig::preset(Preset::Small, config.dataset).epsilon,
            };
        }
        let same = (config.norm, config.epsilon) == (usual.norm, usual.epsilon);
        if !same && self.step_size.or(file.step_size).is_none() {
            config.step_size = None;
        }
    }

    /// With another optimiser than that of `usual` the usual rate is another one. Generators learn by Adam.
    fn follow_the_optimiser(&self, file: &Self, usual: &TrainConfig, config: &mut TrainConfig) {
        let adam = match usual.optimiser {
            Optimiser::Sgd => TrainConfig::preset(Preset::Small, config.dataset).lr,
            Optimiser::Adam | Optimiser::AdamW => usual.lr,
        };
        let is_sgd = config.optimiser == Optimiser::Sgd;
        if is_sgd {
            config.generator_lr = config.generator_lr.or((config.method.generator).then_some(adam));
        }
        if is_sgd != (usual.optimiser == Optimiser::Sgd) && self.lr.or(file.lr).is_none() {
            config.lr = if is_sgd { SGD_LR } else { adam };
        }
    }

    /// The length of DLR's gradient says how far the logits lie apart, so a generator learns nothing from it
    /// (docs/variants.md). Neither that loss nor the margin has a probability, which `raw` needs.
    fn follow_the_loss(&self, file: &Self, config: &mut TrainConfig) {
        if self.gradient_input.or(file.gradient_input).is_some() {
            return;
        }
        match config.gradient_of {
            GeneratorLoss::Dlr => config.gradient_input = GradientInput::Rms,
            GeneratorLoss::Margin => config.gradient_input = GradientInput::Log,
            GeneratorLoss::CrossEntropy => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_preset() {
        let file: TrainOptions = toml::from_str("width = 0.5\nc-l = 7.0\npreset = \"paper\"").unwrap();
        let flags = TrainOptions { c_l: Some(9.0), ..Default::default() };
        let config = flags.resolve(&file);
        assert_eq!((config.width, config.c_l, config.epochs), (0.5, 9.0, 200));
    }

    #[test]
    fn a_resolved_configuration_read_as_a_file_resolves_to_itself() {
        let flags = TrainOptions { max_steps: Some(3), from: Some("a".into()), ..Default::default() };
        let config = flags.resolve(&TrainOptions::default());
        let text = toml::to_string(&config).unwrap();
        let again: TrainOptions = toml::from_str(&text).unwrap();
        assert_eq!(TrainOptions::default().resolve(&again), config);
    }

    #[test]
    fn a_length_is_a_number_or_a_fraction_and_its_default_follows_the_norm() {
        let resolve = |text: &str| TrainOptions::default().resolve(&toml::from_str(text).unwrap());
        assert_eq!(resolve("epsilon = \"8/255\"\nnorm = \"linf\"").epsilon, 8.0 / 255.0);
        assert_eq!(resolve("step-size = \"2/255\"").step_size, Some(2.0 / 255.0));
        assert_eq!(resolve("norm = \"linf\"").epsilon, 8.0 / 255.0);
        assert_eq!([resolve("").epsilon, resolve("dataset = \"cifar100\"").epsilon], [0.1, 0.02]);
        let flags = TrainOptions { norm: Some(Norm::Linf), ..Default::default() };
        let file = toml::from_str("epsilon = 0.3").unwrap();
        assert_eq!(flags.resolve(&file).epsilon, 0.3, "what is given stays");
    }

    #[test]
    fn what_the_generator_sees_of_a_gradient_follows_the_loss_unless_it_is_given() {
        let seen =
            |text: &str| TrainOptions::default().resolve(&toml::from_str(text).unwrap()).gradient_input;
        assert_eq!(seen("gradient-of = \"dlr\""), GradientInput::Rms);
        assert_eq!(seen("gradient-of = \"dlr\"\ngradient-input = \"log\""), GradientInput::Log);
        assert_eq!(seen("preset = \"paper\""), GradientInput::Raw);
        assert_eq!(seen("preset = \"paper\"\ngradient-of = \"margin\""), GradientInput::Log);
        assert_eq!(seen("preset = \"paper\"\ngradient-of = \"dlr\""), GradientInput::Rms);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "wdith = 1.0").unwrap();
        let error = TrainOptions::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("c.toml") && error.contains("wdith") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn inputs_to_do_without_are_a_set() {
        let read = |text: &str| TrainOptions::default().resolve(&toml::from_str(text).unwrap());
        let config = read("without = [\"label\", \"gradient\", \"label\"]");
        assert_eq!(config.without, [GeneratorInput::Gradient, GeneratorInput::Label]);
        assert_eq!(read("without = []"), read(""));
    }
}
