//! Cases of the kernels that work value by value.

use super::case;
use crate::common::judge::Case;
use crate::common::{named, normals};
use pgn_wgpu::graph::{AdamStates, Binary, Graph, Shape, Unary};
use pgn_wgpu::kernels::grids::{BLOCK, GRID_WIDTH, GROUP};

/// More values than one row of a grid has invocations, where each takes one value.
const MANY: usize = (GROUP * GRID_WIDTH) as usize + 65;
/// The same where each takes eight.
const MANY_BLOCKS: usize = (BLOCK * GRID_WIDTH) as usize + 65;

/// Sizes of numbers around everything that is special: zero, units, and sizes at which naive formulas overflow.
const SPECIAL: [f32; 16] =
    [0.0, 1e-30, 1e-6, 1e-3, 0.2, 0.5, 1.0, 1.5, 2.0, 9.0, 20.0, 44.5, 87.0, 100.0, 1e4, 1e18];

/// Special numbers, one size per case: a tolerance in units of the largest result judges no result that is much smaller.
fn special(lopsided: bool) -> Vec<[f32; 2]> {
    let both = |&m: &f32| if lopsided { vec![[m, m], [-m, -m]] } else { vec![[m, -m]] };
    SPECIAL.iter().flat_map(both).collect()
}

fn positive(values: Vec<f32>) -> Vec<f32> {
    values.into_iter().map(|v| if v == 0.0 { 3.0 } else { v.abs() }).collect()
}

const UNARY: [Unary; 19] = [
    Unary::Identity,
    Unary::Affine(-2.5, 0.75),
    Unary::Clamp(-0.5, 1.5),
    Unary::LeakyRelu(0.2),
    Unary::Exp,
    Unary::Log,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Sqrt,
    Unary::Square,
    Unary::Abs,
    Unary::Sign,
    Unary::Reciprocal,
    Unary::Erf,
    Unary::Softplus,
    // By products, by products and a root, and by the logarithm; of negative numbers too where the exponent is whole.
    Unary::Power(3.0),
    Unary::Power(-1.5),
    Unary::Power(2.3),
    Unary::Power(19.0),
];
const BINARY: [Binary; 13] = [
    Binary::Add,
    Binary::Subtract,
    Binary::Multiply,
    Binary::Divide,
    Binary::Maximum,
    Binary::Minimum,
    Binary::Equal,
    Binary::Greater,
    Binary::LeakyMask(0.2),
    Binary::ClampMask(-0.5, 1.0),
    Binary::Compose,
    Binary::ComposeGradient,
    Binary::Select,
];

/// The values, moved to where the function is defined.
fn in_domain(function: Unary, values: Vec<f32>) -> Vec<f32> {
    match function {
        Unary::Log | Unary::Sqrt | Unary::Reciprocal => positive(values),
        // Beyond 87 the result is no number of this size.
        Unary::Exp => values.into_iter().map(|v| v.clamp(-200.0, 87.0)).collect(),
        Unary::Power(a) => {
            let [least, most] = if a.abs() > 4.0 { [0.01, 10.0] } else { [1e-4, 1e4] };
            let bounded = |v: f32| v.abs().clamp(least, most).copysign(v);
            let all: Vec<f32> = values.into_iter().map(bounded).collect();
            if a.fract() == 0.0 { all } else { positive(all) }
        }
        _ => values,
    }
}

/// Operands of a function of one value, with the names of their cases: as many ordinary numbers as `counts` says, then
/// special ones.
fn operand(function: Unary, counts: &[usize]) -> Vec<(String, Vec<f32>)> {
    let ordinary = counts.iter().map(|&count| {
        let values = normals(1, count);
        let values = match function {
            // High powers of numbers nearer to 0, or of larger ones, are not of one size.
            Unary::Power(a) if a.abs() > 4.0 => {
                values.into_iter().map(|v| (0.75 + 0.125 * v.abs()).copysign(v)).collect()
            }
            _ => values,
        };
        (format!("{function:?} of {count}"), values)
    });
    // Of a number and its negative these make results of very different sizes.
    let lopsided = matches!(function, Unary::Exp | Unary::Sigmoid | Unary::Softplus);
    let special =
        special(lopsided).into_iter().map(|pair| (format!("{function:?} of {pair:?}"), pair.to_vec()));
    ordinary.chain(special).map(|(name, values)| (name, in_domain(function, values))).collect()
}

