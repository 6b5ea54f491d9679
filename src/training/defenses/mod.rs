//! The defenses, one file each, and their registry.

mod adversarial;
mod pgn;
pub mod registry;

pub use registry::{Defense, Inner, Method, Strength, register};
