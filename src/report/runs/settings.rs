//! What each run was: a sentence, a row beside the other runs, and all its settings.

use super::super::page::{Block, Cell, Fact, Table};
use super::folder::decimal;
use super::{Run, verdicts};
use crate::evaluation::record::fingerprint_of_text;
use crate::gpu::tuning::KernelChoices;
use crate::training::TrainConfig;
use crate::training::effects::without_effect;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys without a column: where a run was made, and what the table says elsewhere.
const NO_COLUMN: [&str; 4] = ["adapter", "data", "method", "dataset"];
const NO_VALIDATION: &str = "There were no validation images, or no epoch has ended";
const CUT: &str =
    "`max-steps` has ended the run, and without its checkpoint nobody knows in which part of an epoch";

/// What came out, for the beginning of the page.
pub fn sentence(run: &Run) -> String {
    let method = run.config.title();
    let accuracy = run.metrics.epochs.last().and_then(|epoch| epoch.benign_accuracy);
    let accuracy = accuracy.map_or(String::new(), |accuracy| {
        format!(
            "; after the last, {:.2} % of the validation images are classified correctly",
            100.0 * accuracy
        )
    });
    format!(
        "{}: {method} training on {}, {}{accuracy}{}.",
        run.name,
        run.data_set,
        run.how_far(),
        verdicts::clause(run)
    )
}

/// The same for runs on one data set that are too many to tell of each.
pub fn sentence_of_many(runs: &[&Run]) -> String {
    let last = runs.iter().filter_map(|run| run.metrics.epochs.last()?.benign_accuracy);
    let mut accuracies: Vec<f64> = last.collect();
    accuracies.sort_by(f64::total_cmp);
    let range = match accuracies.as_slice() {
        [low, .., high] => format!(
            "; after their last epochs, from {:.2} % to {:.2} % of the validation images are classified correctly",
            100.0 * low,
            100.0 * high
        ),
        _ => String::new(),
    };
    format!("{} runs on {}{range}.", runs.len(), runs[0].data_set)
}

/// The runs beside each other, with the settings in which they differ.
pub fn table(runs: &[&Run]) -> Table {
    let settings: Vec<BTreeMap<String, String>> = runs.iter().map(|run| settings(&run.config)).collect();
    let mut differing: Vec<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    differing.sort();
    differing.dedup();
    differing.retain(|key| {
        let differs = settings.iter().any(|own| own.get(*key) != settings[0].get(*key));
        differs && !NO_COLUMN.contains(&key.as_str())
    });
    let mut head: Vec<String> = ["run", "method"].map(str::to_string).to_vec();
    head.extend(differing.iter().map(|key| (*key).clone()));
    head.extend(
        [
            "epochs done",
            "benign accuracy",
            "best benign accuracy",
            "best PGD accuracy",
            "mean ‖δ‖",
            "training time, s",
        ]
        .map(str::to_string),
    );
    let rows = runs.iter().zip(&settings).map(|(run, own)| {
        let mut row = vec![Cell::text(&run.name), Cell::text(run.config.method.name())];
        let setting = |key: &&String| match own.get(*key) {
            _ if without_effect(key, &run.config).is_some() => Cell::missing("It has no effect in this run"),
            Some(value) => Cell { text: value.clone(), value: value.parse().ok(), note: None },
            None => Cell::text("default"),
        };
        row.extend(differing.iter().map(setting));
        row.extend(results(run));
        row
    });
    Table {
        id: "runs".into(),
        title: "What was trained".into(),
        caption: "Accuracies are on the validation images, after the last epoch and at the best one; PGD, with 10 iterations, \
                  is on at most 200 of them, within the radius that each run was trained for (L2 0.5 without one): compare \
                  only runs of one radius by it; the norm is that of the \
                  training perturbations in the last epoch."
            .into(),
        head,
        rows: rows.collect(),
    }
}

fn results(run: &Run) -> [Cell; 6] {
    let percent =
        |value: f64| Cell { text: format!("{:.2} %", 100.0 * value), value: Some(value), note: None };
    let share = |value: Option<f64>| value.map_or_else(|| Cell::missing(NO_VALIDATION), percent);
    let robust = match run.metrics.robust().0 {
        Some(best) => percent(best.pgd),
        None => Cell::missing("It was not measured; train with `robust-every` 1"),
    };
    let last = run.metrics.epochs.last();
    let delta = match (run.metrics.means().last().and_then(|mean| mean.delta), run.config.method) {
        (Some(delta), _) => Cell::number(delta, 4),
        (None, method) if !method.perturbs() => Cell::missing("Natural training perturbs nothing"),
        (None, _) => Cell::missing("No step is recorded"),
    };
    let seconds = match last.map(|epoch| epoch.seconds) {
        Some(seconds) => Cell::number(seconds, 1),
        None => Cell::missing("No epoch has ended"),
    };
    let done = match run.epochs_done() {
        Some(done) => Cell { text: decimal(done), value: Some(done), note: None },
        None => Cell::missing(CUT),
    };
    let benign = share(last.and_then(|epoch| epoch.benign_accuracy));
    [done, benign, share(run.metrics.best()), robust, delta, seconds]
}

