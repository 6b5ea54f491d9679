//! Every gradient rule against finite differences on the CPU reference path, and on the adapter against the CPU;
//! gradients of gradients too.

#[path = "gradients/activations.rs"]
mod activations;
#[path = "gradients/check.rs"]
mod check;
#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;
#[path = "gradients/copies.rs"]
mod copies;
#[path = "gradients/geometry.rs"]
mod geometry;
#[path = "gradients/planes.rs"]
mod planes;
#[path = "gradients/resizing.rs"]
mod resizing;
#[path = "gradients/second_order.rs"]
mod second_order;
#[path = "gradients/windows.rs"]
mod windows;

use check::{Built, check, fixed, wanted};
use common::epilogue::{convolve, transposed};
use pgn_wgpu::graph::{Binary, Convolution, Epilogue, Graph, Shape, Unary, Window};
use pgn_wgpu::program::{MemoryLimits, Program};

#[test]
fn functions_of_one_value() {
    for function in
        [Unary::Identity, Unary::Affine(-2.5, 0.75), Unary::Exp, Unary::Tanh, Unary::Sigmoid, Unary::Square]
    {
        check(&format!("{function:?}"), &[wanted(1, &[2, 5])], |g, t| Ok(g.unary(function, t[0])));
    }
    // Fifth derivatives are small from 1.5 on.
    for function in [Unary::Log, Unary::Sqrt, Unary::Reciprocal] {
        let operand = wanted(2, &[2, 5]).map(|v| v.abs() + 1.5);
        check(&format!("{function:?}"), &[operand], |g, t| Ok(g.unary(function, t[0])));
    }
    for function in [Unary::LeakyRelu(0.2), Unary::LeakyRelu(-0.5), Unary::Abs, Unary::Sign] {
        let operand = wanted(3, &[2, 5]).away_from_zero();
        check(&format!("{function:?}"), &[operand], |g, t| Ok(g.unary(function, t[0])));
    }
    // Bounds at odd multiples of 1/4, operands at even ones: never nearer than two steps.
    let operand = wanted(4, &[2, 10]).map(|v| (2.0 * v).round() / 2.0);
    check("Clamp", &[operand], |g, t| Ok(g.unary(Unary::Clamp(-0.75, 0.75), t[0])));
}

#[test]
fn functions_of_two_values() {
    let shape = [3, 4];
    for function in [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::ComposeGradient] {
        let operands = [wanted(1, &shape), wanted(2, &shape)];
        check(&format!("{function:?}"), &operands, |g, t| g.binary(function, t[0], t[1]));
    }
    let operands = [wanted(3, &shape), wanted(4, &shape).map(|v| v.abs() + 1.5)];
    check("Divide", &operands, |g, t| g.binary(Binary::Divide, t[0], t[1]));
    for function in [Binary::Maximum, Binary::Minimum, Binary::Equal, Binary::Greater] {
        // The right operand is the left one and at least a half more or less.
        let operands = [wanted(5, &shape), wanted(6, &shape).away_from_zero()];
        check(&format!("{function:?}"), &operands, |g, t| {
            let right = g.add(t[0], t[1])?;
            let result = g.binary(function, t[0], right)?;
            Ok(Built { result, kinks: vec![t[1]] })
        });
    }
    for function in [Binary::LeakyMask(0.2), Binary::Select] {
        let operands = [wanted(7, &shape), wanted(8, &shape).away_from_zero()];
        check(&format!("{function:?}"), &operands, |g, t| g.binary(function, t[0], t[1]));
    }
    let operands = [wanted(9, &shape), wanted(10, &shape).map(|v| (2.0 * v).round() / 2.0)];
    check("ClampMask", &operands, |g, t| g.binary(Binary::ClampMask(-0.75, 0.75), t[0], t[1]));
    // Pixels far enough from 0 and 1 for the logit's fifth derivative.
    let operands = [wanted(11, &shape).map(|v| 0.5 + 0.12 * v.clamp(-1.5, 1.5)), wanted(12, &shape)];
    check("Compose", &operands, |g, t| g.binary(Binary::Compose, t[0], t[1]));
}

