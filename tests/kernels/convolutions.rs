//! Cases of the convolution and pooling kernels.

use super::case;
use crate::common::epilogue::{convolve, transposed};
use crate::common::judge::Case;
use crate::common::{compare, normals};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::{Borders, Convolution, Epilogue, Graph, GraphError, Shape, Tensor, Window};
use pgn_wgpu::kernels;
use pgn_wgpu::program::{MemoryLimits, Program, Split};
use std::sync::Arc;

/// A trilinear form's extents: images, height and width of the coarse side, channels of the fine (a) and coarse (b)
/// side, side of the kernel, stride.
#[derive(Clone, Copy, Debug)]
pub struct Extents {
    n: usize,
    h: usize,
    w: usize,
    a: usize,
    b: usize,
    size: usize,
    stride: usize,
}

const fn extents([n, h, w, a, b, size, stride]: [usize; 7]) -> Extents {
    Extents { n, h, w, a, b, size, stride }
}

const CASES: &[Extents] = &[
    // The networks' own at small widths: first, inner and last layers, dense layers, up-convolutions.
    extents([2, 8, 8, 1, 8, 3, 1]),
    extents([2, 4, 4, 16, 10, 3, 1]),
    extents([2, 14, 14, 4, 8, 3, 1]),
    extents([2, 3, 3, 16, 2, 3, 1]),
    extents([1, 8, 8, 32, 64, 3, 1]),
    extents([1, 1, 5, 10, 128, 1, 1]),
    extents([1, 1, 3, 138, 70, 1, 1]),
    extents([2, 2, 2, 16, 26, 3, 2]),
    extents([1, 7, 7, 4, 6, 3, 2]),
    extents([3, 4, 4, 128, 10, 3, 1]),
    // Least sizes: every tap but one outside the image.
    extents([1, 1, 1, 1, 1, 1, 1]),
    extents([1, 1, 1, 1, 1, 3, 1]),
    extents([1, 1, 1, 2, 3, 3, 2]),
    extents([1, 1, 1, 2, 3, 1, 2]),
    // Odd sizes, channels that are no multiple of 4, 8 or 32 or just beyond one.
    extents([3, 5, 7, 3, 5, 3, 1]),
    extents([1, 9, 4, 33, 37, 3, 1]),
    extents([2, 6, 5, 17, 6, 3, 2]),
    extents([3, 3, 3, 5, 40, 3, 2]),
    extents([1, 2, 9, 9, 15, 3, 1]),
    extents([2, 3, 3, 4, 5, 1, 2]),
    extents([1, 1, 33, 2, 1, 1, 1]),
    extents([5, 3, 1, 8, 16, 3, 1]),
    // More pixels of an image, and of a part of a weight gradient, than the fast CPU forms take at a time.
    extents([1, 17, 17, 3, 4, 3, 2]),
    extents([1, 18, 32, 96, 96, 3, 1]),
    // Channels of whole vec4 that end within a tile, both strides, and a dense layer of several tiles.
    extents([3, 6, 5, 12, 20, 3, 2]),
    extents([2, 7, 11, 68, 4, 3, 1]),
    extents([1, 1, 131, 72, 132, 1, 1]),
    extents([1, 1, 35, 41, 524, 1, 1]),
    // Towards three channels from whole blocks: least, one more column and row than a workgroup stores, several of them.
    extents([1, 1, 1, 3, 8, 3, 1]),
    extents([3, 5, 7, 3, 8, 3, 1]),
    extents([2, 9, 13, 3, 24, 3, 1]),
    extents([9, 6, 5, 3, 16, 3, 1]),
    // From three channels to whole blocks, in whole groups of 32 positions: one group and several, which begin within a row or
    // an image, rows of one pixel and of 32, all with the mask in some place.
    extents([1, 4, 8, 3, 8, 3, 1]),
    extents([1, 1, 32, 3, 24, 3, 1]),
    extents([2, 3, 16, 3, 16, 3, 1]),
    extents([4, 8, 5, 3, 24, 3, 1]),
    extents([32, 3, 1, 3, 8, 3, 1]),
];

