//! `metrics.jsonl` read back: sessions, steps averaged over each epoch, and epochs.

use super::session::SessionRecord;
use serde::Deserialize;
use serde_json::Value;

/// An epoch's end, on the validation images.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EpochEnd {
    /// From 0.
    pub epoch: u32,
    /// Benign accuracy.
    pub benign_accuracy: Option<f64>,
    /// Accuracy under the generator.
    pub generator_accuracy: Option<f64>,
    /// Mean norm of the generator's perturbation.
    pub delta: Option<f64>,
    /// Loss under the generator.
    pub generator_loss: Option<f64>,
    /// Loss under FGM of the same mean norm.
    pub fgm_loss: Option<f64>,
    /// Training images per second.
    pub images_per_second: Option<f64>,
    /// Since the run began.
    pub seconds: Option<f64>,
}

/// The mean over an epoch's steps of what the classifier trained on.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// From 0.
    pub epoch: u32,
    /// Cross-entropy.
    pub loss: f64,
    /// Norm of the perturbation; absent without one.
    pub delta: Option<f64>,
}

#[derive(Deserialize)]
struct Step {
    epoch: u32,
    loss: Option<f64>,
    delta: Option<f64>,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// In the order in which they began.
    pub sessions: Vec<SessionRecord>,
    /// In order.
    pub steps: Vec<Steps>,
    /// In order.
    pub epochs: Vec<EpochEnd>,
    /// Lines that are no records; the last one, which may be being written, does not count.
    pub unreadable: usize,
}

impl Metrics {
    /// Reads the lines; what cannot be read is counted.
    pub fn read(text: &str) -> Self {
        let (mut all, mut sums) = (Self::default(), Vec::<(u32, [f64; 4])>::new());
        let lines = text.lines().count();
        for (number, line) in (1..).zip(text.lines()) {
            let known = serde_json::from_str::<Value>(line).ok().and_then(|value| all.add(value, &mut sums));
            if known.is_none() && number < lines {
                all.unreadable += 1;
            }
        }
        all.steps = sums
            .iter()
            .map(|(epoch, [steps, loss, with_delta, delta])| Steps {
                epoch: *epoch,
                loss: loss / steps,
                delta: (*with_delta > 0.0).then_some(delta / with_delta),
            })
            .collect();
        all
    }

    fn add(&mut self, value: Value, sums: &mut Vec<(u32, [f64; 4])>) -> Option<()> {
        match value["kind"].as_str()? {
            "run" => self.sessions.push(serde_json::from_value(value).ok()?),
            "epoch" => self.epochs.push(serde_json::from_value(value).ok()?),
            "step" => {
                let step: Step = serde_json::from_value(value).ok()?;
                if sums.last().is_none_or(|(epoch, _)| *epoch != step.epoch) {
                    sums.push((step.epoch, [0.0; 4]));
                }
                let (_, sum) = sums.last_mut()?;
                let delta = step.delta.map_or([0.0; 2], |delta| [1.0, delta]);
                let more = [1.0, step.loss.unwrap_or(f64::NAN), delta[0], delta[1]];
                sum.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
            }
            // Of a later version.
            _ => {}
        }
        Some(())
    }

    /// The highest of the benign accuracies.
    pub fn best(&self) -> Option<f64> {
        self.epochs.iter().filter_map(|epoch| epoch.benign_accuracy).max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_averaged_and_what_is_damaged_is_counted() {
        let text = "{\"kind\":\"step\",\"step\":1,\"epoch\":0,\"loss\":2.0,\"delta\":0.5}\n\
                    {\"kind\":\"step\",\"step\":2,\"epoch\":0,\"loss\":1.0}\n\
                    {\"kind\":\"st\n\
                    {\"kind\":\"epoch\",\"step\":2,\"epoch\":0,\"benign_accuracy\":0.5}\n\
                    {\"kind\":\"later\"}\n\
                    {\"kind\":\"step\",\"step\":3,\"epoch\":1,\"loss\":0.5}\n\
                    {\"ki";
        let metrics = Metrics::read(text);
        assert_eq!(metrics.unreadable, 1);
        assert_eq!((metrics.steps[0].loss, metrics.steps[0].delta), (1.5, Some(0.5)));
        assert_eq!((metrics.steps[1].loss, metrics.steps[1].delta), (0.5, None));
        assert_eq!((metrics.epochs.len(), metrics.best()), (1, Some(0.5)));
        assert!(Metrics::read("").epochs.is_empty());
    }
}
