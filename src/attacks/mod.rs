//! Attacks, one file each, as graphs over the engine's operations.

pub mod direction;
pub mod fgm;
