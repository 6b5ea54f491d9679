//! What most programs that use the library need, in one line:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use pgn_wgpu::prelude::*;
//! let subject = Place::find("runs/pgn-digits".as_ref())?.open(&ImageChoice::default())?;
//! let device = Device::open(&AdapterChoice::Auto, Opening::default())?;
//! let radius = Radius { norm: Norm::L2, epsilon: 0.5 };
//! let verdict = quick(&device, &subject, (radius, 128), &Pieces::new("pieces".as_ref()), &mut |_| {})?;
//! println!("robust accuracy {:.3}", verdict.robust_accuracy.value);
//! # Ok(()) }
//! ```
//!
//! A run folder or a model file in any format that is read will do. `pieces` is the folder that an interrupted verdict goes on
//! from.

pub use crate::attacks::{AttackKind, AttackOptions, AttackOutcome, Attacker, Norm};
pub use crate::data::{DataOptions, Dataset, DatasetKind, Images};
pub use crate::evaluation::{ImageChoice, Place, Subject};
pub use crate::executor::{Device, Opening};
pub use crate::gpu::adapter::AdapterChoice;
pub use crate::models::file::Model;
pub use crate::nn::Problem;
pub use crate::threat::Radius;
pub use crate::training::{TrainConfig, Trainer};
pub use crate::verdict::piece::Pieces;
pub use crate::verdict::{Plan, Quick, Version, quick};
