//! Convolutions of any geometry. The kernels for the usual one are fast; everything else becomes a matrix product over
//! patches, or for a kernel per channel a product and a sum.
//!
//! Three ways were weighed: the geometry as parameters of the three convolution kernels and all their forms (some forty
//! shaders and lowering rules), three slow general kernels beside them, and patches as an operation of their own. Patches won: two
//! small kernels, everything else exists, gradients of gradients come from it, and the product is the fast one. The
//! price is memory, a value per tap.

use super::Result;
use crate::graph::{Convolution, Epilogue, Graph, GraphError, Operation, Patches, Shape, Tensor, Window};

const PLACED: &str = "a batch of images on which the kernel has a place: no larger than the padded image, with strides and \
                      dilations of at least 1";

impl Graph {
    /// A convolution: images `[n, h, w, a]` by `[kernel rows, kernel columns, a / groups, b]` to `[n, rows, columns, b]`.
    ///
    /// # Errors
    /// If the kernel has no place on the images, the groups do not divide the channels, or the weight has other extents.
    pub fn convolution(&mut self, patches: Patches, groups: usize, x: Tensor, w: Tensor) -> Result {
        let [_, height, width, channels] = self.placed(patches, x)?;
        let expected = [patches.size[0], patches.size[1], channels / groups.max(1)];
        let outputs = self.shape(w).channels();
        let grouped = groups > 0 && channels.is_multiple_of(groups) && outputs.is_multiple_of(groups);
        if !grouped || self.shape(w).image().is_none_or(|own| own[..3] != expected) {
            return Err(self.mismatch("convolution", x, self.shape(w)));
        }
        match (groups, patches.own(height, width)) {
            (1, Some(own)) => self.convolve(own, Epilogue::None, &[x, w]),
            (1, None) => self.by_patches(patches, x, w),
            _ if groups == channels && outputs == channels => self.by_channel(patches, x, w),
            _ => self.by_groups(patches, groups, x, w),
        }
    }

    /// A product of patches and weight.
    fn by_patches(&mut self, patches: Patches, x: Tensor, w: Tensor) -> Result {
        let unfolded = self.unfold(patches, x)?;
        let [inputs, outputs] = [self.shape(unfolded).channels(), self.shape(w).channels()];
        let matrix = self.reshape(w, &[1, 1, inputs, outputs])?;
        self.convolve(Convolution { size: 1, stride: 1 }, Epilogue::None, &[unfolded, matrix])
    }

    /// A kernel per channel: taps are multiplied value by value and added.
    fn by_channel(&mut self, patches: Patches, x: Tensor, w: Tensor) -> Result {
        let unfolded = self.unfold(patches, x)?;
        let [n, rows, columns, values] = self.shape(unfolded).image().expect("patches are images");
        let taps = patches.taps();
        let channels = values / taps;
        let own = self.reshape(unfolded, &[n * rows * columns, taps, 1, channels])?;
        let weight = self.reshape(w, &[taps, 1, channels])?;
        let product = self.multiply(own, weight)?;
        let sum = self.pool(Window::new(taps, 1), product)?;
        self.reshape(sum, &[n, rows, columns, channels])
    }

    /// Each group for itself.
    fn by_groups(&mut self, patches: Patches, groups: usize, x: Tensor, w: Tensor) -> Result {
        let [inputs, outputs] = [self.shape(x).channels() / groups, self.shape(w).channels() / groups];
        let mut parts = Vec::new();
        for group in 0..groups {
            let own = self.slice(x, group * inputs, inputs)?;
            let weight = self.slice(w, group * outputs, outputs)?;
            parts.push(self.convolution(patches, 1, own, weight)?);
        }
        self.concatenate(&parts)
    }

    /// What a kernel meets at each place, side by side: `[n, h, w, c]` to `[n, rows, columns, taps · c]`, taps in rows of the
    /// kernel, zeros outside the image.
    pub fn unfold(&mut self, patches: Patches, x: Tensor) -> Result {
        let [n, height, width, channels] = self.placed(patches, x)?;
        let [rows, columns] = patches.places(height, width).expect("placed");
        let shape = Shape::new(&[n, rows, columns, patches.taps() * channels]);
        Ok(self.push(Operation::Unfold(patches), &[x], shape))
    }

    /// The adjoint of [`Graph::unfold`]: every value added where it was read from a `height` x `width` image.
    pub fn fold(&mut self, patches: Patches, d: Tensor, height: usize, width: usize) -> Result {
        match self.shape(d).image() {
            Some([n, rows, columns, values])
                if patches.places(height, width) == Some([rows, columns])
                    && values.is_multiple_of(patches.taps()) =>
            {
                let shape = Shape::new(&[n, height, width, values / patches.taps()]);
                Ok(self.push(Operation::Fold(patches), &[d], shape))
            }
            _ => Err(self.unsuitable("fold", d, "patches of images of the stated height and width")),
        }
    }

    /// The extents of images on which `patches` have a place.
    fn placed(&self, patches: Patches, x: Tensor) -> std::result::Result<[usize; 4], GraphError> {
        let image = self.shape(x).image().filter(|&[_, h, w, _]| patches.places(h, w).is_some());
        image.ok_or_else(|| self.unsuitable("convolution", x, PLACED))
    }
}
