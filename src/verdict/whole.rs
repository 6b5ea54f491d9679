//! A verdict on all images at once, with its report.

use super::checks;
use super::piece::Pieces;
use super::plan::{Plan, Version};
use super::report::{About, Report};
use super::run::{Outcome, VerdictError, run};
use super::smallest;
use crate::evaluation::Subject;
use crate::evaluation::suite::{Radius, Watcher};
use crate::executor::Device;
use crate::shard::Shard;

/// Judges all images of `subject` within a radius by the attacks of `plan`, which is of the version that `about` names. What
/// `pieces` know is not computed again.
///
/// # Errors
/// As of [`run`].
pub fn judge(
    device: &Device,
    subject: &Subject,
    (plan, radius, about): (&Plan, Radius, &About),
    pieces: &Pieces,
    watch: Watcher,
) -> Result<(Outcome, Report), VerdictError> {
    let (outcome, smallest) = match about.version {
        Version::Smallest => {
            let found = smallest::run(device, subject, plan, radius, pieces, watch)?;
            (found.outcome, Some(found.distances))
        }
        Version::Quick | Version::Full => {
            (run(device, subject, plan, (radius, Shard::WHOLE), pieces, watch)?, None)
        }
    };
    let warnings = checks::warnings(checks::answers(device, subject)?, &plan.notes, &outcome);
    let report = Report { smallest, ..Report::new(about, &outcome, warnings) };
    Ok((outcome, report))
}
