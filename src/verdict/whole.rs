//! A verdict of any version: on all images at once, with its report, or on a shard of them.

use super::checks;
use super::piece::Pieces;
use super::plan::{Plan, Version};
use super::report::{About, Report};
use super::run::{Outcome, VerdictError, run};
use super::smallest::{self, Hunted};
use crate::evaluation::Subject;
use crate::evaluation::suite::Watcher;
use crate::executor::Device;
use crate::shard::Shard;
use crate::threat::Radius;

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
    let whole = (radius, Shard::WHOLE);
    let answers = checks::answers(device, subject)?;
    let (outcome, hunted) = judge_shard(device, subject, (plan, about.version), whole, pieces, watch)?;
    let warnings = checks::warnings(answers, &plan.notes, &outcome);
    let smallest = hunted.map(|hunted| hunted.distances(&outcome));
    let report = Report { smallest, ..Report::new((about, device.precision()), &outcome, warnings) };
    Ok((outcome, report))
}

/// Judges the shard's images of `subject` by the attacks of `plan`, which is of this version.
///
/// # Errors
/// As of [`run`].
pub fn judge_shard(
    device: &Device,
    subject: &Subject,
    (plan, version): (&Plan, Version),
    part: (Radius, Shard),
    pieces: &Pieces,
    watch: Watcher,
) -> Result<(Outcome, Option<Hunted>), VerdictError> {
    match version {
        Version::Smallest => {
            let found = smallest::run(device, subject, plan, part, pieces, watch)?;
            Ok((found.outcome, Some(found.hunted)))
        }
        Version::Quick | Version::Full => Ok((run(device, subject, plan, part, pieces, watch)?, None)),
    }
}
