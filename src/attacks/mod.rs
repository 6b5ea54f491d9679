//! Attacks, one file each, as graphs over the engine's operations; loops run on the device.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker};
//! # let (device, model, images) = todo!();
//! # let (device, model, images): (pgn_wgpu::executor::Device, pgn_wgpu::models::file::Model, pgn_wgpu::data::Images) = (device, model, images);
//! let mut attacker = Attacker::new(&device, &model, AttackOptions::new(AttackKind::DeepFool))?;
//! let outcome = attacker.run(&images, &mut |_done, _total| {})?;
//! println!("accuracy {:.3}", outcome.accuracy());
//! # Ok(()) }
//! ```

pub mod attacker;
pub mod carlini_wagner;
pub mod deepfool;
pub mod direction;
pub mod fgm;
pub mod generator;
pub mod mim;
pub mod options;
pub mod outcome;
pub mod pgd;
mod projection;
pub mod target;
pub mod verify;

pub use attacker::{AttackError, Attacker};
pub use direction::CeForm;
pub use options::{AttackKind, AttackOptions, Norm};
pub use outcome::AttackOutcome;
