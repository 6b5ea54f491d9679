//! Which configurations are refused, each value with one sentence: its flag, what it is, and what it must be.

use super::config::{GeneratorLoss, GradientInput, TrainConfig};
use super::defenses::awp;
use crate::attacks::{Goal, length};
use crate::pgn::recipe::{MOST_DEPTH, MOST_MEMBERS, MOST_ROUNDS};
use std::borrow::Cow;

/// A value of a configuration that cannot be.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("`{name}` {value} is not possible; it must be {range}")]
pub struct ConfigError {
    name: &'static str,
    value: String,
    range: Cow<'static, str>,
}

fn error(name: &'static str, value: String, range: &'static str) -> Result<(), ConfigError> {
    Err(ConfigError { name, value, range: range.into() })
}

fn positive(v: f32) -> bool {
    v.is_finite() && v > 0.0
}

impl TrainConfig {
    /// Refuses zero and absurd values with one sentence.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_images()?;
        self.check_length_of_run()?;
        self.check_optimiser()?;
        self.check_weights()?;
        self.check_defense()?;
        self.check_inner()?;
        self.check_lengths(None)?;
        if !(1..=100).contains(&self.iterations) {
            return error("iterations", self.iterations.to_string(), "from 1 to 100 in training");
        }
        if let Some(step) = self.step_size.filter(|step| !positive(*step)) {
            return error("step-size", step.to_string(), "a finite number above 0");
        }
        self.check_generator()
    }

    /// Refuses generators that cannot be.
    fn check_generator(&self) -> Result<(), ConfigError> {
        if self.generator_steps == 0 || self.generator_steps > 100 {
            return error("generator-steps", self.generator_steps.to_string(), "from 1 to 100");
        }
        if !(1..=MOST_ROUNDS).contains(&self.generator_rounds) {
            return error("generator-rounds", self.generator_rounds.to_string(), "from 1 to 20");
        }
        if !(1..=MOST_MEMBERS).contains(&self.generators) {
            return error("generators", self.generators.to_string(), "from 1 to 8");
        }
        if self.generators as usize > self.batch_size {
            let range = "at most `batch-size`, of which each generator gets a share";
            return error("generators", self.generators.to_string(), range);
        }
        if self.generator_depth > MOST_DEPTH {
            return error("generator-depth", self.generator_depth.to_string(), "from 0 to 16");
        }
        if let Some(width) = self.generator_width.filter(|width| !(0.031_25..=4.0).contains(width)) {
            return error("generator-width", width.to_string(), "from 0.03125 to 4");
        }
        if self.gradient_input == GradientInput::Raw && self.gradient_of != GeneratorLoss::CrossEntropy {
            let range = "log, rms or l2 with `gradient-of` margin or dlr, which have no probability whose gradient it could be";
            return error("gradient-input", "raw".to_string(), range);
        }
        Ok(())
    }

    /// Refuses losses that are not defined for so many classes, and an inner attack that needs more.
    pub fn check_classes(&self, classes: usize) -> Result<(), ConfigError> {
        let losses = [("generator-objective", self.generator_objective), ("gradient-of", self.gradient_of)];
        for (name, raised) in losses {
            if raised.classes() > classes {
                let value = format!("dlr for {classes} classes");
                return error(name, value, "cross-entropy or margin, because dlr compares three classes");
            }
        }
        if let Some(kind) = self.inner().filter(|kind| kind.classes > classes) {
            let range = format!("an attack for {classes} classes, because {kind} needs {}", kind.classes);
            return Err(ConfigError { name: "inner", value: kind.to_string(), range: range.into() });
        }
        Ok(())
    }

    /// Refuses measurements on `images` validation images if there is none.
    pub fn check_validation(&self, images: usize) -> Result<(), ConfigError> {
        match self.robust_every.filter(|&every| every > 0 && images == 0) {
            Some(every) => {
                error("robust-every", every.to_string(), "0 where there are no validation images to attack")
            }
            None => Ok(()),
        }
    }

    /// Refuses batches and pixels that cannot be.
    fn check_images(&self) -> Result<(), ConfigError> {
        if self.batch_size == 0 || self.batch_size > 65_536 {
            return error("batch-size", self.batch_size.to_string(), "from 1 to 65536");
        }
        if let Some(published) = self.normalise.filter(|_| self.mean.is_some() || self.std.is_some()) {
            let value = format!("{published:?} with `mean` or `std`").to_lowercase();
            return error("normalise", value, "given alone");
        }
        if let Some(scale) = self.scale.filter(|scale| !positive(*scale)) {
            return error("scale", scale.to_string(), "a finite number above 0");
        }
        if let Some(std) = self.std.iter().flatten().find(|std| !positive(**std)) {
            return error("std", std.to_string(), "a finite number above 0 for each channel");
        }
        if let Some(mean) = self.mean.iter().flatten().find(|mean| !mean.is_finite()) {
            return error("mean", mean.to_string(), "a finite number for each channel");
        }
        Ok(())
    }

    /// Refuses widths, and numbers of epochs and steps.
    fn check_length_of_run(&self) -> Result<(), ConfigError> {
        if self.epochs == 0 || self.epochs > 100_000 {
            return error("epochs", self.epochs.to_string(), "from 1 to 100000");
        }
        if !(0.031_25..=4.0).contains(&self.width) {
            return error("width", self.width.to_string(), "from 0.03125 to 4");
        }
        if let Some(share) = self.validation_share.filter(|share| !(0.0..=0.5).contains(share)) {
            return error("validation-share", share.to_string(), "from 0 to 0.5");
        }
        if self.keep_every == Some(0) {
            return error("keep-every", "0".to_string(), "at least 1");
        }
        if self.checkpoint_every == Some(0) {
            return error("checkpoint-every", "0".to_string(), "at least 1");
        }
        if self.milestones.contains(&0) {
            return error("milestones", "0".to_string(), "epochs from 1 on");
        }
        if self.max_steps == Some(0) {
            return error("max-steps", "0".to_string(), "at least 1");
        }
        Ok(())
    }

    /// Refuses what the networks cannot follow gradients by.
    fn check_optimiser(&self) -> Result<(), ConfigError> {
        let changed =
            self.changes.iter().flat_map(|change| [("lr", change.lr), ("generator-lr", change.generator_lr)]);
        let rates = [("lr", Some(self.lr)), ("generator-lr", self.generator_lr)].into_iter().chain(changed);
        for (name, lr) in rates.filter_map(|(name, lr)| Some((name, lr?))) {
            if !positive(lr) || lr > 10.0 {
                return error(name, lr.to_string(), "above 0 and at most 10");
            }
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return error("momentum", self.momentum.to_string(), "from 0 to below 1");
        }
        if !(0.0..1.0).contains(&self.weight_decay) {
            return error("weight-decay", self.weight_decay.to_string(), "from 0 to below 1");
        }
        if let Some(norm) = self.clip_norm.filter(|norm| !positive(*norm)) {
            return error("clip-norm", norm.to_string(), "a finite number above 0");
        }
        if !(0.0..=self.epochs as f32).contains(&self.warm_up) {
            return error("warm-up", self.warm_up.to_string(), "from 0 to the number of epochs");
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return error("label-smoothing", self.label_smoothing.to_string(), "from 0 to below 1");
        }
        if !(0.0..1.0).contains(&self.ema_decay) {
            return error("ema-decay", self.ema_decay.to_string(), "from 0 to below 1");
        }
        Ok(())
    }

    /// Refuses weights of the objective, and a classifier that stays as it is without a generator.
    fn check_weights(&self) -> Result<(), ConfigError> {
        if !positive(self.adv_coeff) || self.adv_coeff > 1.0 {
            let range = "above 0 and at most 1; for clean images only, use `method` natural";
            return error("adv-coeff", self.adv_coeff.to_string(), range);
        }
        if !self.c_l.is_finite() || self.c_l < 0.0 {
            return error("c-l", self.c_l.to_string(), "a finite number from 0 on");
        }
        if self.freeze_classifier && !self.method.generator {
            return error(
                "freeze-classifier",
                format!("with `method` {}", self.method.name()),
                "used with `method` pgn",
            );
        }
        Ok(())
    }

    /// Refuses settings of single defenses, and of those that go with any.
    fn check_defense(&self) -> Result<(), ConfigError> {
        if let Some(beta) = self.beta.filter(|beta| !beta.is_finite() || *beta < 0.0) {
            return error("beta", beta.to_string(), "a finite number from 0 on");
        }
        if !(1..=100).contains(&self.replays) {
            return error("replays", self.replays.to_string(), "from 1 to 100");
        }
        if let Some(gamma) = self.awp.filter(|gamma| !gamma.is_possible()) {
            return error("awp", gamma.to_string(), awp::RANGE);
        }
        if self.awp_gamma().is_some() && self.awp_warm_up >= self.epochs {
            let range = "below the number of epochs, or `awp` never begins";
            return error("awp-warm-up", self.awp_warm_up.to_string(), range);
        }
        if self.awp_gamma().is_some() && self.learns_through_attack() {
            let range = "used without `through-attack`: the attack is made on weights that are not perturbed";
            return error("awp", "with `through-attack`".to_string(), range);
        }
        Ok(())
    }

    /// Refuses an inner attack that cannot be one.
    fn check_inner(&self) -> Result<(), ConfigError> {
        let Some(kind) = self.inner() else { return Ok(()) };
        let error = |name, value: &str, range: String| {
            Err(ConfigError { name, value: value.to_string(), range: range.into() })
        };
        if kind.goal == Goal::Generator {
            return error(
                "inner",
                kind.name(),
                "an attack without a generator; for one, use `method` pgn".to_string(),
            );
        }
        if kind.reads("norm") && !kind.knows(self.norm) {
            return error("norm", self.norm.flag(), format!("a norm that {kind} knows"));
        }
        Ok(())
    }

    /// Refuses an epsilon or a step beyond the box of images with `pixels` values, see [`length`]. Without a number of pixels
    /// L2 has no upper bound yet.
    pub fn check_lengths(&self, pixels: Option<usize>) -> Result<(), ConfigError> {
        for (name, length) in [("epsilon", Some(self.epsilon)), ("step-size", self.step_size)] {
            let Some(length) = length else { continue };
            if let Err(range) = length::possible(length, self.norm, pixels) {
                return Err(ConfigError { name, value: length.to_string(), range: range.into() });
            }
        }
        Ok(())
    }
}
