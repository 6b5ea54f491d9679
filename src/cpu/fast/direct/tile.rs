//! The inner loops of direct convolutions: the sums of a tile of outputs stay in registers while all inputs pass by. A tile is a
//! few rows of a few outputs side by side, times a few vectors of output channels.

use super::machine::{MOST_LANES, Machine};
use super::plan::{Part, Plan, Step};
use pulp::Simd;

/// Rows of the weight that are applied to all outputs of a unit before the next ones: they stay in the cache.
const ROWS: usize = 256;

/// Sums of a tile, at most.
const MOST_SUMS: usize = 27;

/// What ends the sums.
pub enum Finish<'a> {
    /// Nothing.
    Nothing,
    /// A bias for each channel, and a factor for what is negative then.
    Bias(&'a [f32], f32),
    /// A factor where the activation in the place of the result is not positive.
    Mask(&'a [f32], f32),
    /// Anything, given the first pixel of some and their sums.
    Pixels(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

/// The outputs of a part in a unit.
pub struct Sums<'a> {
    /// The convolution.
    pub plan: &'a Plan,
    /// The outputs.
    pub part: &'a Part,
    /// Their rows in the unit.
    pub rows: &'a [[usize; 2]],
    /// The inputs of the unit.
    pub input: &'a [f32],
    /// The weight, packed.
    pub packed: &'a [f32],
    /// What ends the sums.
    pub finish: &'a Finish<'a>,
    /// The first value of the unit's results among all.
    pub first: usize,
}

impl Sums<'_> {
    /// Writes them to `out`.
    #[inline(always)]
    pub fn write<S: Simd>(&self, simd: S, out: &mut [f32]) {
        if self.rows.is_empty() {
            return;
        }
        match self.plan.layout.block {
            1 => self.write_blocks::<S, 1>(simd, out),
            3 => self.write_blocks::<S, 3>(simd, out),
            _ => self.write_blocks::<S, 8>(simd, out),
        }
    }

    #[inline(always)]
    fn write_blocks<S: Simd, const B: usize>(&self, simd: S, out: &mut [f32]) {
        let machine = Machine::of::<S>();
        let group = machine.group(self.plan, self.part);
        let (mut weight, _) = S::as_simd_f32s(self.packed);
        for (first, vectors) in machine.blocks(self.plan.channels[1]) {
            let chunks = self.part.steps.chunks(ROWS / B).len().max(1);
            for number in 0..chunks {
                let steps = self.part.steps.chunks(ROWS / B).nth(number).unwrap_or_default();
                let (own, others) = weight.split_at(steps.len() * B / group * vectors);
                weight = others;
                let (add, end) = (number > 0, number + 1 == chunks);
                let block = Block { sums: self, steps, weight: own, first, add, end };
                block.write_tiles::<B>(simd, (vectors, group), out);
            }
        }
    }
}

/// Some steps of the inputs for a block of output channels.
struct Block<'a, S: Simd> {
    sums: &'a Sums<'a>,
    steps: &'a [Step],
    weight: &'a [S::f32s],
    /// The first output channel.
    first: usize,
    /// Whether the sums of earlier steps are in the output.
    add: bool,
    /// Whether these are the last steps.
    end: bool,
}

