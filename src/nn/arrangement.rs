//! Layers that move values without arithmetic, and reductions: what is left of reshaping when networks come from
//! elsewhere.
//!
//! The values of an image are seen as `[before, extent, after]`, whatever their extents are: the axis in the middle is the
//! one that a layer works on. All of them give a row of numbers, which [`Layer::Reshape`](super::layer::Layer::Reshape)
//! may see as an image again.

use super::layer::{Extents, Pooling};
use crate::graph::{Graph, GraphError, Resize, Shape, Tensor, Window};
use serde::{Deserialize, Serialize};

/// Values that an image may have between two layers; more are refused before anything is computed.
pub(super) const MOST_VALUES: usize = 1 << 28;

/// Pieces that one layer may cut an image into; each is a call of a kernel.
const MOST_PIECES: usize = 4096;

/// The values of an image around one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Places before the axis, in all.
    pub before: usize,
    /// Places of the axis.
    pub extent: usize,
    /// Values of each place.
    pub after: usize,
}

impl Axis {
    fn len(self) -> Option<usize> {
        self.before.checked_mul(self.extent)?.checked_mul(self.after)
    }
}

/// What is put around an axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filling {
    /// This value.
    Value(f32),
    /// The first and the last place.
    Edge,
    /// The places behind the first and before the last, mirrored.
    Reflect,
    /// The places of the other end.
    Wrap,
}

/// How values move, or are reduced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrangement {
    /// An axis of one place gets more, all alike.
    Repeat(Axis, usize),
    /// `[before, extent, second, after]` becomes `[before, second, extent, after]`; `after` of the axis is both.
    Swap(Axis, usize),
    /// Values behind each other along an axis; each has so many places before it.
    Concat(usize),
    /// Some places of an axis.
    Slice {
        /// The axis.
        axis: Axis,
        /// The first place.
        start: usize,
        /// From one to the next, perhaps backwards.
        step: isize,
        /// How many.
        count: usize,
    },
    /// An axis with places in front and behind.
    Pad {
        /// The axis.
        axis: Axis,
        /// Places in front and behind.
        by: [usize; 2],
        /// What they hold.
        filling: Filling,
    },
    /// The mean or the largest value along an axis.
    Reduce(Pooling, Axis),
}

type Result<T> = std::result::Result<T, String>;

impl Arrangement {
    /// Extents of the result, or what does not fit.
    pub(super) fn result(self, inputs: &[Extents]) -> Result<Extents> {
        let len = match (self, inputs) {
            (Self::Concat(before), [_, ..]) => {
                if let Some(part) =
                    inputs.iter().find(|part| before == 0 || !part.len().is_multiple_of(before))
                {
                    return Err(format!("joins {part} in {before} parts"));
                }
                inputs.iter().map(|part| part.len()).try_fold(0_usize, usize::checked_add)
            }
            (_, [x]) => self.of_one(*x)?,
            _ => return Err(format!("reads {} values; this layer reads one", inputs.len())),
        };
        match len.filter(|len| (1..=MOST_VALUES).contains(len)) {
            Some(len) => Ok(Extents::Vector { len }),
            None => Err("would make an image with too many values, or none".to_string()),
        }
    }

    fn of_one(self, x: Extents) -> Result<Option<usize>> {
        let (Self::Repeat(axis, _)
        | Self::Swap(axis, _)
        | Self::Slice { axis, .. }
        | Self::Pad { axis, .. }
        | Self::Reduce(_, axis)) = self
        else {
            return Err("reads several values".to_string());
        };
        let Axis { before, extent, after } = axis;
        if axis.len() != Some(x.len()) {
            return Err(format!("sees {x} as {before}x{extent}x{after}"));
        }
        let grown = |extent: usize| Axis { extent, ..axis }.len();
        let pieces = |count: usize| match count <= MOST_PIECES {
            true => Ok(()),
            false => Err(format!("would cut an image into {count} pieces, more than {MOST_PIECES}")),
        };
        Ok(match self {
            Self::Repeat(_, times) if extent == 1 => grown(times),
            Self::Repeat(..) => return Err("repeats an axis of several places".to_string()),
            Self::Swap(_, second) => {
                if second == 0 || !after.is_multiple_of(second) {
                    return Err(format!("swaps {second} places of {after}"));
                }
                pieces(extent.min(second))?;
                Some(x.len())
            }
            Self::Slice { start, step, count, .. } => {
                let span = isize::try_from(count.saturating_sub(1)).ok().and_then(|n| n.checked_mul(step));
                let last = span.and_then(|span| start.checked_add_signed(span));
                if count == 0 || step == 0 || start >= extent || last.is_none_or(|last| last >= extent) {
                    return Err(format!(
                        "takes {count} places from {start} in steps of {step} out of {extent}"
                    ));
                }
                pieces(if step == 1 { 1 } else { count })?;
                grown(count)
            }
            Self::Pad { by: [front, behind], filling, .. } => {
                let most = match filling {
                    Filling::Value(_) | Filling::Edge => usize::MAX,
                    Filling::Reflect => extent - 1,
                    Filling::Wrap => extent,
                };
                if front.max(behind) > most {
                    return Err(format!(
                        "puts {front} and {behind} places around {extent}, more than there are"
                    ));
                }
                pieces(front.saturating_add(behind))?;
                extent.checked_add(front).and_then(|sum| sum.checked_add(behind)).and_then(grown)
            }
            Self::Reduce(..) => grown(1),
            Self::Concat(_) => None,
        })
    }

