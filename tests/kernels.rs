//! Every kernel against its twin: every form that the adapter supports, with and without the runtime's checks, and the
//! fast CPU form, over the shapes that the models use and awkward ones, within the tolerance that the registry states.

#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;
#[path = "kernels/convolutions.rs"]
mod convolutions;
#[path = "kernels/elementwise.rs"]
mod elementwise;
#[path = "kernels/geometry.rs"]
mod geometry;
#[path = "kernels/products.rs"]
mod products;
#[path = "kernels/resizing.rs"]
mod resizing;
#[path = "kernels/rows.rs"]
mod rows;
#[path = "kernels/windows.rs"]
mod windows;

use common::Values;
use common::judge::{Case, judge_all};
use pgn_wgpu::graph::{Graph, GraphError, Tensor};
use pgn_wgpu::kernels;
use std::collections::BTreeSet;

/// A case of one result: `build` gets the graph with the named inputs and returns what is computed.
fn case(
    name: impl Into<String>,
    inputs: Vec<(&[usize], Vec<f32>)>,
    build: impl FnOnce(&mut Graph, &[Tensor]) -> Result<Tensor, GraphError>,
) -> Case {
    let mut graph = Graph::new();
    let mut values: Values = Vec::new();
    let mut tensors = Vec::new();
    for (i, (extents, numbers)) in inputs.into_iter().enumerate() {
        let input = format!("input {i}");
        tensors.push(graph.input(&input, extents).unwrap());
        values.push((input, numbers));
    }
    let result = build(&mut graph, &tensors).unwrap();
    graph.output("result", result);
    Case { name: name.into(), graph, values, matrix_products: false }
}

#[test]
fn convolutions_agree() {
    judge_all(&convolutions::forward());
}

#[test]
fn transposed_convolutions_agree() {
    judge_all(&convolutions::input_gradient());
}

#[test]
fn convolutions_of_any_geometry_agree() {
    judge_all(&geometry::cases());
}

#[test]
fn border_sums_and_their_adjoint_agree() {
    judge_all(&convolutions::borders());
}

#[test]
fn weight_gradients_agree() {
    judge_all(&convolutions::weight_gradient());
}

#[test]
fn matrix_products_and_what_is_around_them_agree() {
    judge_all(&products::cases());
}

#[test]
fn pooling_and_its_adjoint_agree() {
    judge_all(&convolutions::pooling());
}

#[test]
fn pooling_with_stride_and_padding_agrees() {
    judge_all(&windows::pooling());
}

#[test]
fn resizing_and_its_adjoint_agree() {
    judge_all(&resizing::cases());
}

#[test]
fn functions_of_one_value_agree() {
    judge_all(&elementwise::unary());
}

#[test]
fn functions_of_two_values_agree() {
    judge_all(&elementwise::binary());
}

#[test]
fn fused_functions_agree() {
    judge_all(&elementwise::fused());
}

#[test]
fn fused_sums_over_rows_agree() {
    judge_all(&elementwise::fused_columns());
}

#[test]
fn adam_agrees() {
    judge_all(&elementwise::adam());
}

#[test]
fn random_numbers_agree() {
    judge_all(&elementwise::random_normal());
}

#[test]
fn sums_agree() {
    judge_all(&rows::sums());
}

#[test]
fn column_copies_agree() {
    judge_all(&rows::column_copies());
}

#[test]
fn softmax_and_cross_entropy_agree() {
    judge_all(&rows::softmax_and_cross_entropy());
}

#[test]
fn row_selections_agree() {
    judge_all(&rows::selections());
}

/// The override constants by which a kernel's cases must differ, as values that each takes.
const VARIANTS: &[(&str, &[(&str, u32)])] = &[
    ("unary", &[("OPERATION", 16), ("SOURCE", 4)]),
    ("binary", &[("OPERATION", 13), ("LEFT", 4), ("RIGHT", 4)]),
    ("conv2d", &[("EPILOGUE", 4)]),
    ("conv2d_input_gradient", &[("EPILOGUE", 5)]),
    ("conv2d_weight_gradient", &[("BIAS", 2)]),
    ("convolution", &[("EPILOGUE", 4)]),
    ("convolution_input_gradient", &[("EPILOGUE", 4)]),
    ("unpool", &[("MASK", 2)]),
    ("matrix_product", &[("ACCUMULATE", 2)]),
    ("im2col", &[("TRANSPOSED", 2)]),
    ("col2im", &[("EPILOGUE", 5)]),
];

#[test]
fn every_kernel_and_every_variant_of_it_has_a_case() {
    let cases = [
        convolutions::forward(),
        convolutions::input_gradient(),
        convolutions::weight_gradient(),
        convolutions::pooling(),
        convolutions::borders(),
        geometry::cases(),
        windows::pooling(),
        resizing::cases(),
        products::cases(),
        elementwise::unary(),
        elementwise::binary(),
        elementwise::fused(),
        elementwise::fused_columns(),
        elementwise::adam(),
        elementwise::random_normal(),
        rows::sums(),
        rows::column_copies(),
        rows::softmax_and_cross_entropy(),
        rows::selections(),
    ];
    let calls: Vec<_> = cases.iter().flatten().flat_map(|case| case.program().calls).collect();
    for kernel in kernels::ALL {
        let own: Vec<_> = calls.iter().filter(|call| call.kernel.name == kernel.name).collect();
        assert!(!own.is_empty(), "{} has no case", kernel.name);
        let seen = |constant: &str| -> BTreeSet<u32> {
            own.iter().map(|call| kernels::constant(&call.constants, constant)).collect()
        };
        for &(_, constants) in VARIANTS.iter().filter(|(name, _)| *name == kernel.name) {
            for &(constant, count) in constants {
                assert_eq!(seen(constant), (0..count).collect(), "{}: {constant}", kernel.name);
            }
        }
        for form in kernel.forms {
            let fitting = || own.iter().filter(|call| (form.fits)(&call.params, &call.constants));
            assert!(fitting().count() > 0, "{}: no case fits the {} form", kernel.name, form.name);
            let met: BTreeSet<_> = fitting().map(|call| (form.tile)(&call.params)).collect();
            assert_eq!(met, common::tiles(kernel, form), "{}: tiles of the {} form", kernel.name, form.name);
        }
        if kernel.name.starts_with("conv2d") {
            let sizes: BTreeSet<_> = own
                .iter()
                .map(|call| ["KERNEL", "STRIDE"].map(|name| kernels::constant(&call.constants, name)))
                .collect();
            assert_eq!(sizes, BTreeSet::from([[1, 1], [1, 2], [3, 1], [3, 2]]), "{}", kernel.name);
        }
    }
}
