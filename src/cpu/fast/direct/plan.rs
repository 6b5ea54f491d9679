//! Which inputs every output of a direct convolution takes, and in which units threads take the outputs.
//!
//! Along an axis, outputs form one or more *phases*: within a phase, output `t` takes input `t * step + at` for every tap. A
//! convolution has one phase. The gradient by the input of a convolution with stride s has s of them, each with the taps that
//! lie on its pixels, so that no product with zero is computed.

use crate::cpu::general::Axis;
use std::ops::Range;

/// Pixels of a unit, at most: so many share one pass over the weights, and their results stay in the second-level cache.
pub const UNIT: usize = 1024;
/// Values of a unit's inputs, at most, beyond the fewest pixels: they stay in the second-level cache.
const INPUTS: usize = 1 << 18;
/// Pixels of a unit, at least where there are more than one.
const LEAST: usize = 48;
/// Units for each thread, so that none waits long for the last one.
const UNITS_PER_THREAD: usize = 4;
/// Rows of the weight that are applied to all pixels of a unit before the next ones: they stay in the cache.
const ROWS: usize = 256;

/// A tap: the weight of this number goes with the input at `t * step + at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tap {
    at: isize,
    number: usize,
}

/// Outputs with the same taps along an axis: `first`, `first + every`, ...
#[derive(Clone, Debug)]
struct Phase {
    first: usize,
    every: usize,
    count: usize,
    step: usize,
    taps: Vec<Tap>,
}

/// Rows or columns.
#[derive(Clone, Debug)]
pub struct Line {
    inputs: usize,
    outputs: usize,
    taps: usize,
    phases: Vec<Phase>,
}

impl Line {
    /// From the fine side to the coarse one.
    pub fn forward(axis: &Axis) -> Self {
        let at = |number| Tap { at: axis.place_of(0, number), number };
        let taps = (0..axis.taps).map(at).collect();
        let phase = Phase { first: 0, every: 1, count: axis.coarse, step: axis.stride, taps };
        Self { inputs: axis.fine, outputs: axis.coarse, taps: axis.taps, phases: vec![phase] }
    }

    /// From the coarse side back to the fine one.
    pub fn backward(axis: &Axis) -> Self {
        let stride = axis.stride;
        let phase = |first: usize| {
            let tap = |number| {
                let from = first as isize - axis.place_of(0, number);
                (from.rem_euclid(stride as isize) == 0)
                    .then(|| Tap { at: from.div_euclid(stride as isize), number })
            };
            let mut taps: Vec<Tap> = (0..axis.taps).filter_map(tap).collect();
            taps.sort_by_key(|tap| tap.at);
            Phase { first, every: stride, count: (axis.fine - first).div_ceil(stride), step: 1, taps }
        };
        let phases = (0..stride.min(axis.fine)).map(phase).collect();
        Self { inputs: axis.coarse, outputs: axis.fine, taps: axis.taps, phases }
    }

    fn every(&self) -> usize {
        self.phases[0].every
    }

    fn step(&self) -> usize {
        self.phases[0].step
    }

    /// Outputs per phase, at most.
    fn count(&self) -> usize {
        self.phases[0].count
    }

    /// The first and the last input of output 0 of all phases; 0 where no tap is.
    fn reach(&self) -> [isize; 2] {
        let taps = || self.phases.iter().flat_map(|phase| &phase.taps).map(|tap| tap.at);
        [taps().min().unwrap_or(0), taps().max().unwrap_or(0)]
    }

    /// Whether every input that is taken exists.
    fn is_inside(&self) -> bool {
        let last = |phase: &Phase| {
            let at = phase.taps.iter().map(|tap| tap.at).max().unwrap_or(0);
            ((phase.count - 1) * phase.step) as isize + at
        };
        let most = self.phases.iter().map(last).max().unwrap_or(0);
        self.reach()[0] >= 0 && most < self.inputs as isize
    }
}

/// Inputs of a pixel that lie side by side, from `offset` behind the pixel's first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// In values.
    pub offset: usize,
    /// In values.
    pub len: usize,
}

/// Outputs with the same taps along both axes.
pub struct Part {
    /// Of every pixel of a unit, where its inputs begin in the unit's.
    pub bases: Vec<usize>,
    /// Of every pixel of a unit, where its results begin in the unit's.
    pub places: Vec<usize>,
    /// Inputs of one pixel, in the order of the taps.
    pub runs: Vec<Run>,
    /// The same, cut into parts that are applied one after the other.
    pub chunks: Vec<Vec<Run>>,
    /// The taps in the order of the runs.
    pub taps: Vec<usize>,
    /// Pixels of one image's row or of one whole image: what a shorter unit leaves out.
    per_step: usize,
    rows: usize,
}

