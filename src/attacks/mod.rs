//! Attacks, one file each, as graphs over the engine's operations; loops run on the device.
//!
//! ```no_run
//! # use pgn_wgpu::{data::Images, executor::Device, models::file::Model};
//! use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker};
//! # fn example(device: Device, model: Model, images: Images) -> Result<(), Box<dyn std::error::Error>> {
//! let options = AttackOptions::new(AttackKind::DeepFool);
//! let mut attacker = Attacker::new(&device, &model, options, images.len())?;
//! let outcome = attacker.run(&images, &mut |_done, _total| {})?;
//! println!("accuracy {:.3}", outcome.accuracy());
//! # Ok(()) }
//! ```

pub mod attacker;
pub mod carlini_wagner;
pub mod confidence;
pub mod deepfool;
pub mod direction;
pub mod fgm;
pub mod generator;
pub mod length;
pub mod mim;
pub mod options;
pub mod outcome;
pub mod pgd;
mod projection;
mod sound;
pub mod target;
pub mod verify;

pub use attacker::{AttackError, Attacker};
pub use direction::CeForm;
pub use options::{AttackKind, AttackOptions, Norm};
pub use outcome::{AttackOutcome, Verdict};