#[test]
fn broadcast_operands_receive_sums() {
    let images = [4, 2, 3, 2];
    for part in [&[2][..], &[3, 2], &[2, 2, 3, 2], &[4, 1], &[1]] {
        let operands = [wanted(1, &images), wanted(2, part)];
        check(&format!("images · {part:?}"), &operands, |g, t| g.multiply(t[0], t[1]));
        check(&format!("{part:?} − images"), &operands, |g, t| g.subtract(t[1], t[0]));
        let whole = Shape::new(&images);
        check(&format!("{part:?} repeated"), &operands[1..], |g, t| g.broadcast(t[0], &whole));
    }
}

#[test]
fn sums() {
    let x = [wanted(1, &[2, 3, 2, 4])];
    check("rows by channels", &x, |g, t| g.sum_rows(t[0], 4));
    check("rows by images", &x, |g, t| g.sum_rows(t[0], 24));
    check("rows by lines", &x, |g, t| g.sum_rows(t[0], 8));
    check("columns", &x, |g, t| Ok(g.sum_columns(t[0])));
    check("everything", &x, |g, t| Ok(g.sum(t[0])));
}

#[test]
fn convolutions() {
    let sizes = [(3, 1), (3, 2), (1, 1), (1, 2)];
    for (size, stride) in sizes {
        let g = Convolution::same(size, stride);
        let (fine, coarse) = ([2, 3 * stride, 2 * stride, 2], [2, 3, 2, 3]);
        let weight = || wanted(2, &[size, size, 2, 3]).map(|v| 0.2 * v);
        for epilogue in [Epilogue::None, Epilogue::Bias, Epilogue::BiasLeaky(0.2)] {
            let name = |kind: &str| format!("{kind} {g:?} {epilogue:?}");
            let operands = |image: &[usize], channels: usize| {
                let bias = wanted(3, &[channels]).map(|v| 0.2 * v).alternating(4.0);
                let mut all = vec![wanted(1, image), weight(), bias];
                all.truncate(if epilogue == Epilogue::None { 2 } else { 3 });
                all
            };
            let kinked = |y| Built {
                result: y,
                kinks: if epilogue == Epilogue::BiasLeaky(0.2) { vec![y] } else { vec![] },
            };
            check(&name("convolution"), &operands(&fine, 3), |graph, t| {
                Ok(kinked(convolve(graph, g, epilogue, t)?))
            });
            check(&name("transposed"), &operands(&coarse, 2), |graph, t| {
                Ok(kinked(transposed(graph, g, epilogue, t)?))
            });
        }
        for (image, result) in [(&fine, &coarse), (&coarse, &fine)] {
            let operands = [wanted(6, image), weight(), wanted(7, result).away_from_zero()];
            check(&format!("masked, {image:?} to {result:?} {g:?}"), &operands, |graph, t| {
                let plain = match image == &fine {
                    true => graph.convolve(g, t[0], t[1])?,
                    false => graph.convolve_transposed(g, t[0], t[1])?,
                };
                graph.binary(Binary::LeakyMask(0.2), plain, t[2])
            });
        }
        let operands = [wanted(4, &fine), wanted(5, &coarse)];
        check(&format!("weight {g:?}"), &operands, |graph, t| graph.convolve_weight_gradient(g, t[0], t[1]));
    }
}

#[test]
fn pooling() {
    // The last row and column of 5 x 3 are dropped by 2 x 2 windows.
    for (window, [h, w]) in
        [(Window::mean(2, 2), [4, 6]), (Window::mean(2, 2), [5, 3]), (Window::mean(3, 2), [3, 2])]
    {
        let (large, small) = ([2, h, w, 3], [2, h / window.height, w / window.width, 3]);
        check("pool", &[wanted(1, &large)], |g, t| g.pool(window, t[0]));
        check("unpool", &[wanted(2, &small)], |g, t| g.unpool(window, t[0], h, w));
        let operands = [wanted(2, &small), wanted(3, &large).away_from_zero()];
        check("masked unpool", &operands, |g, t| {
            let spread = g.unpool(window, t[0], h, w)?;
            g.binary(Binary::LeakyMask(0.2), spread, t[1])
        });
    }
}