/// More pixel tiles than one dimension of a dispatch may have.
const MANY_PIXELS: Extents = extents([1, 1, 32 * 32_768 + 33, 1, 2, 1, 1]);

impl Extents {
    fn convolution(&self) -> Convolution {
        Convolution::same(self.size, self.stride)
    }

    fn fine(&self) -> [usize; 4] {
        [self.n, self.stride * self.h, self.stride * self.w, self.a]
    }

    fn coarse(&self) -> [usize; 4] {
        [self.n, self.h, self.w, self.b]
    }

    fn weight(&self) -> [usize; 4] {
        [self.size, self.size, self.a, self.b]
    }

    /// Smaller numbers at black edges and in sure classifiers: a few values are 0, the rest spans 1e-3 to 1e1.
    pub fn values(seed: u32, extents: &[usize]) -> Vec<f32> {
        let raw = normals(seed, extents.iter().product());
        raw.iter()
            .enumerate()
            .map(|(i, v)| if i % 7 == 3 { 0.0 } else { v * 10f32.powi(1 - (i % 5) as i32) })
            .collect()
    }
}

type Build = fn(&mut Graph, Convolution, Epilogue, &[Tensor]) -> Result<Tensor, GraphError>;

const EPILOGUES: [Epilogue; 4] =
    [Epilogue::None, Epilogue::Bias, Epilogue::BiasLeaky(0.3), Epilogue::LeakyMask(0.0)];

/// All extents with all epilogues; `image` and `result` say what the operation reads and writes.
fn with_epilogues(
    image: fn(&Extents) -> [usize; 4],
    result: fn(&Extents) -> [usize; 4],
    build: Build,
) -> Vec<Case> {
    let mut cases = Vec::new();
    let many = [(MANY_PIXELS, Epilogue::BiasLeaky(0.2))];
    // Each epilogue is compiled for each kernel size, stride and tile: a part of the shapes will do for the mask.
    let all = CASES
        .iter()
        .enumerate()
        .flat_map(|(i, &e)| EPILOGUES[..if i % 4 == 3 { 4 } else { 3 }].iter().map(move |&how| (e, how)));
    for (e, epilogue) in all.chain(many) {
        let (image, weight, result) = (image(&e), e.weight(), result(&e));
        let mut inputs =
            vec![(&image[..], Extents::values(1, &image)), (&weight[..], Extents::values(2, &weight))];
        let beside = match epilogue {
            Epilogue::None => None,
            Epilogue::Bias | Epilogue::BiasLeaky(_) => Some(&result[3..]),
            // Some activations are exactly 0, where leaky ReLU's backward takes the lower slope.
            Epilogue::LeakyMask(_) | Epilogue::BorderBiasLeaky(_) => Some(&result[..]),
        };
        inputs.extend(beside.map(|extents| (extents, Extents::values(3, extents))));
        cases
            .push(case(format!("{e:?} {epilogue:?}"), inputs, |g, t| build(g, e.convolution(), epilogue, t)));
    }
    cases
}

/// `conv2d`.
pub fn forward() -> Vec<Case> {
    with_epilogues(Extents::fine, Extents::coarse, convolve)
}

/// `conv2d_input_gradient`.
pub fn input_gradient() -> Vec<Case> {
    let mut cases = with_epilogues(Extents::coarse, Extents::fine, transposed);
    // Biases by the place at the border: two positions that are all border, one tile, several tiles, channels that end
    // within a tile; both strides.
    for stride in [1, 2] {
        for [n, h, w, a, b] in [[3, 2, 2, 7, 5], [2, 4, 4, 16, 8], [2, 5, 3, 20, 9], [1, 9, 8, 33, 10]] {
            let e = extents([n, h, w, a, b, 3, stride]);
            let (coarse, weight) = (e.coarse(), e.weight());
            let biases = [n, 3 * stride, 3 * stride, a];
            let all = [(1, &coarse), (2, &weight), (3, &biases)];
            let inputs = all.map(|(seed, extents)| (&extents[..], Extents::values(seed, extents)));
            let how = Epilogue::BorderBiasLeaky(0.2);
            cases.push(case(format!("{e:?} {how:?}"), inputs.to_vec(), |g, t| {
                transposed(g, e.convolution(), how, t)
            }));
        }
    }
    cases
}

