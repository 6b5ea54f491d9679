//! In which units threads take the outputs of a direct convolution, and where the inputs of each output lie.

use super::layout::Layout;
use super::line::{Line, Phase};
use crate::cpu::simd;
use pulp::{Simd, WithSimd};
use std::borrow::Cow;
use std::ops::Range;

/// Pixels of a unit, at most: so many share one pass over the weights, and their results stay in the second-level cache.
pub const UNIT: usize = 1024;
/// Values of a unit's inputs, at most, beyond the fewest pixels: they stay in the second-level cache.
const INPUTS: usize = 1 << 18;
/// Pixels of a unit, at least where there are more than one.
const LEAST: usize = 48;
/// Units for each thread, so that none waits long for the last one.
const UNITS_PER_THREAD: usize = 4;

/// Outputs that lie side by side in a tile, of a line with so many.
fn side_by_side(count: usize) -> usize {
    match count {
        0..=2 => 1,
        _ if count.next_multiple_of(8) == count.next_multiple_of(4) => 8,
        _ => 4,
    }
}

/// Outputs with the same taps along both axes.
pub struct Part {
    /// For every row of a unit's outputs: where its inputs begin in the unit's, and where its results begin.
    pub rows: Vec<[usize; 2]>,
    /// Outputs of a row.
    pub count: usize,
    /// Values from one result of a row to the next.
    pub apart: usize,
    /// Blocks of inputs of one output, in the order in which their products are added.
    pub steps: Vec<Step>,
    rows_per_image: usize,
}

/// A block of channels under a tap.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Where it begins, from the row's first block on.
    pub offset: usize,
    /// The tap of the weight.
    pub tap: usize,
    /// The first channel.
    pub channel: usize,
}

impl Part {
    /// The rows of a unit.
    pub fn rows(&self, unit: &Unit) -> &[[usize; 2]] {
        let rows = match unit.images {
            1 => unit.rows.min(self.rows_per_image.saturating_sub(unit.first)),
            images => images * self.rows_per_image,
        };
        &self.rows[..rows]
    }
}

/// What one thread computes at a time: whole images, or rows of one.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// The first image.
    pub image: usize,
    /// How many.
    pub images: usize,
    /// The first row, counted within a phase.
    pub first: usize,
    /// How many of them.
    pub rows: usize,
}

/// Some of an image's outputs, of as many columns as all rectangles have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// The image, counted over the batch.
    pub image: usize,
    /// The first row.
    pub row: usize,
    /// The first column.
    pub column: usize,
    /// Rows that are computed. There may be room for more.
    pub rows: usize,
}

/// A direct convolution from `channels[0]` to `channels[1]` channels.
pub struct Plan {
    rows: Line,
    columns: Line,
    /// Channels of the inputs and of the outputs.
    pub channels: [usize; 2],
    /// Outputs by their phases.
    pub parts: Vec<Part>,
    /// Outputs that a tile has side by side.
    pub side: usize,
    /// Of the inputs.
    pub layout: Layout,
    images: usize,
    unit: Unit,
    /// Where the outputs lie, if they are not whole images.
    rectangles: Option<Vec<Rectangle>>,
}

impl Plan {
    /// For rectangles of images. The results lie one rectangle behind the other, with room for as many rows and columns as `rows` and
    /// `columns` have outputs. Both must have one phase.
    pub fn of_rectangles(
        rows: Line,
        columns: Line,
        channels: [usize; 2],
        rectangles: Vec<Rectangle>,
    ) -> Self {
        let plan = Self::spread(rows, columns, channels, rectangles.len());
        Self { rectangles: Some(rectangles), ..plan }
    }

    /// For so many images, in units that keep all threads busy. For outputs only: sums over units depend on their size.
    pub fn spread(rows: Line, columns: Line, channels: [usize; 2], images: usize) -> Self {
        let pixels = images * rows.count() * columns.count();
        let share = pixels.div_ceil(UNITS_PER_THREAD * rayon::current_num_threads());
        Self::new(rows, columns, channels, images, share.clamp(LEAST, UNIT))
    }

    /// For so many images, in units of up to `pixels` per phase.
    pub fn new(rows: Line, columns: Line, channels: [usize; 2], images: usize, pixels: usize) -> Self {
        let pixels = pixels.min((INPUTS / channels[0]).max(LEAST));
        let per_image = rows.count() * columns.count();
        let unit = match pixels / per_image {
            0 | 1 => {
                let band = (pixels / columns.count()).clamp(1, rows.count());
                Unit { image: 0, images: 1, first: 0, rows: band }
            }
            several => Unit { image: 0, images: several.min(images), first: 0, rows: rows.count() },
        };
        let (side, reach) = (side_by_side(columns.count()), columns.reach());
        // The last tile may be wider than what is left of its line.
        let pitch = columns.count().next_multiple_of(side) + (reach[1] - reach[0]) as usize / columns.step();
        let layout = Layout::new(channels[0], columns.step(), pitch);
        let mut plan =
            Self { rows, columns, channels, parts: Vec::new(), side, layout, images, unit, rectangles: None };
        plan.parts = plan.all_parts();
        plan
    }

    /// Lines of inputs under so many rows of outputs per phase.
    fn lines(&self, rows: usize) -> usize {
        let [low, high] = self.rows.reach();
        (rows - 1) * self.rows.step() + (high - low) as usize + 1
    }

    fn all_parts(&self) -> Vec<Part> {
        let phases = |rows| self.columns.phases.iter().map(move |columns| (rows, columns));
        self.rows.phases.iter().flat_map(phases).map(|(rows, columns)| self.part(rows, columns)).collect()
    }

