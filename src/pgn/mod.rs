//! What is the paper's own: the perturbation generator network and its move, and variants of both.

pub mod generator;
mod layers;
pub mod moves;
pub mod recipe;

pub use generator::{Generator, GeneratorInputs};
pub use moves::{Move, Turn, gradient_image};
pub use recipe::{GeneratorBall, GeneratorInput, GeneratorLoss, GradientInput, Recipe};
