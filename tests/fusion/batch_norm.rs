//! Batch normalisation as a network composes it of primitive operations, with a weight per image: how many calls and how much
//! memory traffic become of it, and that fusing keeps its results.

use crate::common::judge::{Case, judge_all};
use crate::common::{Values, compare, named, normals};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::{Graph, GraphError, Shape, Tensor};
use pgn_wgpu::kernels::Tolerance;
use pgn_wgpu::program::{MemoryLimits, Program};
use std::sync::Arc;

/// `relu(scale · (x − mean) / √(variance + ε) + shift)`, the statistics being those of the images by their weights.
fn normalised(g: &mut Graph, [x, weights, scale, shift]: [Tensor; 4]) -> Result<Tensor, GraphError> {
    let [_, h, w, c] = <[usize; 4]>::try_from(g.shape(x).extents()).expect("images");
    let sum = g.sum(weights);
    let count = g.affine(sum, (h * w) as f32, 0.0);
    let one_by_count = g.power(count, -1.0);
    let weighted = g.multiply(x, weights)?;
    let sums = g.sum_rows(weighted, c)?;
    let mean = g.multiply(sums, one_by_count)?;
    let centred = g.subtract(x, mean)?;
    let squares = g.power(centred, 2.0);
    let weighted = g.multiply(squares, weights)?;
    let sums = g.sum_rows(weighted, c)?;
    let variance = g.multiply(sums, one_by_count)?;
    let with_epsilon = g.affine(variance, 1.0, 1e-5);
    let deviation = g.power(with_epsilon, 0.5);
    let inverse = g.power(deviation, -1.0);
    let factor = g.multiply(scale, inverse)?;
    let scaled = g.multiply(centred, factor)?;
    let shifted = g.add(scaled, shift)?;
    Ok(g.relu(shifted))
}

/// Forward and backward, with all gradients; every third image counts for nothing.
fn case(extents: [usize; 4]) -> Case {
    let mut graph = Graph::new();
    let [n, _, _, c] = extents;
    let shapes = [&extents[..], &[n, 1], &[c], &[c]];
    let inputs = [0, 1, 2, 3].map(|i| graph.input(&format!("input {i}"), shapes[i]).unwrap());
    let cotangent = graph.input("input 4", &extents).unwrap();
    let result = normalised(&mut graph, inputs).unwrap();
    let gradients = graph.gradient(result, cotangent, &[inputs[0], inputs[2], inputs[3]]).unwrap();
    graph.output("result", result);
    for (name, gradient) in ["by x", "by scale", "by shift"].iter().zip(gradients) {
        graph.output(name, gradient);
    }
    let len = extents.iter().product();
    let weights = (0..n).map(|i| if i % 3 == 2 { 0.0 } else { 1.0 }).collect();
    // Channels of different mean and spread.
    let spread = |(i, v): (usize, f32)| 0.5 * (i % c) as f32 + v * (1.0 + 0.1 * (i % c) as f32);
    let values = vec![
        named("input 0", normals(1, len).into_iter().enumerate().map(spread).collect()),
        named("input 1", weights),
        named("input 2", normals(2, c)),
        named("input 3", normals(3, c)),
        named("input 4", normals(4, len)),
    ];
    Case { name: format!("batch norm of {extents:?}"), graph, values, matrix_products: false }
}

/// Tensors as large as the images that the calls read and write.
fn passes(program: &Program, extents: [usize; 4]) -> usize {
    let large = extents.iter().product::<usize>();
    let all = program.calls.iter().flat_map(|call| call.reads.iter().chain(&call.writes));
    all.filter(|id| program.tensor(**id).shape.len() == large).count()
}

fn run(program: Program, values: &Values, mode: Mode) -> Vec<Vec<f32>> {
    let outputs: Vec<String> = program.outputs.iter().map(|(name, _)| name.clone()).collect();
    let mut session = Workspace::new(Device::Cpu(mode)).bind(Arc::new(program)).unwrap();
    for (name, values) in values {
        session.write(name, values).unwrap();
    }
    let run = session.compute().unwrap();
    outputs.iter().map(|name| run.get(name).to_vec()).collect()
}

const IMAGES: [usize; 4] = [32, 16, 16, 64];

