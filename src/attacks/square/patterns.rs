//! The candidates of the Square attack, made on the host: where its search starts, how large its windows are, and what a
//! window is filled with. Every candidate lies in the box of pixels and in the ball around its original.

use crate::attacks::options::Norm;
use crate::nn::Problem;
use crate::random::{Random, Stream, unit};
use std::collections::BTreeMap;

/// The share of the image that the first windows cover.
const FIRST_SHARE: f64 = 0.8;
/// The share is halved after each of these iterations.
const HALVINGS: [usize; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];
/// The start in L2 has so many tiles along the shorter side.
const TILES: usize = 5;
/// Keeps divisions away from 0.
const FLOOR: f64 = 1e-12;

/// The share of the image that the windows of an iteration cover, counted from 0.
pub fn share(iteration: usize) -> f64 {
    let halvings = HALVINGS.iter().filter(|after| iteration > **after).count();
    FIRST_SHARE / f64::from(1_u32 << halvings)
}

/// The side of an iteration's windows in an image of `height` times `width`. In L2 it is odd and at least 3, where the
/// image allows it.
pub fn side(iteration: usize, (height, width): (usize, usize), norm: Norm) -> usize {
    let side = (share(iteration) * (height * width) as f64).sqrt().round_ties_even() as usize;
    let side = match norm {
        Norm::Linf => side.max(1),
        Norm::L2 => side.max(3) | 1,
    };
    side.min(height.min(width))
}

/// Two halves of opposite sign, each a pyramid: its k-th ring from the middle adds 1/k² to all within it. Row by row, of
/// norm 1.
pub fn pyramids(side: usize) -> Vec<f64> {
    let upper = side / 2;
    let mut values = half(upper, side);
    values.extend(half(side - upper, side).iter().map(|value| -value));
    scaled_to_one(values)
}

/// One pyramid of norm 1.
fn half(rows: usize, columns: usize) -> Vec<f64> {
    let middle = (rows / 2, columns / 2);
    let rings = middle.0.max(middle.1) + 1;
    // What a position gets that lies within the rings from `ring` on.
    let height = |ring: usize| (ring..rings).map(|k| 1.0 / ((k + 1) * (k + 1)) as f64).sum::<f64>();
    let heights: Vec<f64> = (0..rings).map(height).collect();
    let positions = (0..rows * columns).map(|i| (i / columns, i % columns));
    let values =
        positions.map(|(row, column)| heights[row.abs_diff(middle.0).max(column.abs_diff(middle.1))]);
    scaled_to_one(values.collect())
}

fn scaled_to_one(mut values: Vec<f64>) -> Vec<f64> {
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    for value in &mut values {
        *value /= norm;
    }
    values
}

/// The random numbers of one candidate, drawn one after the other. They depend on nothing else than the seed, the round,
/// the image's place in its set and the query.
pub struct Draws {
    random: Random,
    query: u32,
    drawn: u32,
    bits: [u32; 4],
}

impl Draws {
    /// Those of a candidate.
    pub fn new(seed: u64, round: usize, place: usize, query: usize) -> Self {
        let [low, high, ..] = Random::new(seed, Stream::Attack).bits(round as u32, place as u32);
        let own = u64::from(high) << 32 | u64::from(low);
        Self { random: Random::new(own, Stream::Attack), query: query as u32, drawn: 0, bits: [0; 4] }
    }

    fn next(&mut self) -> u32 {
        let index = self.drawn as usize % 4;
        if index == 0 {
            self.bits = self.random.bits(self.query, self.drawn / 4);
        }
        self.drawn += 1;
        self.bits[index]
    }

    /// 1 or −1.
    fn sign(&mut self) -> f32 {
        if self.next() >> 31 == 0 { 1.0 } else { -1.0 }
    }

    /// A whole number below `count`; 0 if that is 0.
    fn below(&mut self, count: usize) -> usize {
        (f64::from(unit(self.next())) * count as f64) as usize
    }
}

