//! The geometry of pooling: the cells of an image that a window covers, the number of windows, and the divisor of a sum. Both
//! executors and the gradients use it.

use serde::{Deserialize, Serialize};

/// What a window's sum is divided by, besides being multiplied by [`Window::scale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
#[serde(rename_all = "lowercase")]
pub enum Divisor {
    /// Nothing.
    None = 0,
    /// The cells of the window that are in the image (ONNX's default, PyTorch's `count_include_pad=False`).
    Inside = 1,
    /// Those, and the ones in the padding. Cells beyond the padding, where `ceil` allows them, do not count.
    Padded = 2,
}

/// Rectangular pooling windows over an image. Padding holds nothing: it adds 0 to a sum and never wins a maximum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Rows of the window.
    pub height: usize,
    /// Columns of the window.
    pub width: usize,
    /// Distance between windows, along the rows and along the columns.
    pub stride: [usize; 2],
    /// Padding before and after the image: `[[top, bottom], [left, right]]`.
    pub padding: [[usize; 2]; 2],
    /// Whether a last window that begins inside the image may end beyond the padding. Without it, cells that do not fill
    /// a window are dropped.
    pub ceil: bool,
    /// What a sum is divided by.
    pub divisor: Divisor,
    /// What a sum is multiplied by; 1 / (height·width) makes the pooling a mean.
    pub scale: f32,
}

impl Window {
    /// Windows of `height` x `width` side by side, for sums and for maxima.
    pub fn new(height: usize, width: usize) -> Self {
        let (stride, padding) = ([height, width], [[0; 2]; 2]);
        Self { height, width, stride, padding, ceil: false, divisor: Divisor::None, scale: 1.0 }
    }

    /// Average pooling over `height` x `width`, side by side. Padding counts, as in PyTorch by default.
    pub fn mean(height: usize, width: usize) -> Self {
        Self { scale: 1.0 / (height * width) as f32, ..Self::new(height, width) }
    }

    /// Average pooling that divides by the cells that are in the image, as in ONNX by default.
    pub fn mean_inside(height: usize, width: usize) -> Self {
        Self { divisor: Divisor::Inside, ..Self::new(height, width) }
    }

    /// With another distance between windows.
    #[must_use]
    pub fn strided(self, rows: usize, columns: usize) -> Self {
        Self { stride: [rows, columns], ..self }
    }

    /// With `[[top, bottom], [left, right]]` of padding.
    #[must_use]
    pub fn padded(self, padding: [[usize; 2]; 2]) -> Self {
        Self { padding, ..self }
    }

    /// With a last window that may end beyond the padding; a mean does not count what lies there.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        let mean = self.divisor == Divisor::None && self.scale == Self::mean(self.height, self.width).scale;
        let uniform = self.height * self.width == 1;
        match mean && !uniform {
            true => Self { ceil: true, divisor: Divisor::Padded, scale: 1.0, ..self },
            false => Self { ceil: true, ..self },
        }
    }

    /// Whether the windows lie side by side in the image itself, for which there are kernels of their own.
    pub(crate) fn is_side_by_side(&self) -> bool {
        let beside = self.stride == [self.height, self.width] && self.padding == [[0; 2]; 2];
        beside && !self.ceil && self.divisor == Divisor::None
    }

    /// Rows and columns of windows over an image of `height` x `width`. `None` if a window would lie in the padding
    /// alone, or if there is none.
    pub(crate) fn places(&self, height: usize, width: usize) -> Option<[usize; 2]> {
        let along = |length: usize, size: usize, stride: usize, [before, after]: [usize; 2]| {
            if length == 0 || stride == 0 || before >= size || after >= size {
                return None;
            }
            let room = (length + before + after).checked_sub(size)?;
            let windows = if self.ceil { room.div_ceil(stride) } else { room / stride } + 1;
            // PyTorch's rule: the last window begins in the image or before it.
            let begins_outside = (windows - 1) * stride >= length + before;
            Some(windows - usize::from(begins_outside))
        };
        let rows = along(height, self.height, self.stride[0], self.padding[0])?;
        let columns = along(width, self.width, self.stride[1], self.padding[1])?;
        Some([rows, columns])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_as_pytorch_counts_them() {
        let along = |window: Window, length| window.places(length, 1).map(|p| p[0]);
        let tall = |size, stride, before, after| {
            Window::new(size, 1).strided(stride, 1).padded([[before, after], [0, 0]])
        };
        assert_eq!(along(tall(3, 2, 1, 1), 32), Some(16));
        assert_eq!(along(tall(3, 2, 1, 1).rounded_up(), 32), Some(17));
        assert_eq!(along(tall(2, 2, 0, 0), 5), Some(2));
        assert_eq!(along(tall(2, 2, 0, 0).rounded_up(), 5), Some(3));
        // A third window would begin in the padding behind the image.
        assert_eq!(along(tall(3, 4, 1, 1).rounded_up(), 3), Some(1));
        assert_eq!(along(tall(2, 1, 1, 1), 1), Some(2));
        assert_eq!(along(tall(4, 1, 0, 0), 3), None, "larger than the image");
        assert_eq!(along(tall(2, 1, 2, 0), 3), None, "a window in the padding alone");
        assert_eq!(along(tall(2, 0, 0, 0), 3), None, "windows that do not move on");
    }

    #[test]
    fn only_windows_without_stride_or_padding_of_their_own_are_side_by_side() {
        assert!(Window::mean(2, 3).is_side_by_side() && Window::new(1, 1).is_side_by_side());
        assert!(!Window::mean(2, 2).strided(1, 2).is_side_by_side());
        assert!(!Window::mean(2, 2).padded([[0, 0], [0, 1]]).is_side_by_side());
        assert!(!Window::mean(2, 2).rounded_up().is_side_by_side());
        assert!(!Window::mean_inside(2, 2).is_side_by_side());
    }
}
