//! Cases of the kernels that work row by row.

use super::case;
use crate::common::judge::Case;
use crate::common::{labels, normals};
use pgn_wgpu::graph::Graph;

/// `sum_rows` (in one and in two stages) and `sum_columns`.
pub fn sums() -> Vec<Case> {
    let mut cases = Vec::new();
    // Columns in blocks of eight and others.
    for extents in [
        [1, 1],
        [1, 7],
        [1, 8],
        [5, 1000],
        [7, 4104],
        [256, 3],
        [257, 3],
        [300, 65],
        [300, 24],
        [1000, 520],
        [40, 300],
        [70_001, 2],
        [70_001, 8],
    ] {
        let input = vec![(&extents[..], normals(1, extents.iter().product()))];
        cases.push(case(format!("rows of {extents:?}"), input, |g, t| g.sum_rows(t[0], extents[1])));
    }
    for extents in [[1, 1], [1, 5000], [3, 65], [65, 64], [5, 63], [16_390, 2]] {
        let input = vec![(&extents[..], normals(2, extents.iter().product()))];
        cases.push(case(format!("columns of {extents:?}"), input, |g, t| Ok(g.sum_columns(t[0]))));
    }
    cases
}

/// `copy_columns`: concatenations, also of labels as planes beside images, and slices.
pub fn column_copies() -> Vec<Case> {
    let mut cases = Vec::new();
    for parts in [
        vec![&[1, 1][..], &[1, 1]],
        vec![&[5, 16], &[5, 10]],
        vec![&[2, 2, 2, 16], &[2, 10]],
        vec![&[3, 4, 4, 7], &[3, 2], &[3, 4, 4, 1]],
        vec![&[2, 28, 28, 4], &[2, 28, 28, 1], &[2, 28, 28, 1]],
        vec![&[2, 5, 5, 24], &[2, 5, 5, 8], &[2, 8]],
    ] {
        let values = |i: usize| normals(i as u32, parts[i].iter().product());
        let inputs = (0..parts.len()).map(|i| (parts[i], values(i))).collect();
        cases.push(case(format!("concatenation of {parts:?}"), inputs, Graph::concatenate));
    }
    for (extents, start, len) in [
        (&[3, 5][..], 0, 5),
        (&[3, 5], 4, 1),
        (&[2, 4, 4, 26], 16, 10),
        (&[1, 1], 0, 1),
        (&[3, 5, 5, 40], 16, 24),
    ] {
        let inputs = vec![(extents, normals(3, extents.iter().product()))];
        let name = format!("{len} channels from {start} of {extents:?}");
        cases.push(case(name, inputs, |g, t| g.slice(t[0], start, len)));
    }
    cases
}

const LOGITS: [[usize; 2]; 6] = [[1, 2], [5, 10], [3, 3], [65, 2], [2, 1000], [130, 7]];

/// Ordinary logits; in every third row the first one is far ahead, in the next all are equal.
fn logits([rows, classes]: [usize; 2]) -> Vec<f32> {
    let mut values = normals(4, rows * classes);
    for (i, row) in values.chunks_mut(classes).enumerate() {
        match i % 3 {
            1 => row[0] = 60.0,
            2 => row.fill(-3.5),
            _ => {}
        }
    }
    values
}

/// `softmax`, `cross_entropy` and `cross_entropy_gradient`, also where a plain exponential overflows.
pub fn softmax_and_cross_entropy() -> Vec<Case> {
    let mut cases = Vec::new();
    for extents in LOGITS {
        for scale in [1.0, 1e3] {
            let name = format!("{extents:?} times {scale}");
            let (rows, each) = (extents[0], [extents[0], 1]);
            let x: Vec<f32> = logits(extents).iter().map(|v| v * scale).collect();
            let classes = labels(5, rows, extents[1]);
            let mut weights = normals(6, rows);
            weights[0] = 0.0;
            let inputs = [(&extents[..], x), (&each, classes), (&each, weights)];
            cases.push(case(name.clone(), inputs[..1].to_vec(), |g, t| Ok(g.softmax(t[0]))));
            cases.push(case(name.clone(), inputs[..2].to_vec(), |g, t| g.cross_entropy(t[0], t[1])));
            cases.push(case(name, inputs.to_vec(), |g, t| g.cross_entropy_gradient(t[0], t[1], t[2])));
        }
    }
    cases
}

/// `one_hot`, `arg_max` (the first of equals) and `gather_rows`, alone and added to something.
pub fn selections() -> Vec<Case> {
    let mut cases = Vec::new();
    for extents in LOGITS {
        let [rows, classes] = extents;
        let name = format!("{extents:?}");
        // Halves tie often.
        let halves: Vec<f32> = logits(extents).iter().map(|v| (2.0 * v).round() / 2.0).collect();
        let ends = labels(7, rows, 2).iter().map(|v| v * (classes - 1) as f32).collect();
        cases.push(case(name.clone(), vec![(&extents, halves)], |g, t| Ok(g.arg_max(t[0]))));
        cases.push(case(name, vec![(&[rows, 1], ends)], |g, t| Ok(g.one_hot(t[0], classes))));
    }
    for (extents, picked) in [
        (&[4, 3][..], vec![3.0, 0.0, 0.0]),
        (&[1, 1], vec![0.0]),
        (&[7, 5, 5, 3], labels(8, 9, 7)),
        (&[3, 8], vec![2.0]),
        (&[10, 3, 5, 24], labels(10, 13, 10)),
    ] {
        let (values, count) = (normals(9, extents.iter().product()), [picked.len()]);
        let mut inputs = vec![(extents, values), (&count[..], picked.clone())];
        cases.push(case(format!("rows {picked:?}"), inputs.clone(), |g, t| Ok(g.gather_rows(t[0], t[1]))));
        let beside = [&count[..], &extents[1..]].concat();
        inputs.push((&beside, normals(11, beside.iter().product())));
        let name = format!("rows {picked:?} beside others");
        cases.push(case(name, inputs, |g, t| g.gather_rows_leaky(0.2, t[0], t[1], t[2])));
    }
    cases
}