    fn part(&self, rows: &Phase, columns: &Phase) -> Part {
        let (in_band, line) = (self.unit.rows.min(rows.count), self.layout.line());
        let band = (self.unit.rows * self.rows.every()).min(self.rows.outputs);
        let lines = self.lines(self.unit.rows);
        let row = |image: usize, y: usize| {
            let result = (image * band + rows.first + y * rows.every) * self.columns.outputs + columns.first;
            [(image * lines + y * rows.step) * line, result * self.channels[1]]
        };
        Part {
            rows: (0..self.unit.images).flat_map(|i| (0..in_band).map(move |y| row(i, y))).collect(),
            count: columns.count,
            apart: columns.every * self.channels[1],
            steps: self.steps(rows, columns),
            rows_per_image: rows.count,
        }
    }

    fn steps(&self, rows: &Phase, columns: &Phase) -> Vec<Step> {
        let [top, left] = [self.rows.reach()[0], self.columns.reach()[0]];
        let Layout { block, blocks, .. } = self.layout;
        let mut steps = Vec::new();
        for row in &rows.taps {
            for channel in (0..blocks).map(|number| number * block) {
                for column in &columns.taps {
                    let line = (row.at - top) as usize * self.layout.line();
                    let offset = line + self.layout.at((column.at - left) as usize, channel / block);
                    steps.push(Step { offset, tap: row.number * self.columns.taps + column.number, channel });
                }
            }
        }
        steps
    }

    /// Values of an output image.
    fn output_len(&self) -> usize {
        self.rows.outputs * self.columns.outputs * self.channels[1]
    }

    /// All units, with the values that each computes: they lie one behind the other.
    pub fn units(&self) -> Vec<(Unit, usize)> {
        if self.unit.images > 1 {
            let unit = |image| {
                let images = self.unit.images.min(self.images - image);
                (Unit { image, images, ..self.unit }, images * self.output_len())
            };
            return (0..self.images).step_by(self.unit.images).map(unit).collect();
        }
        let line = self.columns.outputs * self.channels[1];
        let unit = |image: usize, first: usize| {
            let rows = self.unit.rows.min(self.rows.count() - first);
            let (every, outputs) = (self.rows.every(), self.rows.outputs);
            let lines = ((first + rows) * every).min(outputs) - first * every;
            (Unit { image, images: 1, first, rows }, lines * line)
        };
        let of_image =
            |image| (0..self.rows.count()).step_by(self.unit.rows).map(move |first| unit(image, first));
        (0..self.images).flat_map(of_image).collect()
    }

    /// The units of rows that are counted over the batch, of outputs with one phase.
    pub fn units_of(&self, lines: Range<usize>) -> Vec<Unit> {
        let (mut units, mut line, height) = (Vec::new(), lines.start, self.rows.outputs);
        while line < lines.end {
            let (image, first) = (line / height, line % height);
            let images = self.unit.images.min((lines.end - line) / height);
            let unit = match first {
                0 if images > 0 && self.unit.rows == height => Unit { image, images, first, rows: height },
                _ => {
                    let rows = self.unit.rows.min(height - first).min(lines.end - line);
                    Unit { image, images: 1, first, rows }
                }
            };
            line += unit.images * unit.rows;
            units.push(unit);
        }
        units
    }

    /// The first output pixel of a unit, counted over the batch.
    pub fn first_pixel(&self, unit: &Unit) -> usize {
        (unit.image * self.rows.outputs + unit.first * self.rows.every()) * self.columns.outputs
    }

    /// Values of a unit's inputs.
    pub fn inputs_len(&self, unit: &Unit) -> usize {
        unit.images * self.lines(unit.rows) * self.layout.line()
    }

    /// Where the outputs of an image, or of one of the rectangles, lie.
    fn place(&self, index: usize) -> Rectangle {
        let whole = || Rectangle { image: index, row: 0, column: 0, rows: self.rows.outputs };
        self.rectangles.as_ref().map_or_else(whole, |rectangles| rectangles[index])
    }

    /// The rows of a part that are computed in a unit.
    pub fn rows<'a>(&self, part: &'a Part, unit: &Unit) -> Cow<'a, [[usize; 2]]> {
        let rows = part.rows(unit);
        if self.rectangles.is_none() {
            return Cow::Borrowed(rows);
        }
        let images = rows.chunks(rows.len() / unit.images).enumerate();
        let computed = images.flat_map(|(index, rows)| {
            let computed = self.place(unit.image + index).rows.saturating_sub(unit.first);
            &rows[..computed.min(rows.len())]
        });
        Cow::Owned(computed.copied().collect())
    }

    /// Writes the inputs of a unit to `copy`, with zeros around them.
    pub fn copy_inputs(&self, unit: &Unit, input: &[f32], copy: &mut [f32]) {
        simd::dispatch(CopyInputs { plan: self, unit, input, copy });
    }
}

struct CopyInputs<'a> {
    plan: &'a Plan,
    unit: &'a Unit,
    input: &'a [f32],
    copy: &'a mut [f32],
}

impl WithSimd for CopyInputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { plan: Plan { rows, columns, layout, channels, .. }, unit, input, copy } = self;
        let lines = self.plan.lines(unit.rows);
        let (top, left) = (rows.reach()[0], columns.reach()[0]);
        let width = columns.inputs * channels[0];
        for (index, line) in copy.chunks_exact_mut(layout.line()).enumerate() {
            let Rectangle { image, row, column, .. } = self.plan.place(unit.image + index / lines);
            let y = top + ((unit.first + row) * rows.step() + index % lines) as isize;
            let left = -left - (column * columns.step()) as isize;
            if y < 0 || y >= rows.inputs as isize {
                line.fill(0.0);
                continue;
            }
            layout.fill(left, &input[(image * rows.inputs + y as usize) * width..][..width], line);
        }
    }
}
