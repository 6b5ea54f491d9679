//! What has to be computed when only patches of the images have changed since the last run.
//!
//! Square needs thousands of forward passes. Each is over images that differ in one or two small windows from images whose
//! results are known. A convolution spreads a change by the reach of its taps: early layers change in small rectangles, and late
//! layers everywhere. For convolutions and plain average pooling, rectangles are computed. For all other calls, the whole result is.
//!
//! Two other ways were considered. A mask of changed pixels would suit changes of any shape, but the tiles of a direct
//! convolution want many rectangles of one width. Adding the effect of a change to a known sum would save more, but it rounds
//! in another way. Here results have the same bits as those of a whole run.
//!
//! All rectangles of a call have one size, which follows from the size of the patches. At a border a rectangle has fewer rows.

use crate::cpu::fast::{Rectangle, conv2d, pool};
use crate::cpu::general::{Axis, General};
use crate::cpu::geometry::Geometry;
use crate::cpu::windows::Windows;
use crate::graph::operation::codes::{BIAS, BIAS_LEAKY, NOTHING};
use crate::kernels::Call;
use crate::kernels::params::PoolParams;
use crate::program::{Program, RootKind, TensorId};
use std::collections::HashMap;
use std::ops::Range;

/// Where rectangles cover more of a result than this, the whole is computed.
const MOST: f64 = 0.9;
/// Following must save at least this part of the operations, because keeping all results has a cost.
const LEAST_SAVED: f64 = 0.2;

/// The first pixel of a patch of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The image, counted over the batch.
    pub image: usize,
    /// Its row.
    pub row: usize,
    /// Its column.
    pub column: usize,
}

/// Along one axis, the places of a tensor that depend on a patch of the image: from `(at + low) / scale` to `(at + high) / scale` for a
/// patch that begins at `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    scale: isize,
    low: isize,
    high: isize,
    /// Places that the tensor has.
    extent: usize,
}

impl Reach {
    /// In the image itself.
    fn of_image(extent: usize, patch: usize) -> Self {
        Self { scale: 1, low: 0, high: patch as isize - 1, extent }
    }

    /// In the result of windows over it.
    fn through(&self, axis: &Axis) -> Option<Self> {
        let span = (axis.taps.max(1) - 1) * axis.dilation;
        (self.extent == axis.fine).then(|| Self {
            scale: self.scale * axis.stride as isize,
            low: self.low + (axis.before as isize - span as isize) * self.scale,
            high: self.high + axis.before as isize * self.scale,
            extent: axis.coarse,
        })
    }

    /// The reach of a tensor whose places depend on the same places of both.
    fn with(&self, other: &Self) -> Option<Self> {
        let same = self.scale == other.scale && self.extent == other.extent;
        let (low, high) = (self.low.min(other.low), self.high.max(other.high));
        same.then_some(Self { low, high, ..*self })
    }

    /// Places that depend on a patch, at most.
    fn count(&self) -> usize {
        let span = ((self.high - self.low) / self.scale + 1) as usize;
        span.min(self.extent)
    }

    /// Those that depend on a patch which begins at `at`.
    fn around(&self, at: usize) -> Range<usize> {
        let (from, to) = (at as isize + self.low, at as isize + self.high);
        let first = -(-from).div_euclid(self.scale);
        let inside = |place: isize| place.clamp(0, self.extent as isize) as usize;
        let (first, end) = (inside(first), inside(to.div_euclid(self.scale) + 1));
        first.min(end)..end
    }

    /// The first of [`Self::count`] places that contain them.
    fn first(&self, at: usize) -> usize {
        self.around(at).start.min(self.extent - self.count())
    }
}

/// Rows and columns.
type Reaches = [Reach; 2];

/// What a tensor depends on.
#[derive(Clone, Copy)]
enum Change {
    /// Some places around each patch.
    Around(Reaches),
    /// It may change everywhere.
    Whole,
}

