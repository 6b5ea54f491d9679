//! Model files: what a classifier, and perhaps a generator, look like on disk.

pub(crate) mod container;
pub mod file;
pub(crate) mod formats;
mod names;
pub mod pixels;
pub mod python;
pub mod sealed;
mod torch;
mod vgg;
mod weights;
