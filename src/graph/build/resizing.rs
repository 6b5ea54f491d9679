//! Resizing and its adjoint: the methods of the builder that take a [`Resize`].

use super::Result;
use crate::graph::{Graph, Operation, Resize, Shape, Tensor};

const RESIZED: &str = "a batch of images of the height and width from which it is to be resized, to a height and width of at \
                       least 1 that are not a million times as large or as small";

impl Graph {
    /// Images in another height and width: `[n, h, w, c]` to `[n, H, W, c]`.
    pub fn resize(&mut self, resize: Resize, x: Tensor) -> Result {
        self.between("resizing", resize, x, resize.from, resize.to, Operation::Resize(resize))
    }

    /// The adjoint of [`Graph::resize`]: every pixel receives what those that read it carry.
    pub fn resize_gradient(&mut self, resize: Resize, d: Tensor) -> Result {
        let operation = Operation::ResizeGradient(resize);
        self.between("gradient of resizing", resize, d, resize.to, resize.from, operation)
    }

    fn between(
        &mut self,
        name: &'static str,
        resize: Resize,
        x: Tensor,
        from: [usize; 2],
        to: [usize; 2],
        operation: Operation,
    ) -> Result {
        match self.shape(x).image() {
            Some([n, h, w, c]) if [h, w] == from && resize.fits() => {
                Ok(self.push(operation, &[x], Shape::new(&[n, to[0], to[1], c])))
            }
            _ => Err(self.unsuitable(name, x, RESIZED)),
        }
    }
}
