//! Attacks, one file each. A step is a graph whose program the host replays; it looks at results now and then. Square draws its
//! windows on the host, and C&W searches its constants there.
//!
//! ```no_run
//! # use pgn_wgpu::{data::Images, executor::Device, models::file::Model};
//! use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker};
//! # fn example(device: Device, model: Model, images: Images) -> Result<(), Box<dyn std::error::Error>> {
//! let options = AttackOptions::new(AttackKind::DEEPFOOL);
//! let mut attacker = Attacker::new(&device, &model, options, images.len())?;
//! let outcome = attacker.run(&images, &mut |_done, _total| {})?;
//! println!("accuracy {:.3}", outcome.accuracy());
//! # Ok(()) }
//! ```

pub mod aim;
pub mod apgd;
pub mod attacker;
pub mod carlini_wagner;
pub mod ddn;
pub mod deepfool;
pub mod driver;
pub mod fab;
pub mod fgm;
pub mod flow;
pub mod fmn;
pub mod generator;
pub mod hyperplane;
pub mod length;
pub mod mim;
pub mod options;
pub mod outcome;
pub mod pgd;
pub mod registry;
pub mod smallest;
mod sound;
pub mod square;
pub mod steps;
pub mod target;
pub mod targets;
pub mod verify;

pub use crate::threat::objective::CeForm;
pub use crate::threat::{ball, objective};
pub use aim::Aim;
pub use attacker::{AttackError, Attacker};
pub use options::{AttackOptions, Norm};
pub use outcome::{AttackOutcome, ImageVerdict};
pub use registry::{Attack, AttackKind, Goal, Run, register};
