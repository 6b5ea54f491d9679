//! Convolutions of any geometry: what they compute, their gradients, and gradients of these.

use crate::check::{check, wanted};
use crate::common::{compare, named, normals, session};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::{Graph, GraphError, Patches, Shape, Tensor, Unary};
use pgn_wgpu::kernels::Tolerance;

/// A geometry with the extents of an image, groups and channels of the result.
type Case = (Patches, [usize; 4], usize, usize);

/// Odd sides at stride 2, even kernels, dilation, padding on one side, groups, a kernel per channel, one pixel.
fn cases() -> Vec<Case> {
    let same = Patches::same;
    vec![
        (same(3, 2), [2, 5, 7, 2], 1, 3),
        (
            Patches { size: [2, 4], stride: [1, 3], padding: [[1, 0], [0, 2]], dilation: [1, 1] },
            [1, 4, 6, 2],
            1,
            2,
        ),
        (Patches { padding: [[0, 0], [2, 1]], dilation: [2, 2], ..same(3, 1) }, [1, 6, 5, 1], 1, 2),
        (same(5, 1), [1, 3, 4, 2], 1, 1),
        (same(3, 1), [2, 3, 3, 4], 2, 6),
        (same(3, 2), [1, 5, 4, 3], 3, 3),
        (same(3, 1), [1, 4, 4, 2], 2, 4),
        (same(1, 2), [2, 3, 3, 2], 1, 2),
        (same(3, 1), [1, 1, 1, 2], 1, 2),
    ]
}

fn weight(&(patches, [.., a], groups, b): &Case) -> [usize; 4] {
    [patches.size[0], patches.size[1], a / groups, b]
}

/// The convolution as it is defined, in f64.
fn by_hand(case: &Case, x: &[f32], w: &[f32]) -> Vec<f32> {
    let &(patches, [n, height, width, a], groups, b) = case;
    let [rows, columns] = patches.places(height, width).unwrap();
    let ([of_group, to_group], [kernel_rows, kernel_columns]) = ([a / groups, b / groups], patches.size);
    let mut y = Vec::new();
    for (image, row, column, to) in (0..n * rows * columns * b)
        .map(|i| (i / (rows * columns * b), i / (columns * b) % rows, i / b % columns, i % b))
    {
        let mut sum = 0.0;
        for (ky, kx, from) in (0..kernel_rows * kernel_columns * of_group)
            .map(|i| (i / (kernel_columns * of_group), i / of_group % kernel_columns, i % of_group))
        {
            let at = |axis: usize, place: usize, tap: usize| {
                (patches.stride[axis] * place + patches.dilation[axis] * tap)
                    .wrapping_sub(patches.padding[axis][0])
            };
            let (fine_row, fine_column) = (at(0, row, ky), at(1, column, kx));
            if fine_row < height && fine_column < width {
                let channel = to / to_group * of_group + from;
                let value = x[((image * height + fine_row) * width + fine_column) * a + channel];
                let factor = w[((ky * kernel_columns + kx) * of_group + from) * b + to];
                sum += f64::from(value) * f64::from(factor);
            }
        }
        y.push(sum as f32);
    }
    y
}

#[test]
fn convolutions_are_what_their_definition_says() {
    for case in cases() {
        let (patches, extents, groups, _) = case;
        let (x, w) = (normals(1, extents.iter().product()), normals(2, weight(&case).iter().product()));
        for mode in [Mode::Reference, Mode::Fast] {
            let mut g = Graph::new();
            let image = g.input("x", &extents).unwrap();
            let kernel = g.input("w", &weight(&case)).unwrap();
            let y = g.convolution(patches, groups, image, kernel).unwrap();
            g.output("y", y);
            let inputs = vec![named("x", x.clone()), named("w", w.clone())];
            let (_workspace, mut session) = session(&Device::Cpu(mode), &g, &inputs, &Vec::new());
            let outputs = session.compute().unwrap();
            let allowed = Tolerance { absolute: 1e-6, relative: 1e-5 };
            let expected = by_hand(&case, &x, &w);
            let shape = Shape::new(&[expected.len()]);
            if let Err(worst) = compare(outputs.get("y"), &expected, &shape, allowed) {
                panic!("{case:?} {mode:?}: {worst}");
            }
        }
    }
}

fn built(case: Case) -> impl Fn(&mut Graph, &[Tensor]) -> Result<Tensor, GraphError> {
    let (patches, _, groups, _) = case;
    move |g, t| g.convolution(patches, groups, t[0], t[1])
}

#[test]
fn gradients_by_image_and_weight() {
    for case in cases() {
        let operands = [wanted(1, &case.1), wanted(2, &weight(&case))];
        check(&format!("{case:?}"), &operands, built(case));
    }
}

#[test]
fn gradients_of_gradients() {
    for case in [cases()[0], cases()[1], cases()[5]] {
        let operands = [wanted(1, &case.1).map(|v| 0.5 * v), wanted(2, &weight(&case)).map(|v| 0.5 * v)];
        check(&format!("{case:?}"), &operands, |g, t| {
            let y = built(case)(g, t)?;
            let square = g.unary(Unary::Square, y);
            let one = g.constant(1.0, &[1])?;
            Ok(g.gradient(square, one, &[t[0]])?[0])
        });
    }
}

#[test]
fn patches_that_have_no_place_and_groups_that_do_not_divide_are_refused() {
    let mut g = Graph::new();
    let x = g.input("x", &[1, 2, 2, 3]).unwrap();
    let w = g.input("w", &[5, 5, 3, 2]).unwrap();
    let none = Patches { padding: [[0; 2]; 2], ..Patches::same(5, 1) };
    let error = g.convolution(none, 1, x, w).unwrap_err().to_string();
    assert!(error.contains("convolution") && error.contains("[1, 2, 2, 3]"), "{error}");
    assert!(g.convolution(Patches::same(5, 1), 2, x, w).is_err());
    assert!(g.convolution(Patches::same(3, 1), 1, x, w).is_err(), "another kernel than the weight's");
}
