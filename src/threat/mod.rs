//! What an attack may do to an image, and what it raises: the norm and the ball of perturbations, and the objective. Attacks and
//! the generator are made of them; they know neither.

pub mod ball;
pub mod norm;
pub mod objective;
pub mod radius;

pub use norm::Norm;
pub use radius::Radius;