/// A square of positions.
#[derive(Clone, Copy)]
pub struct Window {
    /// Its first row.
    pub row: usize,
    /// Its first column.
    pub column: usize,
    side: usize,
}

impl Window {
    fn has(self, row: usize, column: usize) -> bool {
        let within = |at: usize, first: usize| (first..first + self.side).contains(&at);
        within(row, self.row) && within(column, self.column)
    }

    /// Its positions, row by row.
    fn positions(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.side * self.side).map(move |i| (self.row + i / self.side, self.column + i % self.side))
    }
}

/// How candidates for images of one size are made.
pub struct Candidates {
    problem: Problem,
    norm: Norm,
    epsilon: f32,
    /// In L2, for every side of a window or a tile.
    pyramids: BTreeMap<usize, Vec<f64>>,
}

impl Candidates {
    /// For images of `problem`.
    pub fn new(problem: Problem, norm: Norm, epsilon: f32) -> Self {
        let mut candidates = Self { problem, norm, epsilon, pyramids: BTreeMap::new() };
        if norm == Norm::L2 {
            let sides = [0].into_iter().chain(HALVINGS.map(|after| after + 1));
            let sides = sides.map(|iteration| candidates.side(iteration)).chain([candidates.tile()]);
            candidates.pyramids = sides.map(|side| (side, pyramids(side))).collect();
        }
        candidates
    }

    /// The side of an iteration's windows.
    pub fn side(&self, iteration: usize) -> usize {
        side(iteration, (self.problem.height, self.problem.width), self.norm)
    }

    /// Windows in which a candidate differs from the best image.
    pub fn windows(&self) -> usize {
        match self.norm {
            Norm::Linf => 1,
            Norm::L2 => 2,
        }
    }

    /// The side of a tile of the start.
    fn tile(&self) -> usize {
        (self.problem.height.min(self.problem.width) / TILES).max(1)
    }

    /// Where a value lies in an image.
    fn at(&self, (row, column): (usize, usize), channel: usize) -> usize {
        (row * self.problem.width + column) * self.problem.channels + channel
    }

    /// Where the search starts.
    pub fn start(&self, original: &[f32], draws: &mut Draws, out: &mut [f32]) {
        match self.norm {
            Norm::Linf => self.stripes(original, draws, out),
            Norm::L2 => self.tiles(original, draws, out),
        }
    }

    /// The candidate of an iteration, counted from 0, made from the best one so far. It differs from that only in the windows that are
    /// returned.
    pub fn next(
        &self,
        iteration: usize,
        (original, best): (&[f32], &[f32]),
        draws: &mut Draws,
        out: &mut [f32],
    ) -> Vec<Window> {
        let side = self.side(iteration);
        out.copy_from_slice(best);
        match self.norm {
            Norm::Linf => vec![self.square(original, side, draws, out)],
            Norm::L2 => self.mix(original, side, draws, out).to_vec(),
        }
    }

    /// A window at a random place. As in the public code, the last row and the last column of places are left out.
    fn window(&self, side: usize, draws: &mut Draws) -> Window {
        let (height, width) = (self.problem.height, self.problem.width);
        Window { row: draws.below(height - side), column: draws.below(width - side), side }
    }

    /// A column of ±ε per channel.
    fn stripes(&self, original: &[f32], draws: &mut Draws, out: &mut [f32]) {
        let row = self.problem.width * self.problem.channels;
        let offsets: Vec<f32> = (0..row).map(|_| self.epsilon * draws.sign()).collect();
        for (i, (out, x)) in out.iter_mut().zip(original).enumerate() {
            *out = (x + offsets[i % row]).clamp(0.0, 1.0);
        }
    }

    /// A window of ±ε per channel: as far as a step of ±2 ε leads from any point of the ball.
    fn square(&self, original: &[f32], side: usize, draws: &mut Draws, out: &mut [f32]) -> Window {
        let window = self.window(side, draws);
        for channel in 0..self.problem.channels {
            let offset = self.epsilon * draws.sign();
            for position in window.positions() {
                let at = self.at(position, channel);
                out[at] = (original[at] + offset).clamp(0.0, 1.0);
            }
        }
        window
    }