impl<S: Simd> Block<'_, S> {
    /// Tiles with as many sums as fit the registers beside a row of the weight, and enough to hide how long each product takes.
    /// Whatever the instruction set and `B` rule out is told as a constant: it is then not compiled.
    #[inline(always)]
    fn write_tiles<const B: usize>(&self, simd: S, (vectors, group): (usize, usize), out: &mut [f32]) {
        if const { B == 8 && S::F32_LANES > 1 } && group > 1 {
            return match group {
                2 => self.write_grouped::<B, 2>(simd, out),
                _ => self.write_grouped::<B, 4>(simd, out),
            };
        }
        if const { S::REGISTER_COUNT >= 32 } {
            return match (vectors, self.sums.plan.side) {
                (1, 8) => self.write::<2, 8, 1, B, 1>(simd, out),
                (1, 4) => self.write::<2, 4, 1, B, 1>(simd, out),
                (1, _) => self.write::<8, 1, 1, B, 1>(simd, out),
                (2, 8) => self.write::<1, 8, 2, B, 1>(simd, out),
                (2, 4) => self.write::<2, 4, 2, B, 1>(simd, out),
                (2, _) => self.write::<4, 1, 2, B, 1>(simd, out),
                (3, 8) => self.write::<1, 8, 3, B, 1>(simd, out),
                (3, 4) => self.write::<2, 4, 3, B, 1>(simd, out),
                (3, _) => self.write::<4, 1, 3, B, 1>(simd, out),
                (_, 4 | 8) => self.write::<1, 4, 4, B, 1>(simd, out),
                _ => self.write::<4, 1, 4, B, 1>(simd, out),
            };
        }
        if const { S::F32_LANES > 1 } && vectors > 1 {
            return match self.sums.plan.side {
                4 | 8 => self.write::<1, 4, 2, B, 1>(simd, out),
                _ => self.write::<4, 1, 2, B, 1>(simd, out),
            };
        }
        match self.sums.plan.side {
            8 => self.write::<1, 8, 1, B, 1>(simd, out),
            4 => self.write::<2, 4, 1, B, 1>(simd, out),
            _ => self.write::<8, 1, 1, B, 1>(simd, out),
        }
    }

    /// Tiles with `G` inputs at a time, of which all output channels fit a vector.
    #[inline(always)]
    fn write_grouped<const B: usize, const G: usize>(&self, simd: S, out: &mut [f32]) {
        match self.sums.plan.side {
            8 => self.write::<1, 8, 1, B, G>(simd, out),
            4 => self.write::<2, 4, 1, B, G>(simd, out),
            _ => self.write::<8, 1, 1, B, G>(simd, out),
        }
    }

    /// Tiles of `R` rows of `X` outputs, `V` vectors of channels, with `G` inputs at a time.
    #[inline(always)]
    fn write<const R: usize, const X: usize, const V: usize, const B: usize, const G: usize>(
        &self,
        simd: S,
        out: &mut [f32],
    ) {
        let Part { count, apart, .. } = *self.sums.part;
        let furthest = self.steps.iter().map(|step| step.offset).max().unwrap_or(0);
        let last_row = self.sums.rows.last().map_or(0, |row| row[0]);
        let end = last_row + count.next_multiple_of(X) * B + furthest;
        assert!(end <= self.sums.input.len(), "tiles inside their inputs");
        let width = (self.sums.plan.channels[1] - self.first).min(V * S::F32_LANES / G);
        for rows in self.sums.rows.chunks(R) {
            for x in (0..count).step_by(X) {
                let mut from = [0; R];
                for r in 0..R {
                    // A tile that is not full computes its last row several times.
                    from[r] = rows[r.min(rows.len() - 1)][0] + x * B;
                }
                let sums = self.tile::<R, X, V, B, G>(simd, from);
                let kept = Kept::of(simd.splat_f32s(0.0), &sums);
                let used = X.min(count - x);
                for (sums, row) in kept.0.chunks_exact(X * V).zip(rows) {
                    let at = row[1] + x * apart + self.first;
                    // Outputs that lie side by side without a gap are as good as one with many channels.
                    if G == 1 && apart == width && width == V * S::F32_LANES {
                        let out = &mut out[at..at + used * apart];
                        self.store::<V>(simd, &sums[..used * V], at, out);
                        continue;
                    }
                    for (p, sums) in sums.chunks_exact(V).enumerate().take(used) {
                        let at = at + p * apart;
                        let out = &mut out[at..at + width];
                        match G {
                            1 => self.store::<V>(simd, sums, at, out),
                            _ => self.store_grouped::<G>(simd, sums[0], at, out),
                        }
                    }
                }
            }
        }
    }

    /// The sums over all steps, by value, so that the compiler keeps them in registers; for the same reason nothing in the loop
    /// may panic.
    #[inline(always)]
    fn tile<const R: usize, const X: usize, const V: usize, const B: usize, const G: usize>(
        &self,
        simd: S,
        from: [usize; R],
    ) -> [[[S::f32s; V]; X]; R] {
        let input = self.sums.input;
        assert!(X * B <= input.len(), "as `write` has seen");
        let mut sums = [[[simd.splat_f32s(0.0); V]; X]; R];
        for (step, weight) in self.steps.iter().zip(self.weight.chunks_exact(B / G * V)) {
            let mut pixels = [const { &[[0.0; B]; X] }; R];
            for r in 0..R {
                // The smaller one is always the first; the compiler sees that it is inside.
                let at = (from[r] + step.offset).min(input.len() - X * B);
                pixels[r] = input[at..at + X * B].as_chunks::<B>().0.first_chunk::<X>().unwrap_or(pixels[r]);
            }
            for (i, weight) in (0..B / G).zip(weight.chunks_exact(V)) {
                for r in 0..R {
                    for p in 0..X {
                        let values = splat::<S, B, G>(simd, &pixels[r][p], i);
                        for v in 0..V {
                            sums[r][p][v] = simd.mul_add_f32s(values, weight[v], sums[r][p][v]);
                        }
                    }
                }
            }
        }
        sums
    }

    /// Stores sums that lie one behind the other, of `V` vectors each; the first is the value `at` of the unit's.
    #[inline(always)]
    fn store<const V: usize>(&self, simd: S, sums: &[S::f32s], at: usize, out: &mut [f32]) {
        let (vectors, rest) = S::as_mut_simd_f32s(out);
        let (whole, last) = sums.split_at(vectors.len());
        if self.add {
            for (out, sum) in vectors.iter_mut().zip(whole) {
                *out = simd.add_f32s(*out, *sum);
            }
        } else {
            for (out, sum) in vectors.iter_mut().zip(whole) {
                *out = *sum;
            }
        }
        self.finish::<V>(simd, vectors, at);
        if let Some(sum) = last.first() {
            let sum = if self.add { simd.add_f32s(simd.partial_load_f32s(rest), *sum) } else { *sum };
            let before = vectors.len() * S::F32_LANES;
            let sum = self.finished(simd, sum, at + before, before, rest.len());
            simd.partial_store_f32s(rest, sum);
        }
    }

    /// The same of lanes that form groups.
    #[inline(always)]
    fn store_grouped<const G: usize>(&self, simd: S, sums: S::f32s, at: usize, out: &mut [f32]) {
        let mut lanes = [0.0; MOST_LANES];
        S::as_mut_simd_f32s(&mut lanes).0[0] = sums;
        let mut added = [0.0; MOST_LANES];
        for (sum, group) in added.iter_mut().zip(lanes.as_chunks::<G>().0) {
            *sum = group.iter().sum::<f32>();
        }
        if self.add {
            added.iter_mut().zip(&*out).for_each(|(sum, out)| *sum += out);
        }
        let sum = self.finished(simd, S::as_simd_f32s(&added).0[0], at, 0, out.len());
        simd.partial_store_f32s(out, sum);
    }

    /// Ends whole vectors, `V` for each output; the first is the value `at` of the unit's.
    #[inline(always)]
    fn finish<const V: usize>(&self, simd: S, vectors: &mut [S::f32s], at: usize) {
        match self.sums.finish {
            _ if !self.end => {}
            Finish::Pixels(_) => {}
            Finish::Nothing => {
                for sum in vectors {
                    *sum = normal(simd, *sum);
                }
            }
            Finish::Bias(biases, slope) => {
                let (biases, _) = S::as_simd_f32s(&biases[self.first..]);
                for sums in vectors.chunks_mut(V) {
                    for (sum, bias) in sums.iter_mut().zip(biases) {
                        let biased = simd.add_f32s(*sum, *bias);
                        *sum = normal(simd, leaky(simd, biased, biased, *slope));
                    }
                }
            }
            Finish::Mask(activation, slope) => {
                let (beside, _) = S::as_simd_f32s(&activation[self.sums.first + at..]);
                for (sum, beside) in vectors.iter_mut().zip(beside) {
                    *sum = normal(simd, leaky(simd, *beside, *sum, *slope));
                }
            }
        }
    }

    /// The same of a part of a vector: `len` channels from the block's channel `channel` on.
    #[inline(always)]
    fn finished(&self, simd: S, sum: S::f32s, at: usize, channel: usize, len: usize) -> S::f32s {
        match self.sums.finish {
            _ if !self.end => sum,
            Finish::Pixels(_) => sum,
            Finish::Nothing => normal(simd, sum),
            Finish::Bias(biases, slope) => {
                let bias = simd.partial_load_f32s(&biases[self.first + channel..][..len]);
                let sum = simd.add_f32s(sum, bias);
                normal(simd, leaky(simd, sum, sum, *slope))
            }
            Finish::Mask(activation, slope) => {
                let beside = simd.partial_load_f32s(&activation[self.sums.first + at..][..len]);
                normal(simd, leaky(simd, beside, sum, *slope))
            }
        }
    }
}