impl Part {
    /// Pixels in a unit of so many images, or of so many rows per phase of one image.
    pub fn pixels(&self, unit: &Unit) -> usize {
        match unit.images {
            1 => self.per_step * unit.rows.min(self.rows.saturating_sub(unit.first)),
            images => images * self.per_step * self.rows,
        }
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

/// A direct convolution from `channels[0]` to `channels[1]` channels.
pub struct Plan {
    rows: Line,
    columns: Line,
    /// Channels of the inputs and of the outputs.
    pub channels: [usize; 2],
    /// Outputs by their phases.
    pub parts: Vec<Part>,
    images: usize,
    unit: Unit,
    inside: bool,
    /// Input pixels from one line to the next in a unit's inputs.
    pitch: usize,
}

impl Plan {
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
        let inside = rows.is_inside() && columns.is_inside();
        let reach = columns.reach();
        let padded = (columns.count() - 1) * columns.step() + (reach[1] - reach[0]) as usize + 1;
        let pitch = if inside { columns.inputs } else { padded };
        let mut plan = Self { rows, columns, channels, parts: Vec::new(), images, unit, inside, pitch };
        plan.parts = plan.all_parts();
        plan
    }

    /// Values of an image's inputs within a unit.
    fn image_len(&self) -> usize {
        let lines = if self.inside { self.rows.inputs } else { self.lines(self.unit.rows) };
        lines * self.pitch * self.channels[0]
    }

    /// Lines of inputs under so many rows of outputs per phase.
    fn lines(&self, rows: usize) -> usize {
        let [low, high] = self.rows.reach();
        (rows - 1) * self.rows.step() + (high - low) as usize + 1
    }

    /// Where the inputs begin, in lines and pixels from the first output's own.
    fn origin(&self) -> [isize; 2] {
        if self.inside { [0, 0] } else { [self.rows.reach()[0], self.columns.reach()[0]] }
    }

    fn all_parts(&self) -> Vec<Part> {
        let phases = |rows| self.columns.phases.iter().map(move |columns| (rows, columns));
        self.rows.phases.iter().flat_map(phases).map(|(rows, columns)| self.part(rows, columns)).collect()
    }

    fn part(&self, rows: &Phase, columns: &Phase) -> Part {
        let [inputs, outputs] = self.channels;
        let (in_band, mut bases, mut places) = (self.unit.rows.min(rows.count), Vec::new(), Vec::new());
        let band = (self.unit.rows * self.rows.every()).min(self.rows.outputs);
        for image in 0..self.unit.images {
            for y in 0..in_band {
                for x in 0..columns.count {
                    let from = y * rows.step * self.pitch + x * columns.step;
                    bases.push(image * self.image_len() + from * inputs);
                    let line = image * band + rows.first + y * rows.every;
                    places.push((line * self.columns.outputs + columns.first + x * columns.every) * outputs);
                }
            }
        }
        let (runs, taps) = self.runs(rows, columns);
        let chunks = chunks(&runs);
        Part { bases, places, runs, chunks, taps, per_step: columns.count, rows: rows.count }
    }

    /// Inputs of one pixel, and the taps that they go with.
    fn runs(&self, rows: &Phase, columns: &Phase) -> (Vec<Run>, Vec<usize>) {
        let (len, origin) = (self.channels[0], self.origin());
        let (mut runs, mut taps): (Vec<Run>, Vec<usize>) = (Vec::new(), Vec::new());
        for row in &rows.taps {
            for column in &columns.taps {
                let line = (row.at - origin[0]) as usize;
                let offset = (line * self.pitch + (column.at - origin[1]) as usize) * len;
                taps.push(row.number * self.columns.taps + column.number);
                match runs.last_mut() {
                    Some(last) if last.offset + last.len == offset => last.len += len,
                    _ => runs.push(Run { offset, len }),
                }
            }
        }
        (runs, taps)
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

    /// The inputs of a unit: a part of `input`, or a copy with zeros around it in `padded`, for which `room` takes memory.
    pub fn inputs<'a>(
        &self,
        unit: &Unit,
        input: &'a [f32],
        padded: &'a mut Vec<f32>,
        room: impl Fn(&mut Vec<f32>, usize),
    ) -> &'a [f32] {
        let (len, pitch) = (self.channels[0], self.pitch);
        let image = self.rows.inputs * self.columns.inputs * len;
        if self.inside {
            let from = unit.image * image + unit.first * self.rows.step() * pitch * len;
            return &input[from..(unit.image + unit.images) * image];
        }
        let lines = self.lines(unit.rows);
        room(padded, unit.images * lines * pitch * len);
        let [top, left] = self.origin();
        let top = top + (unit.first * self.rows.step()) as isize;
        let before = (-left).max(0) as usize;
        let after = (pitch as isize + left).clamp(0, self.columns.inputs as isize) as usize;
        let from_column = left.max(0) as usize;
        for (index, line) in padded.chunks_exact_mut(pitch * len).enumerate() {
            let (image_number, y) = (unit.image + index / lines, top + (index % lines) as isize);
            if y < 0 || y >= self.rows.inputs as isize || from_column >= after {
                line.fill(0.0);
                continue;
            }
            let from = &input[image_number * image + y as usize * self.columns.inputs * len..];
            let from = &from[from_column * len..after * len];
            let (zeros, rest) = line.split_at_mut(before * len);
            let (own, others) = rest.split_at_mut(from.len());
            zeros.fill(0.0);
            own.copy_from_slice(from);
            others.fill(0.0);
        }
        padded
    }
}

/// Runs in parts of no more than [`ROWS`] values; one empty part where there are none.
fn chunks(runs: &[Run]) -> Vec<Vec<Run>> {
    let (mut chunks, mut room) = (vec![Vec::new()], ROWS);
    for run in runs {
        let mut rest = *run;
        while rest.len > 0 {
            if room == 0 {
                chunks.push(Vec::new());
                room = ROWS;
            }
            let len = rest.len.min(room);
            chunks.last_mut().expect("there is one").push(Run { offset: rest.offset, len });
            rest = Run { offset: rest.offset + len, len: rest.len - len };
            room -= len;
        }
    }
    chunks
}
