//! Resizing: which pixels it reads, its gradients, and gradients of these.

use crate::check::{check, wanted};
use crate::common::{named, session};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::{Coordinates, Graph, Resize, Rounding, Sampling, Unary};

#[test]
fn gradients_of_resizing_and_of_its_adjoint() {
    let exact = Sampling::Nearest(Rounding::HalfUp);
    for resize in [
        Resize::nearest([3, 4], [5, 3]),
        Resize::bilinear([3, 4], [6, 3], false),
        Resize::bilinear([3, 4], [2, 7], true),
        Resize::scaled([3, 4], [1.5, 0.7], Coordinates::HalfPixel, exact).unwrap(),
    ] {
        let (small, large) = ([2, 3, 4, 2], [2, resize.to[0], resize.to[1], 2]);
        check(&format!("{resize:?}"), &[wanted(1, &small)], |g, t| g.resize(resize, t[0]));
        check(&format!("adjoint of {resize:?}"), &[wanted(2, &large)], |g, t| {
            g.resize_gradient(resize, t[0])
        });
        check(&format!("gradient of the cube of {resize:?}"), &[wanted(3, &small)], |g, t| {
            let resized = g.resize(resize, t[0])?;
            let square = g.unary(Unary::Square, resized);
            let cube = g.multiply(square, resized)?;
            let one = g.constant(1.0, &[1])?;
            Ok(g.gradient(cube, one, &[t[0]])?[0])
        });
    }
}

/// A line of pixels, resized.
fn line(values: &[f32], resize: Resize) -> Vec<f32> {
    let mut graph = Graph::new();
    let x = graph.input("x", &[1, 1, values.len(), 1]).unwrap();
    let y = graph.resize(resize, x).unwrap();
    graph.output("y", y);
    let inputs = vec![named("x", values.to_vec())];
    let (_workspace, mut session) = session(&Device::Cpu(Mode::Reference), &graph, &inputs, &vec![]);
    session.compute().unwrap().get("y").to_vec()
}

/// What PyTorch's `interpolate` and ONNX's `Resize` make of a line.
#[test]
fn positions_are_those_of_pytorch_and_of_onnx() {
    let (two, four) = ([1.0, 2.0], [1.0, 2.0, 4.0, 8.0]);
    let to = |from, to| ([1, from], [1, to]);
    let (a, b) = to(2, 4);
    assert_eq!(line(&two, Resize::bilinear(a, b, false)), [1.0, 1.25, 1.75, 2.0]);
    assert_eq!(line(&two, Resize::nearest(a, b)), [1.0, 1.0, 2.0, 2.0]);
    let (a, b) = to(2, 3);
    assert_eq!(line(&two, Resize::bilinear(a, b, true)), [1.0, 1.5, 2.0]);
    assert_eq!(line(&two, Resize::nearest(a, b)), [1.0, 1.0, 2.0]);
    let (a, b) = to(4, 3);
    let nearest =
        |coordinates, rounding| line(&four, Resize::new(a, b, coordinates, Sampling::Nearest(rounding)));
    assert_eq!(nearest(Coordinates::Asymmetric, Rounding::Floor), [1.0, 2.0, 4.0]);
    assert_eq!(nearest(Coordinates::Asymmetric, Rounding::Ceil), [1.0, 4.0, 8.0]);
    assert_eq!(nearest(Coordinates::HalfPixel, Rounding::HalfUp), [1.0, 4.0, 8.0]);
    // The middle one is at 1.5, between the two.
    assert_eq!(nearest(Coordinates::HalfPixel, Rounding::HalfDown), [1.0, 2.0, 8.0]);
    assert_eq!(nearest(Coordinates::Corners, Rounding::HalfUp), [1.0, 4.0, 8.0]);
    let (a, b) = to(4, 2);
    assert_eq!(line(&four, Resize::bilinear(a, b, false)), [1.5, 6.0]);
    assert_eq!(line(&four, Resize::bilinear(a, b, true)), [1.0, 8.0]);
    // By the factor itself 2.6 becomes 10 of 4, and the last position is at 9.5 / 2.6 − 0.5.
    let scaled = Resize::scaled([1, 4], [1.0, 2.6], Coordinates::HalfPixel, Sampling::Linear).unwrap();
    let last = 3.0 - (9.5 / 2.6 - 0.5) as f32;
    let resized = line(&four, scaled);
    assert!((resized[9] - if last > 0.0 { 8.0 - 4.0 * last } else { 8.0 }).abs() < 1e-5, "{resized:?}");
}

#[test]
fn images_of_another_size_are_refused() {
    let mut graph = Graph::new();
    let x = graph.input("x", &[2, 3, 4, 1]).unwrap();
    for refused in [
        graph.resize(Resize::nearest([3, 5], [6, 10]), x),
        graph.resize(Resize::nearest([3, 4], [0, 4]), x),
        graph.resize(Resize::nearest([3, 4], [1 << 22, 4]), x),
        graph.resize_gradient(Resize::nearest([3, 4], [6, 8]), x),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("[2, 3, 4, 1]"), "{error}");
    }
}
