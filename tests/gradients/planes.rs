//! Concatenations that convolutions read: only the channels that a gradient asks for are computed, and constant planes
//! beside an image are replaced by what they become under the convolution.

use crate::check::{Built, check, wanted};
use crate::common::epilogue::transposed;
use crate::common::{Values, compare, devices, named, normals, session};
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::{Borders, Convolution, Epilogue, Graph, GraphError, Shape, Tensor, Window};
use pgn_wgpu::kernels::Tolerance;
use pgn_wgpu::program::{MemoryLimits, Program};

#[test]
fn borders_and_biases_by_the_border() {
    for stride in [1, 2] {
        let borders = Borders { stride };
        let (h, w, side) = (3, 2, borders.side());
        let large = [2, h * stride, w * stride, 2];
        check("border sum", &[wanted(1, &large)], |g, t| g.border_sum(borders, t[0]));
        check("border spread", &[wanted(2, &[2, side, side, 2])], |g, t| {
            g.border_spread(borders, t[0], h * stride, w * stride)
        });
        let operands = [
            wanted(3, &[2, h, w, 3]),
            wanted(4, &[3, 3, 2, 3]).map(|v| 0.2 * v),
            wanted(5, &[2, side, side, 2]).map(|v| 0.2 * v).alternating(6.0),
        ];
        check(&format!("biases by the border, stride {stride}"), &operands, |g, t| {
            let how = Convolution::same(3, stride);
            let y = transposed(g, how, Epilogue::BorderBiasLeaky(0.2), t)?;
            Ok(Built { result: y, kinks: vec![y] })
        });
    }
}

/// Sums in another order.
const EXACT: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };
const NAMES: [&str; 5] = ["result", "by image", "by beside", "by weight", "by bias"];

/// Outputs of a graph by name.
fn results(device: &Device, graph: &Graph, values: &Values, names: &[&str]) -> Vec<Vec<f32>> {
    let (_workspace, mut session) = session(device, graph, values, &Values::new());
    let run = session.compute().unwrap();
    names.iter().map(|name| run.get(name).to_vec()).collect()
}

/// A transposed convolution of an image with `[n, 2]` beside it as planes, and its gradients by image, weight and bias;
/// made as planes or as biases by the border.
fn beside_planes(g: &mut Graph, stride: usize, planes: bool) -> Result<(), GraphError> {
    let how = Convolution::same(3, stride);
    let image = g.input("image", &[2, 4, 3, 3])?;
    let beside = g.input("beside", &[2, 2])?;
    let [weight, bias] = [g.input("weight", &[3, 3, 2, 5])?, g.input("bias", &[2])?];
    let cotangent = g.input("cotangent", &[2, 4 * stride, 3 * stride, 2])?;
    let y = if planes {
        let both = g.concatenate(&[image, beside])?;
        transposed(g, how, Epilogue::BiasLeaky(0.2), &[both, weight, bias])?
    } else {
        let one = g.reshape(beside, &[2, 1, 1, 2])?;
        let side = Borders::COARSE_SIDE;
        let small = g.unpool(Window::new(side, side), one, side, side)?;
        let [of_image, of_planes] = [g.slice(weight, 0, 3)?, g.slice(weight, 3, 2)?];
        let biases = transposed(g, how, Epilogue::Bias, &[small, of_planes, bias])?;
        transposed(g, how, Epilogue::BorderBiasLeaky(0.2), &[image, of_image, biases])?
    };
    let wanted: [Tensor; 4] = [image, beside, weight, bias];
    let gradients = g.gradient(y, cotangent, &wanted)?;
    for (name, tensor) in NAMES.iter().zip([y].into_iter().chain(gradients)) {
        g.output(name, tensor);
    }
    Ok(())
}

#[test]
fn planes_beside_an_image_act_as_biases_by_the_border() {
    for stride in [1, 2] {
        let extents = [
            ("image", 2 * 4 * 3 * 3),
            ("beside", 4),
            ("weight", 9 * 2 * 5),
            ("bias", 2),
            ("cotangent", 2 * 4 * 3 * stride * stride * 2),
        ];
        let values: Values =
            extents.iter().zip(1..).map(|(&(name, len), seed)| named(name, normals(seed, len))).collect();
        for (device_name, device) in devices() {
            let [expected, own] = [true, false].map(|planes| {
                let mut graph = Graph::new();
                beside_planes(&mut graph, stride, planes).unwrap();
                results(&device, &graph, &values, &NAMES)
            });
            for ((name, own), expected) in NAMES.iter().zip(own).zip(expected) {
                let shape = Shape::new(&[expected.len()]);
                compare(&own, &expected, &shape, EXACT)
                    .unwrap_or_else(|e| panic!("{name} on {device_name}, stride {stride}: {e}"));
            }
        }
    }
}

