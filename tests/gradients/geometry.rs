//! The gradient rules of convolutions of any geometry, and what the builder says where operands do not fit.

use crate::check::{Built, Operand, check, wanted};
use pgn_wgpu::graph::{Convolution, Graph, Tensor, Unary};

/// Images `[n, H, W, a]`, coarse channels, geometry.
fn cases() -> Vec<([usize; 4], usize, Convolution)> {
    let same = Convolution::same;
    let uneven = Convolution { size: [2, 3], stride: [3, 2], ..same(1, 1) };
    vec![
        ([2, 5, 7, 2], 3, same(3, 2)),
        ([2, 5, 5, 2], 3, same(1, 2)),
        ([1, 4, 3, 2], 2, same(2, 1)),
        ([1, 5, 6, 2], 3, uneven.padded([[0, 1], [2, 0]])),
        ([1, 6, 5, 2], 2, same(3, 1).dilated([2, 1]).padded([[2, 2], [0, 1]])),
        ([1, 4, 5, 4], 6, same(3, 1).grouped(2)),
        ([2, 5, 4, 3], 3, same(3, 2).grouped(3)),
        ([1, 3, 4, 2], 6, same(3, 1).grouped(2)),
        ([2, 1, 1, 2], 3, same(3, 3)),
    ]
}

/// Of an image, a weight and a coarse side.
fn operands((fine, b, g): ([usize; 4], usize, Convolution)) -> [Operand; 3] {
    let [n, height, width, a] = fine;
    let [h, w] = g.positions([height, width]).unwrap();
    let weight = [g.size[0], g.size[1], a / g.groups, b];
    [wanted(1, &fine), wanted(2, &weight).map(|v| 0.2 * v), wanted(3, &[n, h, w, b])]
}

#[test]
fn convolutions_of_any_geometry() {
    for case in cases() {
        let ([_, height, width, _], _, g) = case;
        let [x, w, d] = operands(case);
        check(&format!("convolution {g:?}"), &[x.clone(), w.clone()], |graph, t| {
            graph.convolve(g, t[0], t[1])
        });
        check(&format!("transposed {g:?}"), &[d.clone(), w], |graph, t| {
            graph.convolve_input_gradient(g, t[0], t[1], [height, width])
        });
        check(&format!("weight {g:?}"), &[x, d], |graph, t| graph.convolve_weight_gradient(g, t[0], t[1]));
    }
}

#[test]
fn gradients_of_gradients_of_convolutions_of_any_geometry() {
    for case in cases() {
        let g = case.2;
        let [x, w, _] = operands(case);
        check(&format!("gradients of a sum of cubes, {g:?}"), &[x, w], |graph, t| {
            let y = graph.convolve(g, t[0], t[1])?;
            let square = graph.unary(Unary::Square, y);
            let cube = graph.multiply(square, y)?;
            let cube = graph.affine(cube, 0.1, 0.0);
            let one = graph.constant(1.0, &[1])?;
            let gradients = graph.gradient(cube, one, &[t[0], t[1]])?;
            let sum = graph.sum(gradients[1]);
            let result = graph.multiply(gradients[0], sum)?;
            Ok(Built { result, kinks: vec![] })
        });
    }
}

/// What the builder says about operands of these extents.
fn refusal(extents: [&[usize]; 2], build: impl FnOnce(&mut Graph, [Tensor; 2]) -> String) -> String {
    let mut g = Graph::new();
    let tensors = [("left", extents[0]), ("right", extents[1])];
    let tensors = tensors.map(|(name, extents)| g.input(name, extents).unwrap());
    build(&mut g, tensors)
}

#[test]
fn errors_name_the_operation_the_shapes_and_what_would_fit() {
    let convolve = |g: Convolution, extents: [&[usize]; 2]| {
        refusal(extents, |graph, [x, w]| graph.convolve(g, x, w).unwrap_err().to_string())
    };
    let same = Convolution::same(3, 2);
    assert_eq!(
        convolve(same, [&[1, 7, 7, 4], &[3, 3, 3, 8]]),
        "convolution: shapes [1, 7, 7, 4] and [3, 3, 3, 8] do not fit together: the weight would be [3, 3, 4, 8]"
    );
    for (g, weight, part) in [
        (same.grouped(3), [3, 3, 1, 6], "multiples of 3 channels"),
        (Convolution { stride: [0, 1], ..same }, [3, 3, 4, 8], "at least 1"),
        (same.padded([[0; 2]; 2]).dilated([4, 1]), [3, 3, 4, 8], "padded image of 7x7"),
    ] {
        let error = convolve(g, [&[1, 7, 7, 4], &weight]);
        assert!(error.contains(part), "{error}");
    }
    assert!(convolve(same, [&[7, 4], &[3, 3, 4, 8]]).contains("four extents"));
    let long = convolve(Convolution::same(5, 1), [&[1, 2, 2, 8000], &[5, 5, 8000, 1]]);
    assert!(long.contains("8000 channels at each tap"), "{long}");
    let fine = refusal([&[1, 4, 4, 8], &[3, 3, 4, 8]], |graph, [d, w]| {
        graph.convolve_input_gradient(same, d, w, [9, 8]).unwrap_err().to_string()
    });
    assert!(fine.ends_with("the convolution makes 5x4 of the 9x8 asked for, not 4x4"), "{fine}");
    let weight = refusal([&[1, 7, 7, 4], &[1, 3, 4, 8]], |graph, [x, d]| {
        graph.convolve_weight_gradient(same, x, d).unwrap_err().to_string()
    });
    assert!(weight.ends_with("the coarse side would be [1, 4, 4, 8]"), "{weight}");
}

#[test]
fn the_short_form_makes_the_multiple_of_the_stride_and_the_long_one_what_is_asked_for() {
    let mut graph = Graph::new();
    let d = graph.input("d", &[1, 4, 3, 8]).unwrap();
    let w = graph.input("w", &[3, 3, 4, 8]).unwrap();
    let g = Convolution::same(3, 2);
    let short = graph.convolve_transposed(g, d, w).unwrap();
    assert_eq!(graph.shape(short).extents(), [1, 8, 6, 4]);
    let long = graph.convolve_input_gradient(g, d, w, [7, 5]).unwrap();
    assert_eq!(graph.shape(long).extents(), [1, 7, 5, 4]);
}