    /// A grid of pyramids in the middle of the image, of one orientation per tile and one sign per tile and channel.
    fn tiles(&self, original: &[f32], draws: &mut Draws, out: &mut [f32]) {
        let (height, width, side) = (self.problem.height, self.problem.width, self.tile());
        let pattern = &self.pyramids[&side];
        out.fill(0.0);
        let first = |length: usize| length % side / 2;
        for row in (0..height / side).map(|tile| first(height) + tile * side) {
            for column in (0..width / side).map(|tile| first(width) + tile * side) {
                let window = Window { row, column, side };
                let turned = draws.sign() < 0.0;
                for channel in 0..self.problem.channels {
                    let sign = draws.sign();
                    for (i, position) in window.positions().enumerate() {
                        out[self.at(position, channel)] = sign * pattern[turn(i, side, turned)] as f32;
                    }
                }
            }
        }
        self.lengthen(original, out);
    }

    /// Takes the norm of a second window, and what the perturbation leaves of ε, for the first, where pyramids are added to
    /// what stands there. Where the perturbation is longer than ε by rounding, the first window gets less.
    ///
    /// The public code then scales the whole perturbation to ε. It has this length already, except for rounding. Without that step
    /// nothing changes outside the windows.
    fn mix(&self, original: &[f32], side: usize, draws: &mut Draws, out: &mut [f32]) -> [Window; 2] {
        let windows = [self.window(side, draws), self.window(side, draws)];
        let [first, second] = windows;
        let (pattern, turned) = (&self.pyramids[&side], draws.sign() < 0.0);
        let epsilon = f64::from(self.epsilon);
        let unused = epsilon.mul_add(epsilon, -distance2(original, out)) / self.problem.channels as f64;
        for channel in 0..self.problem.channels {
            let sign = f64::from(draws.sign());
            let value = |position| {
                let at = self.at(position, channel);
                f64::from(out[at] - original[at])
            };
            let own = first.positions().map(|at| value(at).powi(2)).sum::<f64>();
            let others = second.positions().filter(|&(row, column)| !first.has(row, column));
            let both = own + others.map(|at| value(at).powi(2)).sum::<f64>();
            let mixed = first.positions().enumerate().map(|(i, at)| {
                sign.mul_add(pattern[turn(i, side, turned)], value(at) / (FLOOR + own.sqrt()))
            });
            let mixed: Vec<f64> = mixed.collect();
            let norm = mixed.iter().map(|value| value * value).sum::<f64>().sqrt();
            let scale = (unused + both).max(0.0).sqrt() / (FLOOR + norm);
            for at in second.positions().map(|position| self.at(position, channel)) {
                out[at] = original[at];
            }
            for (position, value) in first.positions().zip(mixed) {
                let at = self.at(position, channel);
                out[at] = (original[at] + (value * scale) as f32).clamp(0.0, 1.0);
            }
        }
        windows
    }

    /// Makes an image of a perturbation that is scaled to ε.
    fn lengthen(&self, original: &[f32], perturbation: &mut [f32]) {
        let scale = (f64::from(self.epsilon) / (FLOOR + square(perturbation).sqrt())) as f32;
        for (value, x) in perturbation.iter_mut().zip(original) {
            *value = (x + *value * scale).clamp(0.0, 1.0);
        }
    }
}

/// The index of a position in a pattern that may be transposed.
fn turn(i: usize, side: usize, turned: bool) -> usize {
    if turned { i % side * side + i / side } else { i }
}

/// The sum of squares.
fn square(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum()
}

/// The squared distance. Eight sums side by side, so that none waits for the one before it.
fn distance2(a: &[f32], b: &[f32]) -> f64 {
    let difference2 = |a: f32, b: f32| f64::from(a - b).powi(2);
    let ((eights_a, rest_a), (eights_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in eights_a.iter().zip(eights_b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += difference2(*a, *b));
    }
    sums.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| difference2(*a, *b)).sum::<f64>()
}

#[cfg(test)]
mod tests;
