//! The lines of `metrics.jsonl`: one type per step and one per epoch. The trainer and the validation fill them, the file and
//! TensorBoard show them, and reports read them back.

use super::robust::BestRobust;
use super::session::SessionRecord;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// A session began.
    Run(SessionRecord),
    /// A step is done.
    Step(StepRecord),
    /// An epoch is over.
    Epoch(EpochRecord),
    /// A line of a later version.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// One training step; numbers are means over its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Cross-entropy of what the classifier trained on.
    pub loss: f64,
    /// Share classified correctly of it.
    pub accuracy: f64,
    /// ‖δ‖; absent without an attack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// ‖∇x CE‖ / (2 c_L), the ‖δ‖ that a linear loss would give; absent without a game, and if it is infinite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_delta: Option<f64>,
    /// Seconds since the run began; 0 outside a run.
    pub seconds: f64,
}

/// The end of one epoch, on the validation split; what was not measured is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Steps done.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Benign accuracy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub benign_accuracy: Option<f64>,
    /// Accuracy under PGD, on a few images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgd_accuracy: Option<f64>,
    /// Accuracy under FGM, on the same images within the same radius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fgm_accuracy: Option<f64>,
    /// Accuracy under the generator's attack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_accuracy: Option<f64>,
    /// Mean ‖δ‖ of the generator's attack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// Loss under the generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_loss: Option<f64>,
    /// Loss under FGM at the same mean norm, or at the generator's radius, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fgm_loss: Option<f64>,
    /// Training images per second since the epoch began.
    pub images_per_second: f64,
    /// Seconds since the run began.
    pub seconds: f64,
}

impl StepRecord {
    /// Its numbers under the names that TensorBoard shows.
    pub fn scalars(&self) -> [(&'static str, Option<f64>); 4] {
        [
            ("train/loss", Some(self.loss)),
            ("train/accuracy", Some(self.accuracy)),
            ("train/delta", self.delta),
            ("train/predicted_delta", self.predicted_delta),
        ]
    }

    /// The mean of the steps of one epoch, numbered as the last of them; `None` of no step. What some steps lack is the
    /// mean of the others.
    pub fn mean(steps: &[Self]) -> Option<Self> {
        let last = *steps.last()?;
        let mean = |value: fn(&Self) -> Option<f64>| {
            let (count, sum) = steps
                .iter()
                .filter_map(value)
                .fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
            (count > 0.0).then_some(sum / count)
        };
        Some(Self {
            loss: mean(|step| Some(step.loss))?,
            accuracy: mean(|step| Some(step.accuracy))?,
            delta: mean(|step| step.delta),
            predicted_delta: mean(|step| step.predicted_delta),
            ..last
        })
    }
}

impl EpochRecord {
    /// What it says about robustness, if that was measured.
    pub fn robust(&self) -> Option<BestRobust> {
        let (pgd, fgm) = self.pgd_accuracy.zip(self.fgm_accuracy)?;
        Some(BestRobust { epoch: self.epoch, pgd, fgm, benign: self.benign_accuracy.unwrap_or(0.0) })
    }

    /// Its numbers under the names that TensorBoard shows.
    pub fn scalars(&self) -> [(&'static str, Option<f64>); 8] {
        [
            ("validation/benign_accuracy", self.benign_accuracy),
            ("validation/pgd_accuracy", self.pgd_accuracy),
            ("validation/fgm_accuracy", self.fgm_accuracy),
            ("validation/generator_accuracy", self.generator_accuracy),
            ("validation/delta", self.delta),
            ("validation/generator_loss", self.generator_loss),
            ("validation/fgm_loss", self.fgm_loss),
            ("train/images_per_second", Some(self.images_per_second)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back_as_they_were_written() {
        let step = StepRecord {
            step: 7,
            epoch: 1,
            loss: 0.1,
            accuracy: 0.75,
            delta: Some(0.3),
            predicted_delta: None,
            seconds: 2.5,
        };
        let epoch =
            EpochRecord { step: 8, fgm_loss: Some(1.5), images_per_second: 1e3, ..Default::default() };
        let lines = [
            r#"{"kind":"step","step":7,"epoch":1,"loss":0.1,"accuracy":0.75,"delta":0.3,"seconds":2.5}"#,
            r#"{"kind":"epoch","step":8,"epoch":0,"fgm_loss":1.5,"images_per_second":1000.0,"seconds":0.0}"#,
        ];
        for (record, line) in [Record::Step(step), Record::Epoch(epoch)].into_iter().zip(lines) {
            assert_eq!(serde_json::to_string(&record).unwrap(), line);
            assert_eq!(serde_json::from_str::<Record>(line).unwrap(), record);
        }
        let later = serde_json::from_str::<Record>(r#"{"kind":"later","step":1}"#).unwrap();
        assert_eq!(later, Record::Unknown);
        assert!(serde_json::from_str::<Record>(r#"{"kind":"step","step":7}"#).is_err());
    }

    #[test]
    fn a_mean_leaves_out_what_a_step_lacks() {
        let of = |step, loss, delta| StepRecord { step, loss, delta, ..Default::default() };
        let mean = StepRecord::mean(&[of(1, 2.0, Some(0.5)), of(2, 1.0, None)]).unwrap();
        assert_eq!((mean.step, mean.loss, mean.delta, mean.predicted_delta), (2, 1.5, Some(0.5), None));
        assert_eq!(StepRecord::mean(&[]), None);
    }
}
