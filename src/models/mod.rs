//! Model files: what a classifier, and perhaps a generator, look like on disk.

pub(crate) mod container;
pub mod file;
mod formats;
mod names;
pub mod python;
pub mod sealed;
mod weights;