/// `border_sum` and `border_spread`.
pub fn borders() -> Vec<Case> {
    let mut cases = Vec::new();
    for stride in [1, 2] {
        let borders = Borders { stride };
        for [n, h, w, c] in [[2, 4, 4, 8], [2, 8, 12, 16], [1, 8, 6, 3], [3, 10, 4, 33], [1, 512, 4, 1]] {
            let (large, small) = ([n, h, w, c], [n, borders.side(), borders.side(), c]);
            let name = format!("{large:?} stride {stride}");
            let sum = vec![(&large[..], Extents::values(1, &large))];
            cases.push(case(format!("{name} sum"), sum, |g, t| g.border_sum(borders, t[0])));
            let spread = vec![(&small[..], Extents::values(2, &small))];
            cases.push(case(format!("{name} spread"), spread, |g, t| g.border_spread(borders, t[0], h, w)));
        }
    }
    cases
}

/// `conv2d_weight_gradient`, and the sum of its parts.
pub fn weight_gradient() -> Vec<Case> {
    let make = |e: &Extents, sign: fn(f32) -> f32| {
        let (fine, coarse) = (e.fine(), e.coarse());
        let values = |seed, extents| Extents::values(seed, extents).into_iter().map(sign).collect();
        let inputs = vec![(&fine[..], values(4, &fine)), (&coarse[..], values(5, &coarse))];
        case(format!("{e:?}"), inputs, |g, t| g.convolve_weight_gradient(e.convolution(), t[0], t[1]))
    };
    let mut cases: Vec<Case> = CASES.iter().map(|e| make(e, |v| v)).collect();
    cases.extend(BIASED.iter().map(with_bias));
    // A million products of both signs would cancel to less than their rounding.
    cases.push(make(&extents([1, 16_390, 65, 1, 2, 1, 1]), f32::abs));
    cases
}

/// Extents whose weight ends where a bias may begin: channels in whole `vec4` and not, one tile and several, one part and several.
const BIASED: [Extents; 6] = [
    extents([2, 5, 7, 64, 3, 3, 1]),
    extents([1, 3, 3, 64, 4, 1, 1]),
    extents([3, 6, 5, 16, 36, 3, 1]),
    extents([40, 9, 3, 64, 72, 1, 1]),
    extents([2, 3, 4, 64, 100, 3, 2]),
    extents([1, 1, 131, 64, 132, 1, 1]),
];

/// The gradients of a weight and of its bias, packed as those of parameters are.
fn with_bias(e: &Extents) -> Case {
    let (fine, coarse) = (e.fine(), e.coarse());
    let inputs = vec![(&fine[..], Extents::values(4, &fine)), (&coarse[..], Extents::values(5, &coarse))];
    case(format!("{e:?} with bias"), inputs, |g, t| {
        let weight = g.convolve_weight_gradient(e.convolution(), t[0], t[1])?;
        let bias = g.sum_rows(t[1], e.b)?;
        let end = e.weight().iter().product::<usize>().next_multiple_of(64);
        g.pack(&[(weight, 0), (bias, end)], end + e.b)
    })
}