/// A call of which rectangles are computed.
#[derive(Clone)]
pub struct Cut {
    kernel: Kernel,
    reaches: Reaches,
    channels: usize,
}

/// A kernel that computes rectangles.
#[derive(Clone)]
enum Kernel {
    Convolution(General),
    Pool(PoolParams),
}

impl Cut {
    /// Rows and columns for which a rectangle has room.
    fn size(&self) -> [usize; 2] {
        self.reaches.map(|reach| reach.count())
    }

    /// Values of each.
    pub fn len(&self) -> usize {
        self.size().iter().product::<usize>() * self.channels
    }

    /// Where they lie for patches of the image.
    pub fn rectangles(&self, patches: &[Patch]) -> Vec<Rectangle> {
        let [rows, columns] = self.reaches;
        let around = |patch: &Patch| {
            let own = rows.around(patch.row);
            let column = columns.first(patch.column);
            Rectangle { image: patch.image, row: own.start, column, rows: own.len() }
        };
        patches.iter().map(around).collect()
    }

    /// Computes them, one behind the other, from the call's operands.
    pub fn compute(&self, rectangles: &[Rectangle], reads: &[&[f32]], out: &mut [f32]) {
        match (&self.kernel, reads) {
            (Kernel::Convolution(general), &[input, weight, beside, ..]) => {
                let reads = [input, weight, beside];
                conv2d::rectangles(general, rectangles.to_vec(), self.size(), reads, out);
            }
            (Kernel::Pool(params), _) => pool::rectangles(params, rectangles, self.size(), reads[0], out),
            (Kernel::Convolution(_), _) => unreachable!("a convolution has three operands"),
        }
    }

    /// Lets a rectangle of the result change places with `own`.
    pub fn exchange(&self, at: &Rectangle, result: &mut [f32], own: &mut [f32]) {
        let [rows, columns] = self.reaches.map(|reach| reach.extent);
        let line = self.size()[1] * self.channels;
        for (row, own) in own.chunks_exact_mut(line).enumerate().take(at.rows) {
            let pixel = (at.image * rows + at.row + row) * columns + at.column;
            result[pixel * self.channels..][..line].swap_with_slice(own);
        }
    }
}

/// How much of a call is computed again.
#[derive(Clone)]
pub enum Work {
    /// Its results are known.
    Nothing,
    /// Rectangles of its result are computed.
    Cut(Box<Cut>),
    /// All of its results are computed.
    Whole,
}

/// How much of each call is computed again when every image of `input` (`[n, height, width, channels]`) changes in `of_image` patches of `size` rows and
/// columns. `None` if that saves too little, or if a second run would not find what the first one found.
pub fn works(program: &Program, input: &str, size: [usize; 2], of_image: usize) -> Option<Vec<Work>> {
    let root = program.input(input)?;
    let [images, height, width, _] = extents(program, root)?;
    if !is_repeatable(program) || size[0] > height || size[1] > width {
        return None;
    }
    let reaches = [Reach::of_image(height, size[0]), Reach::of_image(width, size[1])];
    let changes = HashMap::from([(root, Change::Around(reaches))]);
    let starts = height - size[0] + 1;
    let mut analysis = Analysis { program, images, of_image, starts, changes };
    let works: Vec<Work> = program.calls.iter().map(|call| analysis.work(call)).collect();
    let part = |work: &Work| match work {
        Work::Nothing => 0.0,
        Work::Cut(cut) => analysis.covered(&cut.reaches),
        Work::Whole => 1.0,
    };
    let flops = program.calls.iter().zip(&works).map(|(call, work)| part(work) * call.flops as f64);
    (flops.sum::<f64>() < (1.0 - LEAST_SAVED) * program.flops() as f64).then_some(works)
}

/// `[n, height, width, channels]` of the images in a root.
pub fn extents(program: &Program, root: usize) -> Option<[usize; 4]> {
    let mut shapes = program.tensors.iter().filter(|tensor| tensor.root == root);
    shapes.find_map(|tensor| tensor.shape.image())
}

