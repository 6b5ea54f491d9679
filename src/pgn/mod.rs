//! What is the paper's own: the perturbation generator network and its move.

pub mod generator;
pub mod moves;

pub use generator::{Generator, GeneratorInput, GeneratorInputs, GradientInput};
pub use moves::{Move, generator_move, gradient_image};
