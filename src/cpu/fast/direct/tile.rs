//! The inner loops of direct convolutions: the sums of a few pixels times a few vectors of output channels stay in registers
//! while all inputs pass by.
//!
//! Few output channels would leave most of a vector empty. Then two or four inputs that lie side by side are multiplied at a
//! time: lane `g` of every group of lanes is for the g-th of them, and the lanes of a group are added at the end.

use super::plan::Run;
use pulp::{Simd, WithSimd};

/// Vectors of output channels in registers, at most: with 32 registers, and with 16.
const MOST_VECTORS: [usize; 2] = [4, 2];

/// Inputs of a pixel from which on it pays to add lanes at the end.
const MANY_INPUTS: usize = 64;
/// Values of the longest vector.
const MOST_LANES: usize = 16;

/// How the machine computes: values of a vector, and vectors of output channels that are computed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    lanes: usize,
    most: usize,
}

/// Asks for the [`Machine`].
pub struct Ask;

impl WithSimd for Ask {
    type Output = Machine;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Machine {
        Machine::of::<S>()
    }
}

impl Machine {
    /// That of an instruction set.
    pub fn of<S: Simd>() -> Self {
        let most = MOST_VECTORS[usize::from(S::REGISTER_COUNT < 32)];
        Self { lanes: S::F32_LANES, most }
    }

    /// The blocks of so many output channels: the first channel of each, and its vectors.
    pub fn blocks(self, channels: usize) -> impl Iterator<Item = (usize, usize)> {
        let width = self.most * self.lanes;
        (0..channels)
            .step_by(width)
            .map(move |first| (first, (channels - first).div_ceil(self.lanes).min(self.most)))
    }

    /// Inputs that are multiplied at a time, of so many for each pixel.
    fn group(self, inputs: usize, channels: usize) -> usize {
        let fits = |group: &usize| group * channels <= self.lanes.min(MOST_LANES);
        match inputs < MANY_INPUTS {
            true => 1,
            false => [4, 2].into_iter().find(fits).unwrap_or(1),
        }
    }

    /// Values of the packed weight that goes with these inputs.
    pub fn packed_len(self, chunks: &[Vec<Run>], channels: usize) -> usize {
        let runs = || chunks.iter().flatten();
        let group = self.group(runs().map(|run| run.len).sum(), channels);
        runs().map(|run| run.len / group + run.len % group).sum::<usize>() * self.vectors(channels)
    }

    /// Packs the rows of a weight, `channels` values each, one for every input: block by block of output channels, every row of
    /// a block filled up with zeros.
    pub fn pack<'a>(
        self,
        chunks: &[Vec<Run>],
        rows: impl Iterator<Item = &'a [f32]> + Clone,
        channels: usize,
        packed: &mut [f32],
    ) {
        let runs = || chunks.iter().flatten();
        let group = self.group(runs().map(|run| run.len).sum(), channels);
        if group > 1 {
            let (mut rows, mut vectors) = (rows, packed.chunks_exact_mut(self.lanes));
            for run in runs() {
                let (groups, singles) = (run.len / group, run.len % group);
                for size in std::iter::repeat_n(group, groups).chain(std::iter::repeat_n(1, singles)) {
                    let vector = vectors.next().expect("as many as were counted");
                    vector.fill(0.0);
                    for (lane, row) in rows.by_ref().take(size).enumerate() {
                        vector[lane..].iter_mut().step_by(group).zip(row).for_each(|(to, &from)| *to = from);
                    }
                }
            }
            return;
        }
        self.pack_rows(&rows, channels, packed);
    }

    /// Values of all vectors of a row with so many values.
    pub fn vectors(self, channels: usize) -> usize {
        self.blocks(channels).map(|(_, vectors)| vectors * self.lanes).sum()
    }

    /// Writes rows of so many values block by block of channels, every row of a block filled up with zeros.
    pub fn pack_rows<'a>(
        self,
        rows: &(impl Iterator<Item = &'a [f32]> + Clone),
        channels: usize,
        packed: &mut [f32],
    ) {
        let mut rest = packed;
        for (first, vectors) in self.blocks(channels) {
            let width = vectors * self.lanes;
            let used = width.min(channels - first);
            for row in rows.clone() {
                let (to, others) = rest.split_at_mut(width);
                to[..used].copy_from_slice(&row[first..first + used]);
                to[used..].fill(0.0);
                rest = others;
            }
        }
    }
}

