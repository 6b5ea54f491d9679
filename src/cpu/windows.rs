//! The geometry of windows with stride and padding, as in `shaders/shared/window.wgsl`.

use super::general::Axis;
use crate::kernels::params::WindowParams;
use std::ops::Range;

/// One side of an image with its windows.
#[derive(Clone, Copy)]
struct Side {
    length: usize,
    windows: usize,
    size: usize,
    stride: usize,
    before: usize,
    after: usize,
}

impl Side {
    /// The cells of a window that are in the image.
    fn cells(&self, window: usize) -> Range<usize> {
        let begin = window * self.stride;
        let end = (begin + self.size).min(self.before + self.length);
        begin.max(self.before) - self.before..end - self.before
    }

    /// The windows that cover a cell.
    fn covering(&self, cell: usize) -> Range<usize> {
        let at = cell + self.before;
        let first = (at + 1).saturating_sub(self.size).div_ceil(self.stride);
        first..(at / self.stride + 1).min(self.windows)
    }

    /// Cells of a window that a mean counts.
    fn counted(&self, window: usize, divisor: u32) -> usize {
        match divisor {
            2 => {
                let begin = window * self.stride;
                (begin + self.size).min(self.before + self.length + self.after) - begin
            }
            _ => self.cells(window).len(),
        }
    }
}

/// The windows of a call.
#[derive(Clone, Copy)]
pub struct Windows {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub rows: usize,
    pub columns: usize,
    down: Side,
    along: Side,
    keys: usize,
    divisor: u32,
    scale: f32,
}

impl Windows {
    pub fn new(p: &WindowParams) -> Self {
        let side = |sizes: [u32; 6]| {
            let [length, windows, size, stride, before, after] = sizes.map(|v| v as usize);
            Side { length, windows, size, stride, before, after }
        };
        Self {
            width: p.width as usize,
            height: p.height as usize,
            channels: p.channels as usize,
            rows: p.rows as usize,
            columns: p.columns as usize,
            down: side([p.height, p.rows, p.window_height, p.stride_height, p.top, p.bottom]),
            along: side([p.width, p.columns, p.window_width, p.stride_width, p.left, p.right]),
            keys: p.keys as usize,
            divisor: p.divisor,
            scale: p.scale,
        }
    }

    /// The axes of rows and of columns. Windows are the coarse side.
    pub fn axes(&self) -> [Axis; 2] {
        [self.down, self.along].map(|side| Axis {
            fine: side.length,
            coarse: side.windows,
            taps: side.size,
            stride: side.stride,
            dilation: 1,
            before: side.before,
        })
    }

    /// The number of images that have their own keys.
    pub fn images_of_keys(&self) -> usize {
        self.keys
    }

    /// The cells of a window in order, counted over one image.
    pub fn cells(&self, row: usize, column: usize) -> impl Iterator<Item = usize> + use<> {
        let (across, width) = (self.along.cells(column), self.width);
        self.down.cells(row).flat_map(move |y| across.clone().map(move |x| y * width + x))
    }

    /// The windows `[row, column]` that cover a pixel.
    pub fn covering(&self, y: usize, x: usize) -> impl Iterator<Item = [usize; 2]> + use<> {
        let columns = self.along.covering(x);
        self.down.covering(y).flat_map(move |row| columns.clone().map(move |column| [row, column]))
    }

    /// What the sum over a window is multiplied by.
    pub fn share(&self, row: usize, column: usize) -> f64 {
        let counted = match self.divisor {
            0 => 1,
            divisor => self.down.counted(row, divisor) * self.along.counted(column, divisor),
        };
        f64::from(self.scale) / counted as f64
    }

    /// The keys of an image; they are repeated over the batch.
    pub fn keys<'a>(&self, keys: &'a [f32], image: usize) -> &'a [f32] {
        let len = self.height * self.width * self.channels;
        &keys[image % self.keys * len..][..len]
    }

    /// The cell of a window with the largest key, the first one of equals.
    pub fn winner(&self, keys: &[f32], row: usize, column: usize, channel: usize) -> usize {
        let mut cells = self.cells(row, column);
        let mut best = cells.next().expect("every window covers some of the image");
        let mut largest = keys[best * self.channels + channel];
        for cell in cells {
            let key = keys[cell * self.channels + channel];
            if wins(key, largest) {
                (best, largest) = (cell, key);
            }
        }
        best
    }
}

/// Whether a key takes the place of the largest one so far: NaN does, as in PyTorch.
pub fn wins(key: f32, largest: f32) -> bool {
    key > largest || key.is_nan()
}
