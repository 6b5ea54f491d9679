//! The index arithmetic that the twins of `unfold` and `fold` share.

use crate::kernels::params::PatchesParams;

/// The parameters as indices.
#[derive(Clone, Copy)]
pub struct Geometry {
    /// Rows, columns and channels of the image.
    pub image: [usize; 3],
    /// Rows and columns of places.
    pub places: [usize; 2],
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    before: [usize; 2],
}

impl Geometry {
    /// Of a call.
    pub fn new(p: &PatchesParams) -> Self {
        let pair = |a: u32, b: u32| [a as usize, b as usize];
        Self {
            image: [p.height, p.width, p.channels].map(|extent| extent as usize),
            places: pair(p.rows, p.columns),
            kernel: pair(p.kernel_height, p.kernel_width),
            stride: pair(p.stride_height, p.stride_width),
            dilation: pair(p.dilation_height, p.dilation_width),
            before: pair(p.top, p.left),
        }
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The row or column (`axis` 0 or 1) of the image under tap `k` of place `o`, if it is inside.
    pub fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let at = o * self.stride[axis] + k * self.dilation[axis];
        at.checked_sub(self.before[axis]).filter(|&at| at < self.image[axis])
    }

    /// The place whose tap `k` lies on row or column `i` of the image, if there is one.
    pub fn place(&self, axis: usize, i: usize, k: usize) -> Option<usize> {
        let from = (i + self.before[axis]).checked_sub(k * self.dilation[axis])?;
        let place = from / self.stride[axis];
        (from.is_multiple_of(self.stride[axis]) && place < self.places[axis]).then_some(place)
    }
}