/// The sums of some pixels.
pub struct Sums<'a> {
    /// The inputs.
    pub input: &'a [f32],
    /// Where those of each pixel begin.
    pub bases: &'a [usize],
    /// Where the results of each pixel begin in `out`.
    pub places: &'a [usize],
    /// The runs of inputs, in parts.
    pub chunks: &'a [Vec<Run>],
    /// The weight, packed.
    pub packed: &'a [f32],
    /// Output channels.
    pub channels: usize,
}

impl Sums<'_> {
    /// Writes them to `out`.
    #[inline(always)]
    pub fn write<S: Simd>(&self, simd: S, out: &mut [f32]) {
        let (mut weight, _) = S::as_simd_f32s(self.packed);
        let inputs = self.chunks.iter().flatten().map(|run| run.len).sum();
        match Machine::of::<S>().group(inputs, self.channels) {
            4 => return self.write_grouped::<S, 4>(simd, weight, out),
            2 => return self.write_grouped::<S, 2>(simd, weight, out),
            _ => {}
        }
        for (first, vectors) in Machine::of::<S>().blocks(self.channels) {
            for (number, runs) in self.chunks.iter().enumerate() {
                let rows: usize = runs.iter().map(|run| run.len).sum();
                let (own, others) = weight.split_at(rows * vectors);
                weight = others;
                let block = Block { sums: self, runs, weight: own, first, add: number > 0 };
                // As many sums as fit the registers beside a row of the weight.
                match (vectors, S::REGISTER_COUNT < 32) {
                    (1, _) => block.write::<12, 1>(simd, out),
                    (2, false) => block.write::<12, 2>(simd, out),
                    (2, true) => block.write::<6, 2>(simd, out),
                    (3, _) => block.write::<8, 3>(simd, out),
                    _ => block.write::<6, 4>(simd, out),
                }
            }
        }
    }
}

