//! Cases of pooling with stride, padding and overlap, by sums and by the largest value.

use super::case;
use crate::common::judge::Case;
use crate::common::normals;
use pgn_wgpu::graph::{Graph, Window};

/// Images and windows over them: overlap, gaps, padding on either side alone, cells that no window covers, windows that
/// end beyond the padding, windows larger than the image, more channels and columns than a workgroup has lanes.
pub fn windows() -> Vec<([usize; 4], Window)> {
    let new = Window::new;
    let same = [[1, 1], [1, 1]];
    vec![
        ([2, 8, 8, 16], Window::mean(3, 3).strided(2, 2).padded(same)),
        ([2, 7, 9, 3], Window::mean_inside(3, 3).strided(2, 2).padded(same)),
        ([1, 6, 5, 9], Window::mean(3, 2).strided(1, 1)),
        ([3, 5, 7, 5], Window::mean(2, 3).strided(3, 1).padded([[1, 0], [0, 2]])),
        ([2, 6, 6, 4], Window::mean(3, 3).strided(2, 2).padded(same).rounded_up()),
        ([2, 5, 5, 2], Window::mean(2, 2).rounded_up()),
        ([1, 4, 4, 3], Window::mean_inside(3, 3).strided(2, 2).rounded_up()),
        ([1, 1, 1, 1], new(1, 1).strided(2, 3)),
        ([1, 1, 2, 70], new(3, 3).padded([[2, 2], [1, 1]])),
        ([17, 9, 20, 1], new(2, 5).strided(4, 7).padded([[0, 1], [4, 4]])),
        ([1, 1, 1000, 1], new(1, 1000)),
        ([5, 3, 3, 11], Window { scale: -2.5, ..Window::mean_inside(2, 2).padded([[1, 0], [0, 1]]) }),
    ]
}

/// Halves, which tie often, then every special value in some window.
fn keys(count: usize, nan: bool) -> Vec<f32> {
    let special = |i: usize, v: f32| match i % 23 {
        3 if nan => f32::NAN,
        7 => f32::NEG_INFINITY,
        8 => f32::INFINITY,
        11 => -0.0,
        _ => (2.0 * v).round() / 2.0,
    };
    normals(7, count).into_iter().enumerate().map(|(i, v)| special(i, v)).collect()
}

/// `window_pool`, `window_unpool`, `max_pool` and `max_unpool`.
pub fn pooling() -> Vec<Case> {
    let mut cases = Vec::new();
    for (extents, window) in windows() {
        let name = format!("{extents:?} {window:?}");
        let [n, h, w, c] = extents;
        let (len, numbers) = (extents.iter().product(), normals(1, extents.iter().product()));
        let mut probe = Graph::new();
        let x = probe.input("x", &extents).unwrap();
        let pooled = probe.pool(window, x).unwrap();
        let small = probe.shape(pooled).extents().to_vec();
        let spread = normals(2, small.iter().product());
        cases.push(case(&name, vec![(&extents, numbers.clone())], |g, t| g.pool(window, t[0])));
        cases.push(case(&name, vec![(&small, spread.clone())], |g, t| g.unpool(window, t[0], h, w)));
        cases.push(case(&name, vec![(&extents, keys(len, true))], |g, t| g.max_pool(window, t[0])));
        let tied = keys(len, false);
        cases.push(case(&name, vec![(&extents, numbers), (&extents, tied.clone())], |g, t| {
            g.max_pool_by(window, t[0], t[1])
        }));
        cases.push(case(&name, vec![(&small, spread), (&extents, tied.clone())], |g, t| {
            g.max_unpool(window, t[0], t[1])
        }));
        // Two batches by the keys of one.
        let (twice, small_twice) = ([2 * n, h, w, c], [&[2 * small[0]], &small[1..]].concat());
        let (x, d) = (normals(3, 2 * len), normals(4, small_twice.iter().product()));
        cases.push(case(&name, vec![(&twice, x), (&extents, tied.clone())], |g, t| {
            g.max_pool_by(window, t[0], t[1])
        }));
        cases.push(case(&name, vec![(&small_twice, d), (&extents, tied)], |g, t| {
            g.max_unpool(window, t[0], t[1])
        }));
    }
    cases
}