/// `pool` and `unpool`, with and without the activation's mask.
pub fn pooling() -> Vec<Case> {
    let mean = Window::mean;
    let windows = [
        ([2, 8, 8, 16], mean(2, 2)),
        ([3, 6, 10, 24], mean(2, 2)),
        ([1, 2, 2, 8], mean(2, 2)),
        ([1, 4, 5, 8], mean(2, 2)),
        ([17, 32, 32, 8], mean(2, 2)),
        ([1, 7, 7, 8], mean(2, 2)),
        ([3, 4, 4, 10], mean(4, 4)),
        ([1, 1, 1, 1], mean(1, 1)),
        ([2, 5, 7, 3], mean(3, 2)),
        ([1, 3, 3, 2], mean(3, 3)),
        ([2, 6, 5, 130], Window::new(6, 5)),
        ([65, 2, 3, 1], mean(2, 3)),
        ([1, 32, 32, 5], Window { scale: -3.0, ..Window::new(2, 2) }),
    ];
    let mut cases = Vec::new();
    for (extents, window) in windows {
        let name = format!("{extents:?} {window:?}");
        let [n, h, w, c] = extents;
        let small = [n, h / window.height, w / window.width, c];
        let large = normals(1, extents.iter().product());
        // Some activations are exactly 0: leaky ReLU's backward takes the lower slope there.
        let mask: Vec<f32> =
            large.iter().enumerate().map(|(i, v)| if i % 5 == 0 { 0.0 } else { *v }).collect();
        let spread = normals(2, small.iter().product());
        cases.push(case(name.clone(), vec![(&extents, large)], |g, t| g.pool(window, t[0])));
        cases.push(case(name.clone(), vec![(&small, spread.clone())], |g, t| g.unpool(window, t[0], h, w)));
        cases.push(case(name, vec![(&small, spread), (&extents, mask)], |g, t| {
            let spread = g.unpool(window, t[0], h, w)?;
            g.binary(pgn_wgpu::graph::Binary::LeakyMask(0.2), spread, t[1])
        }));
    }
    cases
}

/// What the case's program writes as its result under these limits, and how many sums over rows it needs.
fn results(case: &Case, limits: MemoryLimits) -> (Vec<f32>, usize) {
    let program = Program::compile(&case.graph, limits).unwrap();
    let sums = program.calls.iter().filter(|call| call.kernel.name == kernels::sum_rows.name).count();
    let mut session = Workspace::new(Device::Cpu(Mode::Reference)).bind(Arc::new(program)).unwrap();
    for (name, values) in &case.values {
        session.write(name, values).unwrap();
    }
    (session.compute().unwrap().get("result").to_vec(), sums)
}

/// As GPUs split it: more parts than software adds in one stage.
#[test]
fn a_weight_gradient_in_many_parts_is_the_one_in_few() {
    let e = extents([80, 8, 2, 4, 3, 3, 1]);
    let (fine, coarse) = (e.fine(), e.coarse());
    let inputs = vec![(&fine[..], Extents::values(1, &fine)), (&coarse[..], Extents::values(2, &coarse))];
    let case = case(format!("{e:?}"), inputs, |g, t| g.convolve_weight_gradient(e.convolution(), t[0], t[1]));
    let (few, sums_of_few) = results(&case, MemoryLimits::NONE);
    let split = Split { values: 1 << 22, most: 512 };
    let (many, sums_of_many) = results(&case, MemoryLimits { split, ..MemoryLimits::NONE });
    assert_eq!((sums_of_few, sums_of_many), (1, 1), "its parts are added in one stage");
    compare(&many, &few, &Shape::new(&[few.len()]), kernels::conv2d_weight_gradient.tolerance).unwrap();
}

/// As GPUs want it: one call and the sum of its parts for both, where the bias comes right behind its weight.
#[test]
fn a_bias_gradient_computed_with_its_weight_is_the_one_computed_alone() {
    // In one part and in several; the last weight ends where no tensor may begin, so its bias stays alone.
    for (e, [alone, together]) in
        [(BIASED[5], [1, 0]), (BIASED[0], [2, 1]), (extents([2, 5, 7, 3, 4, 3, 1]), [2, 2])]
    {
        let case = with_bias(&e);
        let (expected, sums) = results(&case, MemoryLimits::NONE);
        let limits = MemoryLimits { biases_with_weights: true, ..MemoryLimits::NONE };
        let (own, fewer) = results(&case, limits);
        assert_eq!([sums, fewer], [alone, together], "{e:?}");
        let shape = Shape::new(&[expected.len()]);
        compare(&own, &expected, &shape, kernels::conv2d_weight_gradient.tolerance).unwrap();
    }
}