impl Sums<'_> {
    /// The same of few output channels, with `G` inputs at a time.
    #[inline(always)]
    fn write_grouped<S: Simd, const G: usize>(&self, simd: S, weight: &[S::f32s], out: &mut [f32]) {
        /// Pixels at a time.
        const P: usize = 12;
        let mut rest = weight;
        for (number, runs) in self.chunks.iter().enumerate() {
            let rows = runs.iter().map(|run| run.len / G + run.len % G).sum();
            let (own, others) = rest.split_at(rows);
            rest = others;
            for (bases, places) in self.bases.chunks(P).zip(self.places.chunks(P)) {
                let last = bases.len() - 1;
                let mut from = [0; P];
                for p in 0..P {
                    from[p] = bases[p.min(last)];
                }
                let sums = self.tile_grouped::<S, P, G>(simd, runs, own, from);
                for (sum, place) in sums.iter().zip(places) {
                    let mut lanes = [0.0; MOST_LANES];
                    simd.partial_store_f32s(&mut lanes[..S::F32_LANES], *sum);
                    let out = &mut out[*place..][..self.channels];
                    for (out, group) in out.iter_mut().zip(lanes.chunks_exact(G)) {
                        let sum = group.iter().sum::<f32>();
                        *out = if number > 0 { *out + sum } else { sum };
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn tile_grouped<S: Simd, const P: usize, const G: usize>(
        &self,
        simd: S,
        runs: &[Run],
        weight: &[S::f32s],
        from: [usize; P],
    ) -> [S::f32s; P] {
        let mut sums = [simd.splat_f32s(0.0); P];
        let mut rest = weight;
        for run in runs {
            let (groups, singles) = (run.len / G, run.len % G);
            let mut grouped: [&[[f32; G]]; P] = [&[]; P];
            let mut single: [&[f32]; P] = [&[]; P];
            for p in 0..P {
                let (inputs, left) = self.input[from[p] + run.offset..][..run.len].split_at(groups * G);
                grouped[p] = &inputs.as_chunks::<G>().0[..groups];
                single[p] = &left[..singles];
            }
            let (own, others) = rest.split_at(groups);
            for (i, weight) in own.iter().enumerate() {
                for p in 0..P {
                    sums[p] = simd.mul_add_f32s(splat_group(simd, grouped[p][i]), *weight, sums[p]);
                }
            }
            let (own, others) = others.split_at(singles);
            for (i, weight) in own.iter().enumerate() {
                for p in 0..P {
                    sums[p] = simd.mul_add_f32s(simd.splat_f32s(single[p][i]), *weight, sums[p]);
                }
            }
            rest = others;
        }
        sums
    }
}

/// `G` values, over and over.
#[inline(always)]
fn splat_group<S: Simd, const G: usize>(simd: S, values: [f32; G]) -> S::f32s {
    match values.as_slice() {
        [a, b] => bytemuck::cast(simd.splat_c32s(pulp::c32 { re: *a, im: *b })),
        [a, b, c, d] => bytemuck::cast(simd.splat_c64s(pulp::cast([*a, *b, *c, *d]))),
        _ => simd.splat_f32s(values[0]),
    }
}

/// A part of the inputs for a block of output channels.
struct Block<'a, S: Simd> {
    sums: &'a Sums<'a>,
    runs: &'a [Run],
    weight: &'a [S::f32s],
    /// The first output channel.
    first: usize,
    /// Whether the sums of earlier parts are in the output.
    add: bool,
}

impl<S: Simd> Block<'_, S> {
    /// `P` pixels times `V` vectors at a time.
    #[inline(always)]
    fn write<const P: usize, const V: usize>(&self, simd: S, out: &mut [f32]) {
        let Sums { bases, places, channels, .. } = *self.sums;
        let width = (channels - self.first).min(V * S::F32_LANES);
        for (bases, places) in bases.chunks(P).zip(places.chunks(P)) {
            // A tile that is not full computes its last pixel several times.
            let last = bases.len() - 1;
            let mut from = [0; P];
            let mut sums = [[simd.splat_f32s(0.0); V]; P];
            for p in 0..P {
                from[p] = bases[p.min(last)];
            }
            if self.add {
                for (sums, place) in sums.iter_mut().zip(places) {
                    let out = &out[place + self.first..][..width];
                    for (sum, out) in sums.iter_mut().zip(out.chunks(S::F32_LANES)) {
                        *sum = simd.partial_load_f32s(out);
                    }
                }
            }
            let sums = self.tile::<P, V>(simd, from, sums);
            for (sums, place) in sums.iter().zip(places) {
                let out = &mut out[place + self.first..][..width];
                for (sum, out) in sums.iter().zip(out.chunks_mut(S::F32_LANES)) {
                    simd.partial_store_f32s(out, *sum);
                }
            }
        }
    }

    /// `before` and the products of the inputs. Sums go in and out by value, so that the compiler keeps them in registers.
    #[inline(always)]
    fn tile<const P: usize, const V: usize>(
        &self,
        simd: S,
        from: [usize; P],
        before: [[S::f32s; V]; P],
    ) -> [[S::f32s; V]; P] {
        let mut sums = before;
        let mut rest = self.weight;
        for run in self.runs {
            let mut inputs: [&[f32]; P] = [&[]; P];
            for p in 0..P {
                inputs[p] = &self.sums.input[from[p] + run.offset..][..run.len];
            }
            let (own, others) = rest.split_at(run.len * V);
            rest = others;
            for (i, weight) in own.chunks_exact(V).enumerate() {
                for p in 0..P {
                    let input = simd.splat_f32s(inputs[p][i]);
                    for v in 0..V {
                        sums[p][v] = simd.mul_add_f32s(input, weight[v], sums[p][v]);
                    }
                }
            }
        }
        sums
    }
}