/// All settings of a run, and where and when it was trained.
pub fn block(run: &Run) -> Block {
    let mut facts: Vec<Fact> =
        settings(&run.config).into_iter().map(|(name, value)| Fact { name, value }).collect();
    let before = std::iter::once(None).chain(run.metrics.sessions.iter().map(Some));
    for (session, before) in run.metrics.sessions.iter().zip(before) {
        let begun = match before {
            None => "begun".to_string(),
            Some(_) => format!("resumed at step {}", session.step),
        };
        let changes = before.map_or(Vec::new(), |before| session.changes_since(before));
        let changes = if changes.is_empty() { String::new() } else { format!("; {}", changes.join(", ")) };
        let value =
            format!("{} by pgn-wgpu {} on {}{changes}", session.started, session.version, session.device);
        facts.push(Fact { name: begun, value });
    }
    if run.metrics.sessions.is_empty() {
        let value = "not recorded in metrics.jsonl".to_string();
        facts.push(Fact { name: "version, adapter, driver, date".into(), value });
    }
    Block::Facts { title: run.name.clone(), facts }
}

/// Names as on the command line, values as in `config.toml`.
fn settings(config: &TrainConfig) -> BTreeMap<String, String> {
    // Not by way of TOML's values, which have no whole numbers from 2^63 on.
    let Ok(Value::Object(values)) = serde_json::to_value(config) else { return BTreeMap::new() };
    // What is not set is no setting.
    let set = values.into_iter().filter(|(_, value)| !value.is_null());
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => written(&other),
    };
    let mut all: BTreeMap<String, String> = set.map(|(key, value)| (key, text(value))).collect();
    if let Some(kernels) = &config.kernels {
        all.insert("kernels".to_string(), forms(kernels));
    }
    all
}

/// A value as in `config.toml`.
fn written(value: &Value) -> String {
    match value {
        // What is kept in 32 bits is not exact in 64.
        Value::Number(number) if number.is_f64() => (number.as_f64().unwrap_or_default() as f32).to_string(),
        Value::Array(values) => format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Object(values) => {
            let set = values.iter().filter(|(_, value)| !value.is_null());
            let all: Vec<String> = set.map(|(key, value)| format!("{key} = {}", written(value))).collect();
            format!("{{ {} }}", all.join(", "))
        }
        other => other.to_string(),
    }
}

/// How many forms of kernels were chosen, and a fingerprint of which; the list is for programs, in `config.toml`.
fn forms(kernels: &KernelChoices) -> String {
    let list: Vec<String> = kernels.forms.iter().map(|(shape, form)| format!("{shape}: {form}")).collect();
    let fingerprint = fingerprint_of_text(&list.join("\n"));
    format!("{} forms, {} (config.toml lists them)", list.len(), &fingerprint[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::pgn::GeneratorInput;
    use crate::training::Preset;
    use crate::training::config::RateChange;

    #[test]
    fn the_settings_of_a_run_with_the_largest_seed_are_shown_as_its_file_has_them() {
        let config = TrainConfig {
            seed: u64::MAX,
            without: vec![GeneratorInput::Image, GeneratorInput::Label],
            changes: vec![RateChange { step: 3, lr: Some(0.1), generator_lr: None }],
            mean: Some(vec![0.4914, 0.5]),
            ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
        };
        let all = settings(&config);
        let expected = [
            ("seed", "18446744073709551615"),
            ("lr", "0.002"),
            ("shuffle", "true"),
            ("method", "pgn"),
            ("without", "[\"image\", \"label\"]"),
            ("mean", "[0.4914, 0.5]"),
            ("changes", "[{ lr = 0.1, step = 3 }]"),
        ];
        for (key, value) in expected {
            assert_eq!(all.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert_eq!(all.get("max-steps"), None, "it is not set");
    }

    #[test]
    fn the_forms_of_kernels_are_a_count_and_a_fingerprint() {
        let with = |form: &str| {
            let forms = BTreeMap::from([("conv2d 8x8".to_string(), form.to_string())]);
            let kernels = Some(KernelChoices { adapter: "a".into(), forms });
            settings(&TrainConfig { kernels, ..TrainConfig::preset(Preset::Small, DatasetKind::Digits) })
        };
        let [a, b] = ["wide", "portable"].map(|form| with(form)["kernels"].clone());
        assert!(a.starts_with("1 forms, ") && !a.contains("conv2d") && a.len() < 50, "{a}");
        assert_ne!(a, b, "other forms have another fingerprint");
    }
}
