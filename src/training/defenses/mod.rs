//! The defenses, one file each, and their registry.

mod adversarial;
pub mod awp;
pub(crate) mod free;
mod mart;
mod near_pgd;
mod noisy_step;
mod pgn;
mod recipes;
pub mod registry;
mod trades;

pub use adversarial::RADIUS;
pub use registry::{Defense, Inner, Method, Strength, register};

#[cfg(test)]
mod tests;