#[test]
fn of_a_convolution_only_the_channels_asked_for_are_computed() {
    let build = |sliced: bool| {
        let mut g = Graph::new();
        let how = Convolution::same(3, 1);
        let d = g.input("d", &[1, 4, 4, 2]).unwrap();
        let [out, back] = [g.input("out", &[3, 3, 2, 7]).unwrap(), g.input("back", &[3, 3, 7, 2]).unwrap()];
        let coarse = g.convolve(how, d, out).unwrap();
        let fine = g.convolve_transposed(how, d, back).unwrap();
        for (name, whole) in [("coarse", coarse), ("fine", fine)] {
            let result = if sliced { g.slice(whole, 2, 3).unwrap() } else { whole };
            g.output(name, result);
        }
        g
    };
    let [whole, part] = [false, true].map(build);
    let values =
        vec![named("d", normals(1, 32)), named("out", normals(2, 126)), named("back", normals(3, 126))];
    let flops = |graph| {
        let calls = Program::compile(graph, MemoryLimits::NONE).unwrap().calls;
        calls.iter().filter(|c| c.kernel.name.starts_with("conv2d")).map(|c| c.flops).collect::<Vec<_>>()
    };
    assert_eq!(flops(&part), flops(&whole).iter().map(|f| f * 3 / 7).collect::<Vec<_>>());
    for (device_name, device) in devices() {
        let [whole, part] =
            [&whole, &part].map(|graph| results(&device, graph, &values, &["coarse", "fine"]));
        for (whole, part) in whole.iter().zip(&part) {
            let expected: Vec<f32> = whole.chunks(7).flat_map(|pixel| pixel[2..5].to_vec()).collect();
            compare(part, &expected, &Shape::new(&[expected.len()]), EXACT)
                .unwrap_or_else(|e| panic!("{device_name}: {e}"));
        }
    }
}

#[test]
fn gradients_by_slices_that_share_no_channel_are_put_side_by_side_and_others_are_added() {
    let gradient = |slices: &[(usize, usize)]| {
        let mut g = Graph::new();
        let x = g.input("x", &[4, 5]).unwrap();
        let mut weighted = Vec::new();
        for (i, &(start, len)) in slices.iter().enumerate() {
            let part = g.slice(x, start, len).unwrap();
            weighted.push((part, g.input(&format!("d{i}"), &[4, len]).unwrap()));
        }
        let dx = g.gradient_of_many(&weighted, &[x]).unwrap()[0];
        g.output("dx", dx);
        let calls = Program::compile(&g, MemoryLimits::NONE).unwrap().calls;
        (g, calls.iter().map(|call| call.kernel.name).collect::<Vec<_>>())
    };
    for (slices, kernels) in [
        ([(0, 2), (2, 3)], vec!["copy_columns"; 2]),
        ([(0, 3), (3, 1)], vec!["copy_columns"; 5]),
        ([(0, 3), (2, 3)], vec!["copy_columns"; 4]),
    ] {
        let (graph, mut own) = gradient(&slices);
        own.retain(|name| *name == "copy_columns");
        assert_eq!(own, kernels, "{slices:?}");
        let ds: Vec<Vec<f32>> =
            slices.iter().zip(1..).map(|(&(_, len), seed)| normals(seed, 4 * len)).collect();
        let mut expected = vec![0.0f32; 20];
        for (&(start, len), d) in slices.iter().zip(&ds) {
            for (i, d) in d.iter().enumerate() {
                expected[i / len * 5 + start + i % len] += d;
            }
        }
        let mut values = vec![named("x", normals(9, 20))];
        values.extend(ds.iter().enumerate().map(|(i, d)| named(&format!("d{i}"), d.clone())));
        for (device_name, device) in devices() {
            let own = &results(&device, &graph, &values, &["dx"])[0];
            compare(own, &expected, &Shape::new(&[4, 5]), EXACT)
                .unwrap_or_else(|e| panic!("{slices:?}, {device_name}: {e}"));
        }
    }
}
