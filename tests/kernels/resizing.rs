//! Cases of resizing and its adjoint.

use super::case;
use crate::common::judge::Case;
use crate::common::normals;
use pgn_wgpu::graph::{Coordinates, Resize, Rounding, Sampling};

const COORDINATES: [Coordinates; 3] = [Coordinates::Asymmetric, Coordinates::HalfPixel, Coordinates::Corners];
const SAMPLINGS: [Sampling; 5] = [
    Sampling::Linear,
    Sampling::Nearest(Rounding::Floor),
    Sampling::Nearest(Rounding::Ceil),
    Sampling::Nearest(Rounding::HalfDown),
    Sampling::Nearest(Rounding::HalfUp),
];

/// Larger and smaller, by whole factors and others, from and to a single pixel, more columns and channels than a workgroup
/// has lanes.
const SIZES: [([usize; 4], [usize; 2]); 7] = [
    ([2, 4, 5, 3], [8, 10]),
    ([1, 8, 6, 9], [4, 3]),
    ([2, 5, 7, 2], [7, 4]),
    ([1, 3, 17, 1], [1, 40]),
    ([1, 1, 1, 70], [3, 2]),
    ([17, 2, 3, 1], [5, 3]),
    ([1, 9, 9, 2], [1, 1]),
];

/// `resize` and `resize_gradient`.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (extents, to) in SIZES {
        let [_, h, w, _] = extents;
        for coordinates in COORDINATES {
            for sampling in SAMPLINGS {
                all.push((extents, Resize::new([h, w], to, coordinates, sampling)));
            }
        }
    }
    for sampling in SAMPLINGS {
        // A ratio that is not that of the sizes.
        let scaled = Resize::scaled([5, 7], [1.5, 0.7], Coordinates::HalfPixel, sampling).unwrap();
        all.push(([2, 5, 7, 3], scaled));
    }
    all.into_iter()
        .flat_map(|(extents, resize)| {
            let name = format!("{extents:?} {resize:?}");
            let result = [extents[0], resize.to[0], resize.to[1], extents[3]];
            let [x, d] = [normals(1, extents.iter().product()), normals(2, result.iter().product())];
            let forward = case(&name, vec![(&extents[..], x)], |g, t| g.resize(resize, t[0]));
            [forward, case(&name, vec![(&result[..], d)], |g, t| g.resize_gradient(resize, t[0]))]
        })
        .collect()
}
