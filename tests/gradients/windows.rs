//! Pooling with stride, padding and overlap: what it computes, its gradients, and gradients of these.

use crate::check::{Built, check, computed, wanted};
use pgn_wgpu::graph::{Graph, GraphError, Tensor, Unary, Window};
use pgn_wgpu::kernels::params::WindowParams;
use pgn_wgpu::program::{MemoryLimits, Program};

/// One overlapping, one padded, one that ends beyond the padding, one with gaps.
fn windows() -> Vec<Window> {
    vec![
        Window::mean(3, 2).strided(1, 1),
        Window::mean_inside(3, 3).strided(2, 2).padded([[1, 1], [1, 1]]),
        Window::mean(3, 3).strided(2, 2).padded([[1, 1], [1, 0]]).rounded_up(),
        Window::new(1, 2).strided(2, 3),
    ]
}

const IMAGES: [usize; 4] = [2, 4, 5, 2];

#[test]
fn sums_over_windows() {
    for window in windows() {
        check(&format!("{window:?}"), &[wanted(1, &IMAGES)], |g, t| g.pool(window, t[0]));
        check(&format!("adjoint of {window:?}"), &[wanted(1, &IMAGES)], |g, t| {
            let pooled = g.pool(window, t[0])?;
            let square = g.unary(Unary::Square, pooled);
            g.unpool(window, square, 4, 5)
        });
    }
}

/// The gradient by `x` of the sum of `of`'s squares.
fn gradient_of_squares(g: &mut Graph, of: Tensor, x: Tensor) -> Result<Tensor, GraphError> {
    let square = g.unary(Unary::Square, of);
    let cube = g.multiply(square, of)?;
    let one = g.constant(1.0, &[1])?;
    Ok(g.gradient(cube, one, &[x])?[0])
}

#[test]
fn gradients_of_gradients_of_sums_over_windows() {
    for window in windows() {
        check(&format!("{window:?}"), &[wanted(1, &IMAGES).map(|v| 0.5 * v)], |g, t| {
            let pooled = g.pool(window, t[0])?;
            gradient_of_squares(g, pooled, t[0])
        });
    }
}

/// Numbers no two of which are nearer than 1/4, in an order without pattern.
fn distinct() -> crate::check::Operand {
    let mut operand = wanted(1, &IMAGES);
    let mut order: Vec<usize> = (0..operand.values.len()).collect();
    order.sort_by(|&a, &b| operand.values[a].total_cmp(&operand.values[b]));
    for (rank, at) in order.into_iter().enumerate() {
        operand.values[at] = (rank as f32 - 40.0) / 4.0;
    }
    operand
}

#[test]
fn largest_values() {
    for window in windows() {
        check(&format!("{window:?}"), &[distinct()], |g, t| g.max_pool(window, t[0]));
        // Keys are far apart, so that no step changes which is the largest.
        let operands = [wanted(2, &IMAGES), distinct()];
        check(&format!("{window:?} by keys"), &operands, |g, t| {
            let keys = g.detach(t[1]);
            let pooled = g.max_pool_by(window, t[0], keys)?;
            let square = g.unary(Unary::Square, pooled);
            g.max_unpool(window, square, keys)
        });
    }
}

#[test]
fn gradients_of_gradients_of_largest_values() {
    for window in windows() {
        let small = distinct().map(|v| v / 8.0).step(1.0 / 128.0);
        check(&format!("{window:?}"), &[small], |g, t| {
            let pooled = g.max_pool(window, t[0])?;
            gradient_of_squares(g, pooled, t[0])
        });
    }
}

#[test]
fn the_largest_value_of_a_row() {
    let row = distinct();
    check("rows", &[row], |g, t| {
        let largest = g.max_columns(t[0])?;
        Ok(Built::from(g.unary(Unary::Square, largest)))
    });
}

#[test]
fn means_divide_by_what_they_are_said_to_count() {
    let (x, same) = ([1.0, 2.0, 4.0, 8.0], [[1, 1], [0, 0]]);
    let pooled =
        |window: Window| computed(&[1, 4, 1, 1], &x, |g, x| g.pool(window.strided(2, 1).padded(same), x));
    assert_eq!(pooled(Window::mean(2, 1)), [0.5, 3.0, 4.0]);
    assert_eq!(pooled(Window::mean_inside(2, 1)), [1.0, 3.0, 8.0]);
    // Five rows: the last window has one of them and one cell beyond.
    let five = [1.0, 2.0, 4.0, 8.0, 16.0];
    let pooled = |window: Window| computed(&[1, 5, 1, 1], &five, |g, x| g.pool(window.rounded_up(), x));
    assert_eq!(pooled(Window::mean(2, 1)), [1.5, 6.0, 16.0]);
    assert_eq!(pooled(Window::mean_inside(2, 1)), [1.5, 6.0, 16.0]);
    assert_eq!(pooled(Window::new(2, 1)), [3.0, 12.0, 16.0]);
    let padded = Window::mean(3, 1).strided(2, 1).padded(same);
    assert_eq!(computed(&[1, 4, 1, 1], &x, |g, x| g.pool(padded.rounded_up(), x)), [1.0, 14.0 / 3.0, 4.0]);
}