/// Whether calls can run again with the same result: no memory is written twice, no call writes what it reads, and no call writes a
/// state or an input.
fn is_repeatable(program: &Program) -> bool {
    let root = |id: &TensorId| program.tensor(*id).root;
    let computed =
        |call: &Call| call.writes.iter().all(|id| program.roots[root(id)].kind == RootKind::Computed);
    let apart =
        |call: &Call| !call.writes.iter().any(|id| call.reads.iter().any(|read| root(read) == root(id)));
    let span = |id: &TensorId| {
        let tensor = program.tensor(*id);
        (tensor.root, tensor.offset, tensor.offset + tensor.shape.len())
    };
    let mut written: Vec<_> = program.calls.iter().flat_map(|call| &call.writes).map(span).collect();
    written.sort_unstable();
    let once = written.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1);
    once && program.calls.iter().all(|call| computed(call) && apart(call))
}

struct Analysis<'a> {
    program: &'a Program,
    images: usize,
    of_image: usize,
    /// Rows at which a patch may begin.
    starts: usize,
    /// By root, of those that depend on the patches.
    changes: HashMap<usize, Change>,
}

impl Analysis<'_> {
    /// The part of a result that rectangles cover, of patches anywhere: a rectangle has fewer rows at a border.
    fn covered(&self, [rows, columns]: &Reaches) -> f64 {
        let computed: usize = (0..self.starts).map(|row| rows.around(row).len()).sum();
        let rows = computed as f64 / (self.starts * rows.extent) as f64;
        rows * columns.count() as f64 / columns.extent as f64 * self.of_image as f64
    }

    fn work(&mut self, call: &Call) -> Work {
        let read = call.reads.iter().enumerate().filter(|(index, _)| call.is_read(*index));
        let changed: Vec<(usize, Change)> =
            read.filter_map(|(index, id)| Some((index, self.change(*id)?))).collect();
        if changed.is_empty() {
            return Work::Nothing;
        }
        let change = match call.writes.iter().all(|id| self.is_whole_root(*id)) {
            true => self.result(call, &changed),
            false => None,
        };
        let root = |id: &TensorId| self.program.tensor(*id).root;
        let to = change.map_or(Change::Whole, Change::Around);
        self.changes.extend(call.writes.iter().map(|id| (root(id), to)));
        match (change, kernel(call)) {
            (Some(reaches), Some(kernel)) if self.covered(&reaches) < MOST => {
                let channels = self.program.tensor(call.writes[0]).shape.channels();
                Work::Cut(Box::new(Cut { kernel, reaches, channels }))
            }
            _ => Work::Whole,
        }
    }

    /// What a tensor depends on, if it depends on the patches.
    fn change(&self, id: TensorId) -> Option<Change> {
        let change = self.changes.get(&self.program.tensor(id).root)?;
        Some(if self.is_whole_root(id) { *change } else { Change::Whole })
    }

    fn is_whole_root(&self, id: TensorId) -> bool {
        let tensor = self.program.tensor(id);
        tensor.offset == 0 && tensor.shape.len() == self.program.roots[tensor.root].len
    }

    /// What the results depend on; `None` for anything.
    fn result(&self, call: &Call, changed: &[(usize, Change)]) -> Option<Reaches> {
        let around = |&(index, change): &(usize, Change)| match change {
            Change::Around(reaches) => Some((index, reaches)),
            Change::Whole => None,
        };
        let changed: Vec<(usize, Reaches)> = changed.iter().map(around).collect::<Option<_>>()?;
        if let Some(general) = convolution(call) {
            let [(0, reaches)] = changed.as_slice() else { return None };
            return (general.batch == self.images)
                .then(|| through(reaches, [&general.rows, &general.columns]))?;
        }
        let joined = |mut changed: std::slice::Iter<(usize, Reaches)>| {
            let (_, first) = changed.next()?;
            changed.try_fold(*first, |[a, b], (_, [c, d])| Some([a.with(c)?, b.with(d)?]))
        };
        let reaches = joined(changed.iter())?;
        match call.kernel.name {
            "unary" | "binary" | "elementwise" => {
                let len = |id: &TensorId| self.program.tensor(*id).shape.len();
                let own =
                    call.writes.iter().map(len).chain(changed.iter().map(|(i, _)| len(&call.reads[*i])));
                own.clone().all(|len| Some(len) == own.clone().next()).then_some(reaches)
            }
            "pool" => through(&reaches, pooled(&call.arguments(&[], &mut []).params()).each_ref()),
            "window_pool" | "max_pool" => {
                let windows = Windows::new(&call.arguments(&[], &mut []).params());
                (windows.images_of_keys() == self.images || call.kernel.name == "window_pool")
                    .then(|| through(&reaches, windows.axes().each_ref()))?
            }
            _ => None,
        }
    }
}