#[test]
fn pieces_and_packs() {
    check("reshape", &[wanted(1, &[2, 6])], |g, t| g.reshape(t[0], &[3, 4]));
    check("view", &[wanted(2, &[150])], |g, t| {
        let piece = g.view(t[0], 64, &[3, 5])?;
        Ok(g.unary(Unary::Square, piece))
    });
    check("two views of one tensor", &[wanted(2, &[150])], |g, t| {
        let [one, other] = [g.view(t[0], 64, &[3, 5])?, g.view(t[0], 128, &[5])?];
        g.multiply(one, other)
    });
    check("slice", &[wanted(3, &[2, 3, 5])], |g, t| g.slice(t[0], 1, 3));
    check("first channels", &[wanted(3, &[2, 3, 5])], |g, t| g.slice(t[0], 0, 2));
    check("last channels", &[wanted(3, &[2, 3, 5])], |g, t| g.slice(t[0], 3, 2));
    check("columns side by side", &[wanted(4, &[3, 2]), wanted(5, &[3, 4])], Graph::concatenate);
    let parts = [wanted(6, &[2, 3, 2, 2]), wanted(7, &[2, 3]), wanted(8, &[2, 3, 2, 1])];
    check("planes between images", &parts, Graph::concatenate);
    check("pack", &[wanted(9, &[7]), wanted(10, &[2, 3])], |g, t| {
        let square = g.unary(Unary::Square, t[0]);
        g.pack(&[(square, 64), (t[1], 0)], 128)
    });
}

#[test]
fn softmax_and_cross_entropy() {
    let [n, k] = [3, 4];
    let labels = || fixed(&[n, 1], vec![2.0, 0.0, 3.0]);
    check("softmax", &[wanted(1, &[n, k])], |g, t| Ok(g.softmax(t[0])));
    check("cross-entropy", &[wanted(2, &[n, k]), labels()], |g, t| g.cross_entropy(t[0], t[1]));
    let operands = [wanted(3, &[n, k]), labels(), wanted(4, &[n, 1])];
    check("its gradient", &operands, |g, t| g.cross_entropy_gradient(t[0], t[1], t[2]));
    check("two classes", &[wanted(5, &[n, 2]), fixed(&[n, 1], vec![1.0, 0.0, 1.0])], |g, t| {
        g.cross_entropy(t[0], t[1])
    });
}

#[test]
fn paths_that_meet_add_up() {
    check("x² + eˣ · x", &[wanted(1, &[2, 3])], |g, t| {
        let square = g.multiply(t[0], t[0])?;
        let exponential = g.unary(Unary::Exp, t[0]);
        let product = g.multiply(exponential, t[0])?;
        g.add(square, product)
    });
}

/// The gradient of Σ result by the only input, computed on the CPU at 1, 2, 3.
fn gradient_at_123(
    build: impl FnOnce(&mut Graph, pgn_wgpu::graph::Tensor) -> pgn_wgpu::graph::Tensor,
) -> Vec<f32> {
    let mut g = Graph::new();
    let x = g.input("x", &[3]).unwrap();
    let y = build(&mut g, x);
    let one = g.constant(1.0, &[1]).unwrap();
    let gradient = g.gradient(y, one, &[x]).unwrap()[0];
    g.output("gradient", gradient);
    let inputs = vec![common::named("x", vec![1.0, 2.0, 3.0])];
    let device = pgn_wgpu::executor::Device::Cpu(pgn_wgpu::cpu::Mode::Reference);
    let (_workspace, mut session) = common::session(&device, &g, &inputs, &vec![]);
    session.compute().unwrap().get("gradient").to_vec()
}