/// Every function as part of a fused call, and every way in which such a call reads and adds.
pub fn fused() -> Vec<Case> {
    let mut cases = Vec::new();
    for function in UNARY {
        for (name, values) in operand(function, &[600]) {
            let extents = [values.len()];
            // What is added would hide the error of small results.
            let added = if values.len() == 600 { 0.25 } else { 0.0 };
            cases.push(case(format!("fused {name}"), vec![(&extents[..], values)], |g, t| {
                let y = g.unary(function, t[0]);
                Ok(g.affine(y, 0.5, added))
            }));
        }
    }
    for function in BINARY {
        for (name, [l, r]) in operands(function, &[600]) {
            let extents = [l.len()];
            let inputs = vec![(&extents[..], l), (&extents[..], r)];
            cases.push(case(format!("fused {name}"), inputs, |g, t| {
                let y = g.binary(function, t[0], t[1])?;
                Ok(g.unary(Unary::Abs, y))
            }));
        }
    }
    // Rows shorter and longer than a workgroup's block; more values than one row of the grid has workgroups for.
    for images in [[6, 4, 5, 3], [3, 16, 12, 3], [2, 25, 25, 3], [16_400, 1, 2, 2]] {
        let whole: usize = images.iter().product();
        for part in [&[images[3]][..], &[1, images[1], images[2], images[3]], &[images[0], 1], &[1]] {
            let inputs = vec![(&images[..], normals(9, whole)), (part, normals(10, part.iter().product()))];
            cases.push(case(format!("fused {images:?} and {part:?}"), inputs, |g, t| {
                let sum = g.add(t[0], t[1])?;
                Ok(g.unary(Unary::Square, sum))
            }));
        }
        let per_image = [images[0], 1];
        let inputs = vec![(&images[..], normals(9, whole)), (&per_image[..], normals(10, images[0]))];
        cases.push(case(format!("fused sums of {images:?}"), inputs, |g, t| {
            let difference = g.subtract(t[0], t[1])?;
            let square = g.unary(Unary::Square, difference);
            let (first, second) = (g.sum_columns(difference), g.sum_columns(square));
            g.output("difference", difference);
            g.multiply(first, second)
        }));
    }
    cases.push(large());
    cases
}

/// Row by row, beside one value per image and one per channel, with more than 2^23 values: indices of the last ones are no floats.
fn large() -> Case {
    let images = [85, 1, 32_901, 3];
    let inputs = vec![
        (&images[..], normals(9, images.iter().product())),
        (&[3][..], vec![1.0, 2.0, 4.0]),
        (&[85, 1][..], normals(10, 85)),
    ];
    case(format!("fused {images:?} by channel and by image"), inputs, |g, t| {
        let scaled = g.multiply(t[0], t[1])?;
        g.add(scaled, t[2])
    })
}

/// Sums over rows of functions, in parts, every way to read beside them; rows that end within a part, columns beyond a
/// workgroup's and others.
pub fn fused_columns() -> Vec<Case> {
    let mut cases = Vec::new();
    for images in [[6, 8, 11, 3], [3, 10, 10, 70], [2, 20, 20, 32], [700, 1, 1, 300], [5, 11, 13, 1]] {
        let (whole, channels): (usize, usize) = (images.iter().product(), images[3]);
        for part in [&[channels][..], &[images[0], 1], &[1]] {
            let inputs = vec![(&images[..], normals(9, whole)), (part, normals(10, part.iter().product()))];
            cases.push(case(format!("columns of {images:?} and {part:?}"), inputs, |g, t| {
                let difference = g.subtract(t[0], t[1])?;
                let square = g.unary(Unary::Square, difference);
                let sums = [g.sum_rows(difference, channels)?, g.sum_rows(square, channels)?];
                g.output("difference", difference);
                g.multiply(sums[0], sums[1])
            }));
        }
        // What is one number per image is used beside a sum that is written alone.
        let per_image = [images[0], 1];
        let inputs = vec![(&images[..], normals(9, whole)), (&per_image[..], normals(10, images[0]))];
        cases.push(case(format!("one sum over {images:?}"), inputs, |g, t| {
            let weighted = g.multiply(t[0], t[1])?;
            g.sum_rows(weighted, channels)
        }));
    }
    cases
}