fn through([rows, columns]: &Reaches, axes: [&Axis; 2]) -> Option<Reaches> {
    Some([rows.through(axes[0])?, columns.through(axes[1])?])
}

/// The geometry of a convolution.
fn convolution(call: &Call) -> Option<General> {
    let arguments = call.arguments(&[], &mut []);
    match call.kernel.name {
        "conv2d" => Some(General::usual(&Geometry::of(&arguments))),
        "convolution" => Some(General::of(&arguments)),
        _ => None,
    }
}

/// The kernel of a call that can be cut.
fn kernel(call: &Call) -> Option<Kernel> {
    if call.kernel.name == "pool" {
        return Some(Kernel::Pool(call.arguments(&[], &mut []).params()));
    }
    let ended = |general: &General| [NOTHING, BIAS, BIAS_LEAKY].contains(&general.epilogue.0);
    convolution(call).filter(|general| general.groups == 1 && ended(general)).map(Kernel::Convolution)
}

fn pooled(p: &PoolParams) -> [Axis; 2] {
    let axis = |length: u32, window: u32| {
        let [fine, taps] = [length, window].map(|v| v as usize);
        Axis { fine, coarse: fine / taps, taps, stride: taps, dilation: 1, before: 0 }
    };
    [axis(p.height, p.window_height), axis(p.width, p.window_width)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_has_all_places_that_depend_on_a_patch_and_no_more_than_it_counts() {
        let axis = |fine: usize, taps: usize, stride: usize, dilation: usize, before: usize| {
            let coarse = (fine + 2 * before - (taps - 1) * dilation - 1) / stride + 1;
            Axis { fine, coarse, taps, stride, dilation, before }
        };
        let (extent, patch) = (37, 4);
        for layers in [
            vec![axis(37, 3, 1, 1, 1), axis(37, 3, 2, 1, 1), axis(19, 2, 2, 1, 0)],
            vec![axis(37, 5, 3, 1, 0), axis(11, 3, 1, 2, 2)],
            vec![axis(37, 1, 3, 1, 0), axis(13, 3, 2, 1, 1)],
            vec![axis(37, 2, 1, 9, 0)],
        ] {
            for at in 0..=extent - patch {
                let mut depends: Vec<bool> = (0..extent).map(|i| (at..at + patch).contains(&i)).collect();
                let mut reach = Reach::of_image(extent, patch);
                for axis in &layers {
                    let sees =
                        |o: usize| (0..axis.taps).filter_map(|tap| axis.fine_at(o, tap)).any(|i| depends[i]);
                    depends = (0..axis.coarse).map(sees).collect();
                    reach = reach.through(axis).unwrap();
                    let (around, first) = (reach.around(at), reach.first(at));
                    let all: Vec<usize> = (0..axis.coarse).filter(|&o| depends[o]).collect();
                    assert!(all.iter().all(|o| around.contains(o)), "{all:?} in {around:?}");
                    assert!(around.len() <= reach.count() && first + reach.count() <= axis.coarse);
                    assert!(around.is_empty() || around.end <= first + reach.count());
                }
            }
        }
    }
}
