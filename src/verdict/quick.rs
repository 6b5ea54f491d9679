//! The quick verdict within an evaluation.

use super::checks;
use super::piece::Pieces;
use super::plan::{Plan, Version};
use super::report::robust_accuracy;
use super::run::{VerdictError, run};
use crate::evaluation::statistics::Estimate;
use crate::evaluation::suite::Watcher;
use crate::evaluation::{Subject, Warning};
use crate::executor::Device;
use crate::shard::Shard;
use crate::threat::Radius;

/// What it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Quick {
    /// Share of the images that withstood everything, with its 95 % interval.
    pub robust_accuracy: Estimate,
    /// Reasons to doubt it.
    pub warnings: Vec<Warning>,
}

/// The quick verdict on all images of `subject` within a radius, so many images at a time. What `pieces` know is not computed
/// again.
///
/// # Errors
/// As of [`run`].
pub fn quick(
    device: &Device,
    subject: &Subject,
    (radius, batch_size): (Radius, usize),
    pieces: &Pieces,
    watch: Watcher,
) -> Result<Quick, VerdictError> {
    let classes = subject.model.facts.problem.classes;
    let plan = Plan::new(Version::Quick, radius.norm, radius.epsilon, classes).at_a_time(batch_size);
    let answers = checks::answers(device, subject)?;
    let outcome = run(device, subject, &plan, (radius, Shard::WHOLE), pieces, watch)?;
    let warnings = checks::warnings(answers, &plan.notes, &outcome);
    Ok(Quick { robust_accuracy: robust_accuracy(&outcome), warnings })
}