/// Every function of one value, and every way to read it.
pub fn unary() -> Vec<Case> {
    let mut cases = Vec::new();
    for function in UNARY {
        for (name, values) in operand(function, &[1, 65, 1000]) {
            let extents = [values.len()];
            cases.push(case(name, vec![(&extents[..], values)], |g, t| Ok(g.unary(function, t[0]))));
        }
    }
    let many = vec![(&[MANY_BLOCKS][..], normals(2, MANY_BLOCKS))];
    cases.push(case("size of many", many, |g, t| Ok(g.unary(Unary::Abs, t[0]))));
    let images = Shape::new(&[6, 4, 5, 3]);
    for part in [&[3][..], &[5, 3], &[2, 4, 5, 3], &[6, 1], &[1]] {
        let values = normals(3, part.iter().product());
        cases.push(case(format!("{part:?} to {images}"), vec![(part, values)], |g, t| {
            g.broadcast(t[0], &images)
        }));
    }
    cases
}

/// The left values beside as many right ones, on which the function is interesting.
fn beside(function: Binary, l: Vec<f32>) -> [Vec<f32>; 2] {
    let r = normals(5, l.len());
    let steps = |values: Vec<f32>| values.into_iter().map(|v| (2.0 * v).round() / 2.0).collect::<Vec<_>>();
    match function {
        Binary::Divide => [l, positive(r)],
        // Small multiples of a half are often equal, and often exactly at the bounds.
        Binary::Equal | Binary::Greater | Binary::Maximum | Binary::Minimum => [steps(l), steps(r)],
        Binary::LeakyMask(_) | Binary::ClampMask(..) => [l, steps(r)],
        Binary::Select => {
            let mask: Vec<f32> = steps(r);
            // What is not selected may be anything.
            let l = l.iter().zip(&mask).enumerate().map(|(i, (&l, &m))| match (m == 0.0, i % 3) {
                (true, 0) => f32::NAN,
                (true, 1) => f32::INFINITY,
                _ => l,
            });
            [l.collect(), mask]
        }
        Binary::Compose => {
            let pixel = |(i, v): (usize, &f32)| match i % 5 {
                0 => 0.0,
                1 => 1.0,
                _ => 0.5 + 0.5 * v.clamp(-1.0, 1.0),
            };
            [r.iter().enumerate().map(pixel).collect(), l]
        }
        Binary::ComposeGradient => [l, r.iter().map(|v| 0.5 + 0.5 * v.clamp(-1.0, 1.0)).collect()],
        _ => [l, r],
    }
}

/// Operands of a function of two values, with the names of their cases: as many ordinary numbers as `counts` says, then
/// special ones on one side. Comparisons get no special ones: they have the size of their operands, which would be two, or are 0 and 1.
fn operands(function: Binary, counts: &[usize]) -> Vec<(String, [Vec<f32>; 2])> {
    let ordinary = counts.iter().map(|&count| (format!("{function:?} of {count}"), normals(4, count)));
    let compares = matches!(function, Binary::Equal | Binary::Greater | Binary::Maximum | Binary::Minimum);
    let pairs = if compares { Vec::new() } else { special(false) };
    // Ten of them, so that each meets every kind of image that `compose` gets.
    let special = pairs
        .into_iter()
        .map(|pair| (format!("{function:?} with {pair:?}"), pair.into_iter().cycle().take(10).collect()));
    ordinary.chain(special).map(|(name, l)| (name, beside(function, l))).collect()
}