#[test]
fn padding_never_wins_and_nan_always_does() {
    let window = Window::new(3, 1).strided(2, 1).padded([[1, 1], [0, 0]]);
    let pooled = |x: &[f32]| computed(&[1, x.len(), 1, 1], x, |g, x| g.max_pool(window, x));
    assert_eq!(pooled(&[-3.0, -2.0, -5.0]), [-2.0, -2.0]);
    assert_eq!(pooled(&[f32::NEG_INFINITY; 2]), [f32::NEG_INFINITY]);
    let with_nan = pooled(&[9.0, f32::NAN, 9.0, 1.0, 2.0]);
    assert!(with_nan[0].is_nan() && with_nan[1].is_nan() && with_nan[2] == 2.0, "{with_nan:?}");
}

#[test]
fn the_first_of_equals_gets_the_gradient() {
    let gradient = computed(&[1, 1, 4, 1], &[2.0, 7.0, 7.0, 7.0], |g, x| {
        let pooled = g.max_pool(Window::new(1, 4), x)?;
        let one = g.constant(1.0, &[1])?;
        Ok(g.gradient(pooled, one, &[x])?[0])
    });
    assert_eq!(gradient, [0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn a_long_row_is_looked_through_in_two_stages_which_find_what_one_finds() {
    type Largest = fn(&mut Graph, Tensor) -> Result<Tensor, GraphError>;
    const COLUMNS: usize = 3072;
    fn by_one(g: &mut Graph, x: Tensor) -> Result<Tensor, GraphError> {
        let lines = g.reshape(x, &[2, 1, COLUMNS, 1])?;
        let largest = g.max_pool(Window::new(1, COLUMNS), lines)?;
        g.reshape(largest, &[2, 1])
    }
    // The largest value of the first row is there three times, the second has two NaN.
    let mut x: Vec<f32> = (0..2 * COLUMNS).map(|i| (i % 1000) as f32).collect();
    x[COLUMNS + 700] = f32::NAN;
    x[COLUMNS + 2000] = f32::NAN;
    let [values, gradients] = [false, true].map(|gradient| {
        [Graph::max_columns as Largest, by_one].map(|largest| {
            computed(&[2, COLUMNS], &x, |g, x| {
                let y = largest(g, x)?;
                let one = g.constant(1.0, &[1])?;
                if gradient { Ok(g.gradient(y, one, &[x])?[0]) } else { Ok(y) }
            })
        })
    });
    for found in &values {
        assert!(found[0] == 999.0 && found[1].is_nan(), "{found:?}");
    }
    assert_eq!(gradients[0], gradients[1]);
    assert_eq!(gradients[0][..COLUMNS].iter().position(|&v| v == 1.0), Some(999), "the first of equals");

    let mut graph = Graph::new();
    let x = graph.input("x", &[2, COLUMNS]).unwrap();
    let largest = graph.max_columns(x).unwrap();
    graph.output("largest", largest);
    let calls = Program::compile(&graph, MemoryLimits::NONE).unwrap().calls;
    let cells = calls.iter().map(|call| {
        let p: WindowParams = bytemuck::pod_read_unaligned(&call.params);
        p.window_height * p.window_width
    });
    assert_eq!(cells.collect::<Vec<_>>(), [64, 48], "values that one invocation compares");
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let mut graph = Graph::new();
    let x = graph.input("x", &[2, 4, 4, 3]).unwrap();
    let other = graph.input("other", &[2, 4, 5, 3]).unwrap();
    let padding = Window::new(2, 2).padded([[2, 0], [0, 0]]);
    for refused in [
        graph.pool(Window::new(5, 1), x),
        graph.max_pool(padding, x),
        graph.pool(Window::new(2, 2).strided(0, 1), x),
        graph.unpool(Window::new(2, 2), x, 7, 8),
        graph.max_pool_by(Window::new(2, 2), x, other),
        graph.max_unpool(Window::new(2, 2), x, other),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("[2, 4, 4, 3]"), "{error}");
    }
}