#[test]
fn batch_norm_passes_over_its_images_few_times() {
    let graph = case(IMAGES).graph;
    let [unfused, fused] =
        [Program::compile_unfused, Program::compile].map(|f| f(&graph, MemoryLimits::NONE).unwrap());
    let sums = |program: &Program| {
        let large = |id: &pgn_wgpu::program::TensorId| program.tensor(*id).shape.len() > 1 << 16;
        let calls = program.calls.iter().filter(|call| call.kernel.name == "sum_rows");
        calls.filter(|call| call.reads.iter().any(large)).count()
    };
    assert!(sums(&unfused) >= 5);
    assert_eq!(sums(&fused), 0, "no sum reads what was only written for it");
    assert!(passes(&fused, IMAGES) <= 12, "{} passes", passes(&fused, IMAGES));
}

#[test]
fn batch_norm_fused_is_batch_norm_to_the_bit() {
    // Rows in several parts of which the last is shorter; channels of a block and others.
    for extents in [[9, 7, 9, 5], [6, 8, 8, 16], [3, 15, 20, 40], [4, 16, 16, 1]] {
        let case = case(extents);
        let program = || Program::compile(&case.graph, MemoryLimits::NONE).unwrap();
        assert!(
            program().calls.iter().any(|call| call.kernel.name == "elementwise_columns"),
            "{}",
            case.name
        );
        for mode in [Mode::Reference, Mode::Fast] {
            let plain = Program::compile_unfused(&case.graph, MemoryLimits::NONE).unwrap();
            assert_eq!(run(program(), &case.values, mode), run(plain, &case.values, mode), "{}", case.name);
        }
    }
}

#[test]
fn fused_batch_norm_agrees_on_the_adapter() {
    judge_all(&[[9, 7, 9, 5], [6, 8, 8, 16], [3, 15, 20, 40], [4, 16, 16, 1]].map(case));
}

/// Forward and by x, in f64.
fn reference(extents: [usize; 4], values: &Values) -> [Vec<f32>; 2] {
    let [n, h, w, c] = extents;
    let [x, weights, scale, shift, d] = [0, 1, 2, 3, 4].map(|i: usize| &values[i].1);
    let count = f64::from(weights.iter().sum::<f32>()) * (h * w) as f64;
    let per_image = h * w * c;
    let mean_of = |of: &dyn Fn(usize) -> f64, channel: usize| {
        let all = (0..n * h * w).map(|p| p * c + channel);
        all.map(|i| of(i) * f64::from(weights[i / per_image])).sum::<f64>() / count
    };
    let mut results = [vec![0.0; x.len()], vec![0.0; x.len()]];
    for channel in 0..c {
        let mean = mean_of(&|i| f64::from(x[i]), channel);
        let variance = mean_of(&|i| (f64::from(x[i]) - mean).powi(2), channel);
        let inverse = 1.0 / (variance + 1e-5).sqrt();
        let normal = |i: usize| (f64::from(x[i]) - mean) * inverse;
        let y = |i: usize| normal(i) * f64::from(scale[channel]) + f64::from(shift[channel]);
        let dy = |i: usize| if y(i) > 0.0 { f64::from(d[i]) } else { 0.0 };
        // Sums are over all images, means over those that count.
        let sum = |of: &dyn Fn(usize) -> f64| (0..n * h * w).map(|p| of(p * c + channel)).sum::<f64>();
        let (by_mean, by_spread) = (sum(&dy) / count, sum(&|i| dy(i) * normal(i)) / count);
        for i in (0..n * h * w).map(|p| p * c + channel) {
            let weight = f64::from(weights[i / per_image]);
            results[0][i] = y(i).max(0.0) as f32;
            let corrected = dy(i) - weight * (by_mean + by_spread * normal(i));
            results[1][i] = (f64::from(scale[channel]) * inverse * corrected) as f32;
        }
    }
    results
}

#[test]
fn batch_norm_and_its_gradient_are_those_of_the_formula() {
    let extents = [6, 8, 8, 16];
    let case = case(extents);
    let program = Program::compile(&case.graph, MemoryLimits::NONE).unwrap();
    let own = run(program, &case.values, Mode::Fast);
    let [y, by_x] = reference(extents, &case.values);
    let allowed = Tolerance { absolute: 1e-5, relative: 1e-5 };
    compare(&own[0], &y, &Shape::new(&extents), allowed).unwrap();
    compare(&own[1], &by_x, &Shape::new(&extents), allowed).unwrap();
}
