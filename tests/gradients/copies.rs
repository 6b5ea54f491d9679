//! A cotangent that holds several copies of the batch, as attacks on several classes at once have it: the gradient by
//! images is that of each copy, whatever lies on the path.

use crate::common::{named, normals, session};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::{Binary, Graph, GraphError, Resize, Tensor, Unary, Window};

/// Every operation that treats images one by one, on a path.
fn network(g: &mut Graph, x: Tensor) -> Result<Tensor, GraphError> {
    let [scale, shift] = [g.input("scale", &[3])?, g.input("shift", &[3])?];
    let per_image = g.input("per image", &[2, 1])?;
    let normal = g.layer_norm(x, scale, shift, 0.1)?;
    let gelu = g.gelu(normal)?;
    let elu = g.elu(gelu, 1.0)?;
    let pooled = g.max_pool(Window::new(3, 3).strided(1, 1).padded([[1, 1], [1, 1]]), elu)?;
    let mean = g.pool(Window::mean_inside(2, 3).strided(1, 2).padded([[1, 0], [1, 1]]), pooled)?;
    let [_, h, w, _] = <[usize; 4]>::try_from(g.shape(mean).extents()).unwrap();
    let resized = g.resize(Resize::bilinear([h, w], [4, 5], false), mean)?;
    let weighted = g.multiply(resized, per_image)?;
    let residual = g.add(weighted, x)?;
    let part = g.slice(residual, 1, 2)?;
    let wide = g.concatenate(&[part, x])?;
    // Below most of the numbers, so that most of them pass.
    let low = g.affine(per_image, 1.0, -2.0);
    let largest = g.binary(Binary::Maximum, wide, low)?;
    let rows = g.reshape(largest, &[2, 100])?;
    let squares = g.unary(Unary::Square, rows);
    let sums = g.sum_columns(squares);
    let divided = g.binary(Binary::Divide, rows, sums)?;
    let few = g.slice(divided, 0, 7)?;
    g.log_softmax(few)
}

fn gradients(copies: usize, of: impl Fn(usize) -> Vec<f32>) -> Vec<f32> {
    let mut graph = Graph::new();
    let x = graph.input("x", &[2, 4, 5, 3]).unwrap();
    let result = network(&mut graph, x).unwrap();
    let cotangent = graph.input("cotangent", &[2 * copies, 7]).unwrap();
    let gradient = graph.gradient(result, cotangent, &[x]).unwrap()[0];
    assert_eq!(graph.shape(gradient).extents(), [2 * copies, 4, 5, 3]);
    graph.output("gradient", gradient);
    let inputs = vec![
        named("x", normals(1, 120)),
        named("scale", normals(2, 3)),
        named("shift", normals(3, 3)),
        named("per image", normals(4, 2)),
        named("cotangent", (0..copies).flat_map(of).collect()),
    ];
    let (_workspace, mut session) = session(&Device::Cpu(Mode::Reference), &graph, &inputs, &vec![]);
    session.compute().unwrap().get("gradient").to_vec()
}

#[test]
fn one_number_of_the_only_image_has_a_gradient_for_every_copy() {
    let gradients = |copies: usize, cotangent: Vec<f32>| {
        let mut graph = Graph::new();
        let x = graph.input("x", &[1, 4]).unwrap();
        let sum = graph.sum_columns(x);
        let y = graph.multiply(x, sum).unwrap();
        let d = graph.input("d", &[copies, 4]).unwrap();
        let gradient = graph.gradient(y, d, &[x]).unwrap()[0];
        graph.output("gradient", gradient);
        let inputs = vec![named("x", vec![1.0, 2.0, 3.0, 4.0]), named("d", cotangent)];
        let (_workspace, mut session) = session(&Device::Cpu(Mode::Reference), &graph, &inputs, &vec![]);
        session.compute().unwrap().get("gradient").to_vec()
    };
    // d (Σx) + Σ (d x): 10 and 1 of the first copy, 20 and 2 · 4 of the second.
    let expected = [11.0, 1.0, 1.0, 1.0, 8.0, 8.0, 8.0, 28.0];
    assert_eq!(gradients(2, vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]), expected);
}

#[test]
fn a_function_of_steps_has_gradient_zero_for_every_copy() {
    for function in [Unary::Sign, Unary::Power(0.0)] {
        let mut graph = Graph::new();
        let x = graph.input("x", &[2, 3]).unwrap();
        let y = graph.unary(function, x);
        let d = graph.input("d", &[4, 3]).unwrap();
        let gradient = graph.gradient(y, d, &[x]).unwrap()[0];
        assert_eq!(graph.shape(gradient).extents(), [4, 3], "{function:?}");
        graph.output("gradient", gradient);
        let inputs = vec![named("x", normals(1, 6)), named("d", normals(2, 12))];
        let (_workspace, mut session) = session(&Device::Cpu(Mode::Reference), &graph, &inputs, &vec![]);
        assert_eq!(session.compute().unwrap().get("gradient"), [0.0; 12], "{function:?}");
    }
}

#[test]
fn a_cotangent_that_is_neither_the_result_nor_copies_of_it_is_refused() {
    let gradient = |extents: &[usize]| {
        let mut graph = Graph::new();
        let x = graph.input("x", &[2, 3]).unwrap();
        // Its gradient looks at the cotangent alone.
        let y = graph.affine(x, 2.0, 0.0);
        let d = graph.input("d", extents).unwrap();
        graph.gradient(y, d, &[x]).map(|all| graph.shape(all[0]).clone())
    };
    assert_eq!(gradient(&[4, 3]).unwrap().extents(), [4, 3], "two copies");
    // Twice as many values in other rows, more columns, and no whole number of copies.
    for wrong in [&[3, 4][..], &[4, 6], &[5, 3], &[12], &[2, 2, 3]] {
        let error = gradient(wrong).unwrap_err().to_string();
        assert!(error.contains("[2, 3]"), "{wrong:?}: {error}");
    }
}

#[test]
fn several_copies_of_a_cotangent_give_each_its_own_gradient() {
    let cotangent = |copy: usize| normals(10 + copy as u32, 14);
    let apart: Vec<f32> = (0..3).flat_map(|copy| gradients(1, |_| cotangent(copy))).collect();
    assert!(apart.iter().filter(|&&v| v != 0.0).count() > 200);
    assert_eq!(gradients(3, cotangent), apart);
}
