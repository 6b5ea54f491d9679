//! The geometry of convolutions: where a kernel goes over an image, and how many places there are.

use serde::{Deserialize, Serialize};

/// Places of a kernel on an image, in rows and columns. Tap k of place o lies at `stride·o + dilation·k − padding`; what lies
/// outside the image counts as zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patches {
    /// Rows and columns of the kernel.
    pub size: [usize; 2],
    /// Distance of neighbouring places.
    pub stride: [usize; 2],
    /// Zeros around the image: `[[top, bottom], [left, right]]`.
    pub padding: [[usize; 2]; 2],
    /// Distance of neighbouring taps.
    pub dilation: [usize; 2],
}

/// The largest of any number above, so that no product of two leaves an index.
const LARGEST: usize = 1 << 14;

impl Patches {
    /// A square kernel with half its size of zeros on each side: at stride 1 and an odd size the result has the image's
    /// extents.
    pub fn same(size: usize, stride: usize) -> Self {
        Self { size: [size; 2], stride: [stride; 2], padding: [[size / 2; 2]; 2], dilation: [1; 2] }
    }

    /// Rows and columns of places over an image; `None` if the kernel is larger than the padded image, or a number is 0
    /// where it must not be, or absurd.
    pub fn places(&self, height: usize, width: usize) -> Option<[usize; 2]> {
        let along = |axis: usize, length: usize| {
            let [size, stride, dilation] = [self.size[axis], self.stride[axis], self.dilation[axis]];
            let [before, after] = self.padding[axis];
            let possible = [size, stride, dilation].iter().all(|n| (1..=LARGEST).contains(n))
                && before.max(after) <= LARGEST
                && length > 0;
            let reach = if possible { dilation * (size - 1) + 1 } else { return None };
            Some((length + before + after).checked_sub(reach)? / stride + 1)
        };
        Some([along(0, height)?, along(1, width)?])
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The size and stride of the kernels' own geometry, if this is it: square, stride 1 or 2, padded by half the size,
    /// over an image that the stride divides.
    pub(crate) fn own(&self, height: usize, width: usize) -> Option<super::Convolution> {
        let ([size, _], [stride, _]) = (self.size, self.stride);
        let usual = *self == Self::same(size, stride) && [1, 3].contains(&size) && [1, 2].contains(&stride);
        let divides = height.is_multiple_of(stride) && width.is_multiple_of(stride);
        (usual && divides).then_some(super::Convolution { size, stride })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_as_pytorch_counts_them() {
        let along = |size, stride, padding, dilation, length| {
            let patches = Patches {
                size: [size, 1],
                stride: [stride, 1],
                padding: [padding, [0, 0]],
                dilation: [dilation, 1],
            };
            patches.places(length, 1).map(|places| places[0])
        };
        assert_eq!(along(3, 1, [1, 1], 1, 7), Some(7));
        assert_eq!(along(3, 2, [1, 1], 1, 7), Some(4));
        assert_eq!(along(7, 2, [3, 3], 1, 224), Some(112));
        assert_eq!(along(4, 3, [0, 1], 1, 10), Some(3));
        assert_eq!(along(3, 1, [0, 0], 2, 5), Some(1));
        assert_eq!(along(3, 1, [0, 0], 2, 4), None, "larger than the image");
        assert_eq!(along(1, 0, [0, 0], 1, 4), None, "places that do not move on");
    }
}
