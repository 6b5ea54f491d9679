//! How hard an attack searched, in words: a curve or a number says little without it, and two compare only at the same
//! budget.

use crate::attacks::options::Setting;
use crate::attacks::{Aim, AttackOptions};

/// The seed says nothing of how hard an attack searched, nor does a target, unless there is one.
const NO_BUDGET: &str = "seed";

fn is_budget((name, value): &(&str, Setting)) -> bool {
    *name != NO_BUDGET && *value != Setting::Aim(Aim::Away)
}

/// `iterations 100, candidates 10, overshoot 0.02`.
pub fn text(options: &AttackOptions) -> String {
    words(options.own().filter(is_budget))
}

/// The same without the radius, where a figure goes through radii.
pub fn at_any_radius(options: &AttackOptions) -> String {
    words(options.own().filter(|own| is_budget(own) && !["epsilon", "radius"].contains(&own.0)))
}

/// For each of several attacks of one kind, what distinguishes it from the others; empty where nothing does.
pub fn differences(all: &[&AttackOptions]) -> Vec<String> {
    let own: Vec<Vec<(&'static str, Setting)>> = all.iter().map(|options| options.own().collect()).collect();
    let differs = |index: usize| own.iter().any(|other| other[index] != own[0][index]);
    let of = |options: &Vec<(&'static str, Setting)>| {
        words(options.iter().enumerate().filter(|(i, _)| differs(*i)).map(|(_, option)| option.clone()))
    };
    own.iter().map(of).collect()
}

fn words(options: impl Iterator<Item = (&'static str, Setting)>) -> String {
    let all: Vec<String> =
        options.map(|(name, value)| format!("{} {value}", name.replace('-', " "))).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;

    #[test]
    fn a_budget_names_what_the_attack_looks_at() {
        assert_eq!(
            text(&AttackOptions::new(AttackKind::DEEPFOOL)),
            "iterations 100, candidates 10, overshoot 0.02"
        );
        let cw = text(&AttackOptions::new(AttackKind::CW));
        assert!(cw.contains("search steps 5, iterations 100, learning rate 0.005, initial c 0.01"), "{cw}");
        assert!(!text(&AttackOptions::new(AttackKind::FGM)).contains("iterations"));
    }

    #[test]
    fn attacks_differ_in_whatever_option_differs() {
        let usual = AttackOptions::new(AttackKind::CW);
        let short = AttackOptions { iterations: 30, abort_early: false, ..usual.clone() };
        let other_batch = AttackOptions { batch_size: 1, ..usual.clone() };
        assert_eq!(differences(&[&usual, &other_batch]), ["", ""]);
        assert_eq!(
            differences(&[&usual, &short]),
            ["iterations 100, abort early yes", "iterations 30, abort early no"]
        );
    }
}
