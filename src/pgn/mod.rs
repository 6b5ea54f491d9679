//! What is the paper's own: the perturbation generator network.

pub mod generator;

pub use generator::{Generator, GeneratorInput, GeneratorInputs, GradientInput};