/// Every function of two values, and every way to read both.
pub fn binary() -> Vec<Case> {
    let mut cases = Vec::new();
    for function in BINARY {
        for (name, [l, r]) in operands(function, &[1, 65, 1000]) {
            let extents = [l.len()];
            let inputs = vec![(&extents[..], l), (&extents[..], r)];
            cases.push(case(name, inputs, |g, t| g.binary(function, t[0], t[1])));
        }
    }
    let images = [6, 4, 5, 3];
    for part in [&[3][..], &[5, 3], &[2, 4, 5, 3], &[6, 1], &[1]] {
        let (whole, small) = (normals(9, images.iter().product()), normals(10, part.iter().product()));
        let inputs = || vec![(&images[..], whole.clone()), (part, small.clone())];
        cases.push(case(format!("images − {part:?}"), inputs(), |g, t| g.subtract(t[0], t[1])));
        cases.push(case(format!("{part:?} − images"), inputs(), |g, t| g.subtract(t[1], t[0])));
    }
    cases
}

/// Adam over `count` parameters whose gradients and states are of one size; where the gradients are zero, the states are
/// ordinary.
fn adam_case(count: usize, size: f32, schedule: [f32; 2], averaged: bool) -> Case {
    let mut graph = Graph::new();
    let mut state = |name| graph.state(name, &[count]).unwrap();
    let [parameters, momentum, variance] = ["parameters", "momentum", "variance"].map(&mut state);
    let average = averaged.then(|| state("average"));
    let gradient = graph.input("gradient", &[count]).unwrap();
    let at = graph.input("schedule", &[2]).unwrap();
    graph.adam(AdamStates { parameters, momentum, variance, average }, gradient, at).unwrap();
    let scaled = |seed, by: f32| normals(seed, count).into_iter().map(|v| v * by).collect::<Vec<f32>>();
    let of_states = if size == 0.0 { 1.0 } else { size };
    let mut values = vec![
        named("gradient", scaled(11, size)),
        named("schedule", schedule.to_vec()),
        named("parameters", normals(12, count)),
        named("momentum", scaled(13, of_states)),
        named("variance", scaled(14, of_states).into_iter().map(|v| v * v).collect()),
    ];
    if averaged {
        values.push(named("average", normals(15, count)));
    }
    let name = format!("Adam of {count}, gradients around {size:e}, with {schedule:?}, averaged: {averaged}");
    Case { name, graph, values, matrix_products: false }
}

/// `adam`.
pub fn adam() -> Vec<Case> {
    // First step, late step, and an average that follows at once.
    let schedules = [[3e-4, 2.0 / 11.0], [1e-3, 0.9999], [0.1, 0.0]];
    // Counts of whole blocks of eight and others, then gradients of other sizes.
    let counts = [1, 1000, 65, 8, 1004, 4096].map(|count| (count, 1.0));
    let sizes = [0.0, 1e-8, 1e-15, 1e6].into_iter().flat_map(|size| [(1000, size), (65, size)]);
    counts
        .into_iter()
        .chain(sizes)
        .zip(schedules.iter().cycle())
        .flat_map(|((n, size), &s)| [true, false].map(|averaged| adam_case(n, size, s, averaged)))
        .collect()
}

/// `random_normal`: seeds and counters are bit patterns, some of them of no number.
pub fn random_normal() -> Vec<Case> {
    let seeds =
        [[0, 0, 0], [1, 2, 3], [0x7fc0_0001, 0xff80_0000, 1 << 20], [u32::MAX, 0x8000_0000, u32::MAX - 2]];
    let mut cases: Vec<Case> = Vec::new();
    for (seed, count) in seeds.into_iter().zip([1, 65, 1000, MANY]) {
        let bits: Vec<f32> = seed.iter().map(|&s| f32::from_bits(s)).collect();
        let name = format!("{count} numbers of seed {seed:x?}");
        cases.push(case(name, vec![(&[3], bits)], |g, t| g.random_normal(t[0], &[count])));
    }
    cases
}
