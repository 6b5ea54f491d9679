//! What each run was: a sentence, a row beside the other runs, and all its settings.

use super::super::page::{Block, Cell, Fact, Table};
use super::{Run, verdicts};
use crate::evaluation::record::fingerprint_of_text;
use crate::gpu::tuning::KernelChoices;
use crate::training::TrainConfig;
use crate::training::effects::without_effect;
use std::collections::BTreeMap;

/// They say where a run was made, not what it is.
const PLACES: [&str; 4] = ["adapter", "data", "method", "dataset"];
const NO_VALIDATION: &str = "There were no validation images, or no epoch has ended";

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
        "{}: {method} training on {}, {} of {} epochs{accuracy}{}.",
        run.name,
        run.data_set,
        run.epochs_done(),
        run.config.epochs,
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
        !PLACES.contains(&key.as_str()) && settings.iter().any(|own| own.get(*key) != settings[0].get(*key))
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
                  is on at most 200 of them; the norm is that of the \
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
    let done = Cell::number(f64::from(run.epochs_done()), 0);
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
    let table = toml::Table::try_from(config).unwrap_or_default();
    let text = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        // What is kept in 32 bits is not exact in 64.
        toml::Value::Float(number) => (number as f32).to_string(),
        other => other.to_string(),
    };
    let mut all: BTreeMap<String, String> =
        table.into_iter().map(|(key, value)| (key, text(value))).collect();
    if let Some(kernels) = &config.kernels {
        all.insert("kernels".to_string(), forms(kernels));
    }
    all
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
    use crate::training::Preset;

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
