//! Pooling and its adjoints: the methods of the builder that take a [`Window`].

use super::Result;
use crate::graph::{Graph, GraphError, Operation, Shape, Tensor, Window};

const POOLED: &str = "a batch of images on which every window covers some of the image: windows no larger than the \
                      padded image, padding smaller than the window, and a stride of at least 1";
const SPREAD: &str = "one value for each window over images of the stated height and width";

/// Longer rows have their largest value looked for in two stages, unless their length is prime.
const LONG_ROW: usize = 1024;

/// The largest divisor of `count` that is not above its root.
fn nearly_root(count: usize) -> usize {
    (1..=count.isqrt()).rev().find(|divisor| count.is_multiple_of(*divisor)).expect("1 divides every number")
}

impl Graph {
    /// Sums or means over windows: `[n, h, w, c]` to one value per window. Windows of [`Window::mean`] lie side by side,
    /// and what does not fill one is dropped.
    pub fn pool(&mut self, window: Window, x: Tensor) -> Result {
        let shape = self.pooled(window, x)?;
        Ok(self.push(Operation::Pool(window), &[x], shape))
    }

    /// The adjoint of [`Graph::pool`]: every value spread over its window of a `height` x `width` image, and added where
    /// windows overlap.
    pub fn unpool(&mut self, window: Window, d: Tensor, height: usize, width: usize) -> Result {
        match self.shape(d).image() {
            Some([n, h, w, c]) if window.places(height, width) == Some([h, w]) => {
                let shape = Shape::new(&[n, height, width, c]);
                Ok(self.push(Operation::Unpool(window, None), &[d], shape))
            }
            _ => Err(self.unsuitable("unpooling", d, SPREAD)),
        }
    }

    /// The largest value of each window: `[n, h, w, c]` to one value per window. NaN counts as larger than every number.
    pub fn max_pool(&mut self, window: Window, x: Tensor) -> Result {
        self.max_pool_by(window, x, x)
    }

    /// From each window the value that stands where `keys` is largest, the first one of equals. `keys` has the shape of
    /// `values`, or that of one of several batches which `values` holds one after the other. Gradients go to `values`
    /// alone, by [`Graph::max_unpool`].
    pub fn max_pool_by(&mut self, window: Window, values: Tensor, keys: Tensor) -> Result {
        let shape = self.pooled(window, values)?;
        self.keys_fit("maximum pooling", self.shape(values), keys)?;
        Ok(self.push(Operation::MaxPool(window), &[values, keys], shape))
    }

    /// The adjoint of [`Graph::max_pool_by`] in its values: adds each value of `d` where `keys` is largest in its window,
    /// and puts 0 elsewhere.
    pub fn max_unpool(&mut self, window: Window, d: Tensor, keys: Tensor) -> Result {
        let (Some([n, h, w, c]), Some([_, height, width, _])) =
            (self.shape(d).image(), self.shape(keys).image())
        else {
            return Err(self.unsuitable("maximum unpooling", d, SPREAD));
        };
        if window.places(height, width) != Some([h, w]) {
            return Err(self.unsuitable("maximum unpooling", d, SPREAD));
        }
        let shape = Shape::new(&[n, height, width, c]);
        self.keys_fit("maximum unpooling", &shape, keys)?;
        Ok(self.push(Operation::MaxUnpool(window), &[d, keys], shape))
    }

    /// The largest value of each row (image): `[rows, 1]`. One invocation looks through a whole window, so long rows take two
    /// stages: the largest of each part, then the largest of these. A row whose length is prime has no such parts and takes one. The
    /// first of equals stays the first.
    pub fn max_columns(&mut self, x: Tensor) -> Result {
        let (rows, columns) = (self.shape(x).rows(), self.shape(x).columns());
        let parts = if columns > LONG_ROW { nearly_root(columns) } else { 1 };
        let lines = self.reshape(x, &[rows, parts, columns / parts, 1])?;
        let mut largest = self.max_pool(Window::new(1, columns / parts), lines)?;
        if parts > 1 {
            largest = self.max_pool(Window::new(parts, 1), largest)?;
        }
        self.reshape(largest, &[rows, 1])
    }

    /// The shape of what pooling makes of `x`.
    fn pooled(&self, window: Window, x: Tensor) -> Result<Shape> {
        let places = |[n, h, w, c]: [usize; 4]| Some(([n, c], window.places(h, w)?));
        match self.shape(x).image().and_then(places) {
            Some(([n, c], [rows, columns])) => Ok(Shape::new(&[n, rows, columns, c])),
            None => Err(self.unsuitable("pooling", x, POOLED)),
        }
    }

    fn keys_fit(&self, operation: &'static str, values: &Shape, keys: Tensor) -> Result<()> {
        let (all, own) = (values.extents(), self.shape(keys).extents());
        if own.len() == 4 && own[1..] == all[1..] && all[0].is_multiple_of(own[0]) {
            return Ok(());
        }
        Err(GraphError::Mismatch { operation, left: values.clone(), right: self.shape(keys).clone() })
    }
}