#[test]
fn no_gradient_flows_through_a_detached_tensor() {
    let gradient = gradient_at_123(|g, x| {
        let still = g.detach(x);
        g.multiply(x, still).unwrap()
    });
    assert_eq!(gradient, [1.0, 2.0, 3.0]);
}

#[test]
fn a_detached_tensor_that_is_wanted_itself_passes_nothing_on() {
    let mut g = Graph::new();
    let x = g.input("x", &[3]).unwrap();
    let square = g.multiply(x, x).unwrap();
    let still = g.detach(square);
    let y = g.multiply(still, x).unwrap();
    let one = g.constant(1.0, &[1]).unwrap();
    for (name, gradient) in ["still", "x"].into_iter().zip(g.gradient(y, one, &[still, x]).unwrap()) {
        g.output(name, gradient);
    }
    let inputs = vec![common::named("x", vec![1.0, 2.0, 3.0])];
    let device = pgn_wgpu::executor::Device::Cpu(pgn_wgpu::cpu::Mode::Reference);
    let (_workspace, mut session) = common::session(&device, &g, &inputs, &vec![]);
    let outputs = session.compute().unwrap();
    assert_eq!(outputs.get("still"), [1.0, 2.0, 3.0]);
    assert_eq!(outputs.get("x"), [1.0, 4.0, 9.0], "x as a factor alone, not as part of the square");
}

#[test]
fn what_a_result_does_not_depend_on_has_gradient_zero() {
    assert_eq!(gradient_at_123(|g, _| g.constant(5.0, &[3]).unwrap()), [0.0; 3]);
    let constant_in_pieces = gradient_at_123(|g, x| {
        let row = g.reshape(x, &[1, 3]).unwrap();
        let best = g.arg_max(row);
        let one_hot = g.one_hot(best, 3);
        g.reshape(one_hot, &[3]).unwrap()
    });
    assert_eq!(constant_in_pieces, [0.0; 3]);
}

#[test]
fn chosen_rows_add_up_where_they_came_from() {
    // Some rows twice, one not at all; more and fewer than there are to choose from.
    for rows in [vec![3.0, 0.0, 3.0, 1.0, 0.0, 3.0], vec![2.0]] {
        let operands = [wanted(1, &[4, 2, 3]), fixed(&[rows.len()], rows.clone())];
        check(&format!("rows {rows:?}"), &operands, |g, t| Ok(g.gather_rows(t[0], t[1])));
        check(&format!("the square of rows {rows:?}"), &operands, |g, t| {
            let chosen = g.gather_rows(t[0], t[1]);
            Ok(g.unary(Unary::Square, chosen))
        });
        let beside = wanted(2, &[rows.len(), 2, 3]).alternating(8.0);
        check(&format!("rows {rows:?} beside others"), &[&operands[..], &[beside]].concat(), |g, t| {
            let result = g.gather_rows_leaky(0.2, t[0], t[1], t[2])?;
            Ok(Built { result, kinks: vec![result] })
        });
    }
}

#[test]
fn an_activations_mask_is_part_of_the_convolution_behind_it() {
    let convolution = Convolution::same(3, 1);
    let mut g = Graph::new();
    let [x, weight, bias] = [&[1, 2, 2, 3][..], &[3, 3, 3, 3], &[3]]
        .map(|extents| g.input(&format!("{extents:?}"), extents).unwrap());
    let mut y = x;
    for _ in 0..2 {
        y = convolve(&mut g, convolution, Epilogue::BiasLeaky(0.2), &[y, weight, bias]).unwrap();
    }
    let gradient = g.gradient(y, y, &[x]).unwrap()[0];
    g.output("gradient", gradient);
    let program = Program::compile(&g, MemoryLimits::NONE).unwrap();
    let kernels: Vec<&str> = program.calls.iter().map(|call| call.kernel.name).collect();
    // Only the result's own mask, which no convolution comes before, is a pass of its own.
    assert_eq!(kernels, ["conv2d", "conv2d", "binary", "conv2d_input_gradient", "conv2d_input_gradient"]);
}
