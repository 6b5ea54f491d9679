//! The index arithmetic of convolutions of any geometry, as in `shaders/shared/general.wgsl`.

use super::geometry::Geometry;
use crate::kernels::Arguments;
use crate::kernels::params::GeneralParams;
use std::ops::Range;

/// Rows or columns of both sides.
#[derive(Clone, Copy)]
pub struct Axis {
    /// Of the fine side.
    pub fine: usize,
    /// Of the coarse side.
    pub coarse: usize,
    /// Taps.
    pub taps: usize,
    /// Fine places from one coarse place to the next.
    pub stride: usize,
    /// Fine places from one tap to the next.
    pub dilation: usize,
    /// Places before the image.
    pub before: usize,
}

impl Axis {
    /// One tap, on the place itself.
    pub fn pixelwise(places: usize) -> Self {
        Self { fine: places, coarse: places, taps: 1, stride: 1, dilation: 1, before: 0 }
    }

    /// The fine place under tap `k` of coarse place `o`, which may lie outside the image.
    pub fn place_of(&self, o: usize, k: usize) -> isize {
        (o * self.stride + k * self.dilation) as isize - self.before as isize
    }

    /// The fine place under tap `k` of coarse place `o`, if it is in the image.
    pub fn fine_at(&self, o: usize, k: usize) -> Option<usize> {
        (o * self.stride + k * self.dilation).checked_sub(self.before).filter(|&i| i < self.fine)
    }

    /// The coarse place whose tap `k` lies on fine place `i`, if there is one.
    pub fn coarse_at(&self, i: usize, k: usize) -> Option<usize> {
        let from = (i + self.before).checked_sub(k * self.dilation)?;
        from.is_multiple_of(self.stride).then_some(from / self.stride).filter(|&o| o < self.coarse)
    }
}

/// A call's parameters and constants.
#[derive(Clone, Copy)]
pub struct General {
    /// Rows.
    pub rows: Axis,
    /// Columns.
    pub columns: Axis,
    /// Images.
    pub batch: usize,
    /// Channels of the fine side.
    pub a: usize,
    /// Channels of the coarse side.
    pub b: usize,
    /// Groups of channels.
    pub groups: usize,
    /// The code of a [`crate::graph::Epilogue`] and its slope.
    pub epilogue: (u32, f32),
    rows_per_split: usize,
}

impl General {
    /// Reads a call's geometry.
    pub fn of(call: &Arguments) -> Self {
        let p: GeneralParams = call.params();
        let axis = |values: [u32; 6]| {
            let [fine, coarse, taps, stride, dilation, before] = values.map(|v| v as usize);
            Axis { fine, coarse, taps, stride, dilation, before }
        };
        Self {
            rows: axis([p.fine_height, p.height, p.kernel_height, p.stride_height, p.dilation_height, p.top]),
            columns: axis([p.fine_width, p.width, p.kernel_width, p.stride_width, p.dilation_width, p.left]),
            batch: p.batch as usize,
            a: p.fine_channels as usize,
            b: p.coarse_channels as usize,
            groups: p.groups as usize,
            epilogue: (call.constant("EPILOGUE"), p.slope),
            rows_per_split: p.rows_per_split as usize,
        }
    }

    /// The usual geometry, which has kernels of its own.
    pub fn usual(g: &Geometry) -> Self {
        let axis = |coarse| Axis {
            fine: coarse * g.stride,
            coarse,
            taps: g.size,
            stride: g.stride,
            dilation: 1,
            before: g.size / 2,
        };
        Self {
            rows: axis(g.height),
            columns: axis(g.width),
            batch: g.batch,
            a: g.a,
            b: g.b,
            groups: 1,
            epilogue: (g.epilogue, g.slope),
            rows_per_split: g.rows_per_split,
        }
    }

    /// Fine and coarse channels of a group.
    pub fn of_group(&self) -> [usize; 2] {
        [self.a / self.groups, self.b / self.groups]
    }

    /// Taps of a kernel.
    pub fn taps(&self) -> usize {
        self.rows.taps * self.columns.taps
    }

    /// The coarse rows, counted over the batch, of a part.
    pub fn split(&self, part: usize) -> Range<usize> {
        part * self.rows_per_split..((part + 1) * self.rows_per_split).min(self.batch * self.rows.coarse)
    }

    /// The image, row and column of a coarse pixel counted over the batch.
    pub fn coarse_place(&self, pixel: usize) -> [usize; 3] {
        place(pixel, &self.rows, &self.columns, |axis| axis.coarse)
    }

    /// The image, row and column of a fine pixel counted over the batch.
    pub fn fine_place(&self, pixel: usize) -> [usize; 3] {
        place(pixel, &self.rows, &self.columns, |axis| axis.fine)
    }

    /// Taps of the coarse pixel at a place that are in the image, and the fine pixels under them, counted over the batch.
    pub fn under(&self, [image, oy, ox]: [usize; 3]) -> impl Iterator<Item = (usize, usize)> {
        let (rows, columns) = (self.rows, self.columns);
        (0..rows.taps).filter_map(move |ky| Some((ky, rows.fine_at(oy, ky)?))).flat_map(move |(ky, y)| {
            let line = (image * rows.fine + y) * columns.fine;
            (0..columns.taps)
                .filter_map(move |kx| Some((ky * columns.taps + kx, line + columns.fine_at(ox, kx)?)))
        })
    }

    /// Taps that lie on the fine pixel at a place, and the coarse pixels that they belong to.
    pub fn over(&self, [image, y, x]: [usize; 3]) -> impl Iterator<Item = (usize, usize)> {
        let (rows, columns) = (self.rows, self.columns);
        (0..rows.taps).filter_map(move |ky| Some((ky, rows.coarse_at(y, ky)?))).flat_map(move |(ky, oy)| {
            let line = (image * rows.coarse + oy) * columns.coarse;
            (0..columns.taps)
                .filter_map(move |kx| Some((ky * columns.taps + kx, line + columns.coarse_at(x, kx)?)))
        })
    }
}

fn place(pixel: usize, rows: &Axis, columns: &Axis, extent: impl Fn(&Axis) -> usize) -> [usize; 3] {
    let (height, width) = (extent(rows), extent(columns));
    [pixel / width / height, pixel / width % height, pixel % width]
}
