//! Flags of the attacks, shared by `attack` and `evaluate`; what is not given keeps the default of the paper's
//! evaluation. Which attack each belongs to stands in `effects.rs`.

use pgn_wgpu::attacks::direction::CeForm;
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Norm, length};
use pgn_wgpu::numbers::{above, number};

#[derive(clap::Args)]
pub struct AttackFlags {
    /// Norm of the radius of fgm, pgd and mim [default: l2]
    #[arg(long)]
    norm: Option<Norm>,
    /// Iterations; of cw, in each search step [default: 10 for pgd, else 100]
    #[arg(long, allow_negative_numbers = true, value_parser = number(1..=100_000_usize))]
    iterations: Option<usize>,
    /// Step of pgd and mim, as epsilon is given [default: 2.5 epsilon / iterations for pgd; for mim 0.06 in l2 and epsilon /
    /// iterations in linf]
    #[arg(long, allow_negative_numbers = true, value_parser = length::parse)]
    step_size: Option<f32>,
    /// Start pgd at a random point of the sphere
    #[arg(long)]
    random_start: bool,
    /// Decay of mim's momentum [default: 1]
    #[arg(long, allow_negative_numbers = true, value_parser = number(0.0_f32..))]
    decay: Option<f32>,
    /// Share by which deepfool's result is lengthened [default: 0.02]
    #[arg(long, allow_negative_numbers = true, value_parser = number(0.0_f32..))]
    overshoot: Option<f32>,
    /// Classes that deepfool looks at in each iteration [default: 10]
    #[arg(long, allow_negative_numbers = true, value_parser = number(2_usize..))]
    candidates: Option<usize>,
    /// Binary search steps of cw [default: 5]
    #[arg(long, allow_negative_numbers = true, value_parser = number(1..=100_usize))]
    search_steps: Option<usize>,
    /// Adam's learning rate in cw [default: 0.005]
    #[arg(long, allow_negative_numbers = true, value_parser = above(0.0_f32, None))]
    learning_rate: Option<f32>,
    /// First constant of cw's search [default: 0.01]
    #[arg(long, allow_negative_numbers = true, value_parser = above(0.0_f32, None))]
    initial_c: Option<f32>,
    /// Margin that cw asks for [default: 0]
    #[arg(long, allow_negative_numbers = true, value_parser = number(0.0_f32..))]
    confidence: Option<f32>,
    /// Let cw use all its iterations, even where its loss no longer falls
    #[arg(long)]
    no_abort: bool,
    /// Which gradient of the cross-entropy fgm, pgd and mim follow [default: saturation-free]
    #[arg(long)]
    ce_form: Option<CeForm>,
    /// Scale pgn's perturbation to this L2 norm, a number or a fraction
    #[arg(long, allow_negative_numbers = true, value_parser = length::parse)]
    radius: Option<f32>,
    /// Images at a time
    #[arg(long, default_value_t = 128, allow_negative_numbers = true, value_parser = number(1..=65_536_usize))]
    batch_size: usize,
    /// Seed of everything random
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = number(0_u64..))]
    pub seed: u64,
}

impl AttackFlags {
    /// The norm, if it is given.
    pub fn norm(&self) -> Option<Norm> {
        self.norm
    }

    /// Every attack with its options: those with a radius once for each of `epsilons`, the others once.
    pub fn attacks(&self, kinds: &[AttackKind], epsilons: &[f32]) -> Vec<AttackOptions> {
        let mut all: Vec<AttackOptions> = Vec::new();
        for &kind in kinds {
            let radii = if kind.has_radius() { epsilons } else { &epsilons[..1] };
            for options in radii.iter().map(|&epsilon| self.options(kind, epsilon)) {
                if !all.contains(&options) {
                    all.push(options);
                }
            }
        }
        all
    }

    fn options(&self, kind: AttackKind, epsilon: f32) -> AttackOptions {
        let usual = AttackOptions::new(kind);
        AttackOptions {
            kind,
            epsilon: if kind.has_radius() { epsilon } else { usual.epsilon },
            norm: self.norm.unwrap_or(usual.norm),
            iterations: self.iterations.unwrap_or(usual.iterations),
            step_size: self.step_size.or(usual.step_size),
            random_start: self.random_start,
            decay: self.decay.unwrap_or(usual.decay),
            overshoot: self.overshoot.unwrap_or(usual.overshoot),
            candidates: self.candidates.unwrap_or(usual.candidates),
            search_steps: self.search_steps.unwrap_or(usual.search_steps),
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            initial_c: self.initial_c.unwrap_or(usual.initial_c),
            confidence: self.confidence.unwrap_or(usual.confidence),
            abort_early: !self.no_abort,
            ce_form: self.ce_form.unwrap_or(usual.ce_form),
            radius: self.radius,
            batch_size: self.batch_size,
            seed: self.seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: AttackFlags,
    }

    #[test]
    fn attacks_with_a_radius_run_at_every_epsilon_and_the_others_once() {
        let flags = Line::parse_from(["line", "--iterations", "7"]).flags;
        let kinds = [AttackKind::Fgm, AttackKind::Cw, AttackKind::Fgm];
        let all = flags.attacks(&kinds, &[0.25, 0.5]);
        let plan: Vec<_> = all.iter().map(|o| (o.kind, o.epsilon, o.iterations)).collect();
        let expected = [(AttackKind::Fgm, 0.25, 7), (AttackKind::Fgm, 0.5, 7), (AttackKind::Cw, 0.5, 7)];
        assert_eq!(plan, expected);
    }

    #[test]
    fn without_flags_every_attack_has_its_own_defaults() {
        let flags = Line::parse_from(["line"]).flags;
        for kind in [AttackKind::Pgd, AttackKind::Mim, AttackKind::DeepFool, AttackKind::Pgn] {
            assert_eq!(flags.attacks(&[kind], &[0.5]), [AttackOptions::new(kind)]);
        }
    }
}
