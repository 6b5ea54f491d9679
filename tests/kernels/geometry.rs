//! Cases of convolutions of any geometry: `convolution` and its two gradients.

use super::case;
use super::convolutions::Extents;
use crate::common::epilogue::end;
use crate::common::judge::Case;
use pgn_wgpu::graph::{Convolution, Epilogue, Graph};

const fn kernel(size: [usize; 2], stride: [usize; 2], padding: [[usize; 2]; 2]) -> Convolution {
    Convolution { size, stride, padding, dilation: [1; 2], groups: 1 }
}

const NONE: [[usize; 2]; 2] = [[0; 2]; 2];

/// Images `[n, H, W, a]`, coarse channels, geometry.
const CASES: &[([usize; 4], usize, Convolution)] = &[
    // Odd sides at stride 2: a ResNet's on 28 x 28, with its shortcut and its first layer.
    ([2, 7, 7, 16], 24, Convolution::same(3, 2)),
    ([2, 7, 7, 16], 24, Convolution::same(1, 2)),
    ([3, 15, 23, 3], 8, Convolution::same(7, 2)),
    ([2, 30, 45, 3], 5, Convolution::same(3, 2)),
    // Larger and even kernels, strides beyond the kernel, sides and padding that differ.
    ([2, 6, 5, 3], 4, Convolution::same(5, 1)),
    ([1, 5, 6, 4], 7, Convolution::same(2, 1)),
    ([2, 6, 6, 2], 3, Convolution::same(2, 2).padded(NONE)),
    ([2, 9, 9, 2], 3, Convolution::same(3, 3)),
    ([2, 9, 8, 5], 2, kernel([2, 3], [4, 1], NONE)),
    ([3, 5, 7, 3], 6, kernel([3, 4], [3, 2], [[0, 1], [2, 0]])),
    ([1, 4, 4, 2], 3, kernel([1, 1], [1, 1], [[1, 0], [0, 2]])),
    ([2, 3, 33, 1], 2, kernel([1, 9], [1, 1], [[0, 0], [4, 4]])),
    // Taps apart; whole rows of them in the padding.
    ([2, 9, 8, 3], 5, Convolution::same(3, 1).dilated([2, 2]).padded([[2; 2]; 2])),
    ([1, 7, 9, 2], 4, Convolution::same(3, 2).dilated([1, 3])),
    ([2, 1, 2, 3], 4, Convolution::same(3, 1).dilated([4, 5]).padded([[4; 2], [5; 2]])),
    // One pixel.
    ([2, 1, 1, 3], 5, Convolution::same(5, 2)),
    ([1, 1, 1, 1], 1, Convolution::same(1, 3)),
    ([3, 1, 1, 4], 6, Convolution::same(2, 1).grouped(2)),
    // Groups: of several channels, depthwise, with two and three coarse channels each, one coarse channel from several.
    ([2, 6, 5, 6], 4, Convolution::same(3, 1).grouped(2)),
    ([2, 7, 6, 12], 18, Convolution::same(3, 2).grouped(3)),
    ([2, 8, 7, 13], 13, Convolution::same(3, 1).grouped(13)),
    ([2, 7, 7, 8], 8, Convolution::same(5, 2).grouped(8)),
    ([2, 5, 5, 4], 8, Convolution::same(3, 1).grouped(4)),
    ([1, 5, 6, 3], 9, kernel([3, 2], [2, 1], [[1, 1], [0, 1]]).grouped(3).dilated([1, 2])),
    ([2, 4, 4, 10], 5, Convolution::same(3, 1).grouped(5)),
    // Several blocks of pixels of the fast forms and several workgroups, channels just beyond a multiple of four.
    ([2, 21, 19, 9], 11, Convolution::same(5, 1)),
    ([1, 35, 33, 6], 6, Convolution::same(3, 2).grouped(6)),
];

/// Coarse extents and those of the weight.
fn extents(&([n, height, width, a], b, g): &([usize; 4], usize, Convolution)) -> [[usize; 4]; 2] {
    let [h, w] = g.positions([height, width]).unwrap();
    [[n, h, w, b], [g.size[0], g.size[1], a / g.groups, b]]
}

const EPILOGUES: [Epilogue; 4] =
    [Epilogue::None, Epilogue::Bias, Epilogue::BiasLeaky(0.3), Epilogue::LeakyMask(0.1)];

/// `convolution` and `convolution_input_gradient`, with one or two of the epilogues each, and the weight gradient.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, one) in CASES.iter().enumerate() {
        let &(fine, _, g) = one;
        let [coarse, weight] = extents(one);
        for epilogue in [EPILOGUES[i % 4], EPILOGUES[(i + 1 + i / 4) % 4]] {
            for (from, to, up) in [(fine, coarse, false), (coarse, fine, true)] {
                let mut inputs =
                    vec![(&from[..], Extents::values(1, &from)), (&weight[..], Extents::values(2, &weight))];
                let beside = match epilogue {
                    Epilogue::None => None,
                    Epilogue::LeakyMask(_) => Some(&to[..]),
                    _ => Some(&to[3..]),
                };
                inputs.extend(beside.map(|extents| (extents, Extents::values(3, extents))));
                cases.push(case(format!("{from:?} to {to:?} {g:?} {epilogue:?}"), inputs, |graph, t| {
                    let sum = match up {
                        false => graph.convolve(g, t[0], t[1])?,
                        true => graph.convolve_input_gradient(g, t[0], t[1], [to[1], to[2]])?,
                    };
                    end(graph, sum, epilogue, t.get(2))
                }));
            }
        }
        let inputs = vec![(&fine[..], Extents::values(4, &fine)), (&coarse[..], Extents::values(5, &coarse))];
        cases.push(case(format!("weight {fine:?} {coarse:?} {g:?}"), inputs, |graph: &mut Graph, t| {
            graph.convolve_weight_gradient(g, t[0], t[1])
        }));
    }
    cases.push(many_pixels());
    cases
}

/// More pixels than one part of a weight gradient may have.
fn many_pixels() -> Case {
    let g = Convolution::same(1, 2);
    let (fine, coarse) = ([1, 8_201, 9, 1], [1, 4_101, 5, 2]);
    // Products of both signs would cancel to less than their rounding.
    let values = |seed, extents: &[usize]| -> Vec<f32> {
        Extents::values(seed, extents).into_iter().map(f32::abs).collect()
    };
    let inputs = vec![(&fine[..], values(4, &fine)), (&coarse[..], values(5, &coarse))];
    case("many pixels", inputs, |graph: &mut Graph, t| graph.convolve_weight_gradient(g, t[0], t[1]))
}
