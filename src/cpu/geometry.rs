//! The index arithmetic and the epilogue that the convolution twins share.

use crate::graph::Borders;
use crate::graph::operation::codes::{BIAS, BIAS_LEAKY, BORDER_BIAS_LEAKY, LEAKY_MASK};
use crate::kernels::Arguments;
use crate::kernels::params::ConvolutionParams;
use std::ops::Range;

/// A convolution call's parameters and constants with the derived extents.
#[derive(Clone, Copy)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Rows of the coarse side.
    pub height: usize,
    /// Columns of the coarse side.
    pub width: usize,
    /// Channels of the fine side.
    pub a: usize,
    /// Channels of the coarse side.
    pub b: usize,
    /// Side of the kernel.
    pub size: usize,
    /// Fine positions per coarse position.
    pub stride: usize,
    /// Coarse rows per partial sum.
    pub rows_per_split: usize,
    /// Whether a weight gradient has the bias's as a further row.
    pub bias: bool,
    /// The code of a [`crate::graph::Epilogue`].
    pub epilogue: u32,
    /// Its slope.
    pub slope: f32,
}

impl Geometry {
    /// Reads a call's geometry.
    pub fn of(call: &Arguments) -> Self {
        let p: ConvolutionParams = call.params();
        Self {
            batch: p.batch as usize,
            height: p.height as usize,
            width: p.width as usize,
            a: p.fine_channels as usize,
            b: p.coarse_channels as usize,
            size: call.constant("KERNEL") as usize,
            stride: call.constant("STRIDE") as usize,
            rows_per_split: p.rows_per_split as usize,
            bias: call.constant("BIAS") == 1,
            epilogue: call.constant("EPILOGUE"),
            slope: p.slope,
        }
    }

    /// Rows of a part of a weight gradient.
    pub fn weight_rows(&self) -> usize {
        self.size * self.size * self.a + usize::from(self.bias)
    }

    /// The coarse rows of a part.
    pub fn split(&self, part: usize) -> Range<usize> {
        part * self.rows_per_split..((part + 1) * self.rows_per_split).min(self.batch * self.height)
    }

    /// Rows of the fine side.
    pub fn fine_height(&self) -> usize {
        self.height * self.stride
    }

    /// Columns of the fine side.
    pub fn fine_width(&self) -> usize {
        self.width * self.stride
    }

    /// Where the values that the epilogue needs for a fine pixel begin in the third operand: at its own place of an
    /// activation, or at the place by the border that stands for it.
    pub fn beside(&self, image: usize, y: usize, x: usize) -> usize {
        let (height, width) = (self.fine_height(), self.fine_width());
        let borders = Borders { stride: self.stride };
        let pixel = match self.epilogue {
            BORDER_BIAS_LEAKY => {
                let [row, column] = [borders.class(y, height), borders.class(x, width)];
                (image * borders.side() + row) * borders.side() + column
            }
            _ => (image * height + y) * width + x,
        };
        pixel * self.a
    }

    /// The fine row or column under tap `k` of coarse position `o`, if it is inside `extent`.
    pub fn fine(&self, o: usize, k: usize, extent: usize) -> Option<usize> {
        (o * self.stride + k).checked_sub(self.size / 2).filter(|&i| i < extent)
    }

    /// The coarse position whose tap `k` lies on fine position `i`, if there is one inside `extent`.
    pub fn coarse(&self, i: usize, k: usize, extent: usize) -> Option<usize> {
        let shifted = (i + self.size / 2).checked_sub(k)?;
        (shifted.is_multiple_of(self.stride)).then_some(shifted / self.stride).filter(|&o| o < extent)
    }
}

/// Where an element of one of several matrices stands, in the layout of `shaders/shared/blocks.wgsl`.
pub fn element(matrices: usize, columns: usize, [matrix, row, column]: [usize; 3]) -> usize {
    let block = (row / 8 * matrices + matrix) * (columns / 8) + column / 8;
    (block * 8 + row % 8) * 8 + column % 8
}

/// Ends the sums of one pixel's channels as the epilogue says. `beside` is the bias, or the whole activation or border
/// biases of which the pixel's own values begin at `at`.
pub fn finish((epilogue, slope): (u32, f32), sums: &[f64], beside: &[f32], at: usize, out: &mut [f32]) {
    let slope = f64::from(slope);
    for (channel, (&sum, out)) in sums.iter().zip(out).enumerate() {
        let value = match epilogue {
            BIAS | BIAS_LEAKY => sum + f64::from(beside[channel]),
            BORDER_BIAS_LEAKY => sum + f64::from(beside[at + channel]),
            _ => sum,
        };
        let positive = match epilogue {
            BIAS_LEAKY | BORDER_BIAS_LEAKY => value > 0.0,
            LEAKY_MASK => beside[at + channel] > 0.0,
            _ => true,
        };
        *out = if positive { value } else { slope * value } as f32;
    }
}