    /// Appends the layer to a graph; [`Arrangement::result`] has judged it.
    pub(super) fn compute(
        self,
        graph: &mut Graph,
        inputs: &[Tensor],
    ) -> std::result::Result<Tensor, GraphError> {
        let images = graph.shape(inputs[0]).rows();
        let x = inputs[0];
        let y = match self {
            Self::Concat(before) => {
                let mut parts = Vec::new();
                for &part in inputs {
                    let columns = graph.shape(part).columns() / before;
                    parts.push(rows(graph, part, columns)?);
                }
                graph.concatenate(&parts)?
            }
            Self::Repeat(Axis { after: 1, before, .. }, times) => {
                let column = rows(graph, x, 1)?;
                graph.broadcast(column, &Shape::new(&[images * before, times]))?
            }
            Self::Repeat(Axis { after, .. }, times) => {
                let lines = graph.shape(x).len() / after;
                let places = graph.reshape(x, &[lines, 1, 1, after])?;
                graph.resize(Resize::nearest([1, 1], [1, times]), places)?
            }
            Self::Swap(axis, second) => swap(graph, x, axis, second)?,
            Self::Slice { axis, start, step: 1, count } => part(graph, x, axis, start, count)?,
            Self::Slice { axis, start, step, count } => {
                let places = (0..count).map(|i| start.wrapping_add_signed(step * i as isize));
                gathered(graph, x, axis, places)?
            }
            Self::Pad { axis, by: [front, behind], filling } => {
                let whole = rows(graph, x, axis.extent * axis.after)?;
                let mut parts = around(graph, x, axis, front, filling, true)?;
                parts.push(whole);
                parts.extend(around(graph, x, axis, behind, filling, false)?);
                graph.concatenate(&parts)?
            }
            Self::Reduce(pooling, Axis { extent, after, .. }) => {
                let all = graph.shape(x).len() / (extent * after);
                let lines = graph.reshape(x, &[all, 1, extent, after])?;
                match pooling {
                    Pooling::Max => graph.max_pool(Window::new(1, extent), lines)?,
                    Pooling::Mean if after == 1 => {
                        let line = rows(graph, x, extent)?;
                        let sums = graph.sum_columns(line);
                        graph.affine(sums, 1.0 / extent as f32, 0.0)
                    }
                    Pooling::Mean => graph.pool(Window::mean(1, extent), lines)?,
                }
            }
        };
        let columns = graph.shape(y).len() / images;
        graph.reshape(y, &[images, columns])
    }
}

/// `x` as rows of so many values.
fn rows(graph: &mut Graph, x: Tensor, columns: usize) -> std::result::Result<Tensor, GraphError> {
    let rows = graph.shape(x).len() / columns;
    graph.reshape(x, &[rows, columns])
}

/// `count` places of an axis.
fn part(
    graph: &mut Graph,
    x: Tensor,
    axis: Axis,
    start: usize,
    count: usize,
) -> std::result::Result<Tensor, GraphError> {
    let lines = rows(graph, x, axis.extent * axis.after)?;
    graph.slice(lines, start * axis.after, count * axis.after)
}

/// Places of an axis one after the other.
fn gathered(
    graph: &mut Graph,
    x: Tensor,
    axis: Axis,
    places: impl Iterator<Item = usize>,
) -> std::result::Result<Tensor, GraphError> {
    let parts: Vec<Tensor> =
        places.map(|at| part(graph, x, axis, at, 1)).collect::<std::result::Result<_, _>>()?;
    graph.concatenate(&parts)
}

/// What lies in front of an axis or behind it.
fn around(
    graph: &mut Graph,
    x: Tensor,
    axis: Axis,
    count: usize,
    filling: Filling,
    front: bool,
) -> std::result::Result<Vec<Tensor>, GraphError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let extent = axis.extent;
    let place = |i: usize| match (filling, front) {
        (Filling::Edge, true) => 0,
        (Filling::Edge, false) => extent - 1,
        (Filling::Reflect, true) => count - i,
        (Filling::Reflect, false) => extent - 2 - i,
        (Filling::Wrap, true) => extent - count + i,
        (_, _) => i,
    };
    if let Filling::Value(value) = filling {
        let lines = graph.shape(x).len() / (extent * axis.after);
        return Ok(vec![graph.constant(value, &[lines, count * axis.after])?]);
    }
    (0..count).map(|i| part(graph, x, axis, place(i), 1)).collect()
}

/// Cuts the shorter of the two axes into its places.
fn swap(graph: &mut Graph, x: Tensor, axis: Axis, second: usize) -> std::result::Result<Tensor, GraphError> {
    let (first, after) = (axis.extent, axis.after / second);
    let blocks = graph.shape(x).len() / (first * axis.after);
    let mut parts = Vec::new();
    if second <= first {
        let inner = Axis { before: first, extent: second, after };
        for j in 0..second {
            let own = part(graph, x, inner, j, 1)?;
            parts.push(graph.reshape(own, &[blocks, first * after])?);
        }
    } else {
        for i in 0..first {
            let own = part(graph, x, axis, i, 1)?;
            parts.push(graph.reshape(own, &[blocks * second, after])?);
        }
    }
    graph.concatenate(&parts)
}
