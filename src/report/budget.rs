//! How hard an attack searched, in words: a curve or a number says little without it, and two compare only at the same
//! budget.

use crate::attacks::{AttackKind, AttackOptions};
use serde_json::{Map, Value};

/// Options that decide no result, or that curves name in another place.
const NO_BUDGET: [&str; 2] = ["kind", "batch-size"];

/// The options of an attack that its kind looks at.
fn own(kind: AttackKind) -> &'static [&'static str] {
    match kind {
        AttackKind::Fgm => &["epsilon", "norm", "ce-form"],
        AttackKind::Pgd => {
            &["epsilon", "norm", "iterations", "step-size", "restarts", "random-start", "ce-form"]
        }
        AttackKind::Mim => &["epsilon", "norm", "iterations", "step-size", "decay", "ce-form"],
        AttackKind::DeepFool => &["iterations", "candidates", "overshoot"],
        AttackKind::Cw => {
            &["search-steps", "iterations", "learning-rate", "initial-c", "confidence", "abort-early"]
        }
        AttackKind::Pgn => &["radius"],
    }
}

/// `iterations 100, candidates 10, overshoot 0.02`.
pub fn text(options: &AttackOptions) -> String {
    let fields = fields(options);
    let names = own(options.kind).iter().filter(|name| fields.contains_key(**name));
    words(names.copied(), &fields)
}

/// The same without the radius, where a figure goes through radii.
pub fn at_any_radius(options: &AttackOptions) -> String {
    let fields = fields(options);
    let names = own(options.kind).iter().filter(|name| !["epsilon", "radius"].contains(*name));
    words(names.filter(|name| fields.contains_key(**name)).copied(), &fields)
}

/// For each of several attacks of one kind, what distinguishes it from the others; empty where nothing does.
pub fn differences(all: &[&AttackOptions]) -> Vec<String> {
    let fields: Vec<Map<String, Value>> = all.iter().map(|options| fields(options)).collect();
    let differs = |name: &&String| fields.iter().any(|own| own.get(*name) != fields[0].get(*name));
    let names: Vec<&String> = match fields.first() {
        Some(first) => {
            first.keys().filter(|name| !NO_BUDGET.contains(&name.as_str())).filter(differs).collect()
        }
        None => Vec::new(),
    };
    fields.iter().map(|own| words(names.iter().map(|name| name.as_str()), own)).collect()
}

/// Through the text, so that numbers of 32 bits read as they were given.
fn fields(options: &AttackOptions) -> Map<String, Value> {
    let text = serde_json::to_string(options).expect("options are plain values");
    serde_json::from_str(&text).expect("options are an object")
}

fn words<'a>(names: impl Iterator<Item = &'a str>, fields: &Map<String, Value>) -> String {
    let word = |name: &str| {
        let value = match fields.get(name) {
            None | Some(Value::Null) => "usual".to_string(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_string(),
            Some(other) => other.to_string(),
        };
        format!("{} {value}", name.replace('-', " "))
    };
    names.map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_names_what_the_attack_looks_at() {
        assert_eq!(
            text(&AttackOptions::new(AttackKind::DeepFool)),
            "iterations 100, candidates 10, overshoot 0.02"
        );
        let cw = text(&AttackOptions::new(AttackKind::Cw));
        assert!(cw.contains("search steps 5, iterations 100, learning rate 0.005, initial c 0.01"), "{cw}");
        assert!(!text(&AttackOptions::new(AttackKind::Fgm)).contains("iterations"));
    }

    #[test]
    fn attacks_differ_in_whatever_option_differs() {
        let usual = AttackOptions::new(AttackKind::Cw);
        let short = AttackOptions { iterations: 30, abort_early: false, ..usual.clone() };
        let other_batch = AttackOptions { batch_size: 1, ..usual.clone() };
        assert_eq!(differences(&[&usual, &other_batch]), ["", ""]);
        assert_eq!(
            differences(&[&usual, &short]),
            ["abort early yes, iterations 100", "abort early no, iterations 30"]
        );
    }
}