/// `value` where `judge` is positive, elsewhere `slope` times as much.
#[inline(always)]
fn leaky<S: Simd>(simd: S, judge: S::f32s, value: S::f32s, slope: f32) -> S::f32s {
    let positive = simd.greater_than_f32s(judge, simd.splat_f32s(0.0));
    simd.select_f32s(positive, value, simd.mul_f32s(simd.splat_f32s(slope), value))
}

/// Zero for what is too small to be a normal number.
#[inline(always)]
fn normal<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    let small = simd.less_than_f32s(simd.abs_f32s(value), simd.splat_f32s(f32::MIN_POSITIVE));
    simd.select_f32s(small, simd.splat_f32s(0.0), value)
}

/// The `i`-th group of `G` values, over and over.
#[inline(always)]
fn splat<S: Simd, const B: usize, const G: usize>(simd: S, values: &[f32; B], i: usize) -> S::f32s {
    match G {
        2 => bytemuck::cast(simd.splat_c32s(pulp::c32 { re: values[2 * i], im: values[2 * i + 1] })),
        4 => {
            let [a, b, c, d] = [0, 1, 2, 3].map(|g| values[4 * i + g]);
            bytemuck::cast(simd.splat_c64s(pulp::cast([a, b, c, d])))
        }
        _ => simd.splat_f32s(values[i]),
    }
}

/// The sums of a tile in memory. Loops over the tile itself would need an index that the compiler does not know, and that
/// would keep the sums in memory from the beginning.
#[repr(align(64))]
pub struct Kept<T>(pub [T; MOST_SUMS]);

impl<T: Copy> Kept<T> {
    /// A copy of `sums`, one after the other, and `rest`.
    #[expect(
        clippy::needless_range_loop,
        reason = "indices that the compiler knows keep the sums in registers"
    )]
    #[inline(always)]
    pub fn of<const A: usize, const B: usize, const C: usize>(rest: T, sums: &[[[T; C]; B]; A]) -> Self {
        let mut kept = Self([rest; MOST_SUMS]);
        for a in 0..A {
            for b in 0..B {
                for c in 0..C {
                    kept.0[(a * B + b) * C + c] = sums[a][b][c];
                }
            }
        }
        kept
    }
}
