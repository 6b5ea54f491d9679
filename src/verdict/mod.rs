//! The verdict: how many images withstand a fixed set of strong attacks within a radius. This is the number that the field
//! trusts (AutoAttack, Croce and Hein 2020).
//!
//! Data flows one way: a [`plan`] lists the attacks of a version; [`run()`] gives each attack the images that still stand and
//! keeps every finished piece in a file, so that nothing is computed twice; [`checks`] asks whether the number can be
//! believed; [`report`] writes it. The version [`smallest`] looks for the nearest adversarial image of every image instead.
//! Several processes may judge a [shard](crate::shard) of the images each; each writes a
//! [`shard_file`], and [`merge`] makes one verdict of theirs.

pub mod checks;
pub mod merge;
pub mod piece;
pub mod plan;
mod quick;
pub mod report;
mod run;
pub mod shard_file;
pub mod smallest;
mod whole;

pub use plan::{Plan, Version};
pub use quick::{Quick, quick};
pub use run::{Judged, Outcome, Stage, VerdictError, check_shard, run};
pub use whole::{judge, judge_shard};
