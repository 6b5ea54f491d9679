//! Cases of convolutions by matrix products, Winograd's algorithms and gathered values, and each way as a whole against
//! the direct convolution.

use super::case;
use super::convolutions::Extents;
use crate::common::epilogue::{convolve, transposed};
use crate::common::judge::Case;
use crate::common::{Values, compare, devices};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::{Borders, Convolution, Epilogue, Graph, GraphError, Shape, Tensor};
use pgn_wgpu::kernels;
use pgn_wgpu::program::{MemoryLimits, Program};
use std::sync::Arc;

/// What a case computes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Forward(Epilogue),
    Adjoint(Epilogue),
    WeightGradient,
}

const SAME: Convolution = Convolution::same(3, 1);
const HALVED: Convolution = Convolution::same(3, 2);
const DENSE: Convolution = Convolution::same(1, 1);

/// Kernel; images, height and width of the coarse side, channels read and written (of a weight gradient fine and coarse
/// ones); what. Several tiles per row and few, more than eight and such as reach beyond the image, tiles that do not fill the last
/// eight, rims of the product's blocks of 32 rows and 16 columns, and batches in several pieces.
const CASES: &[(Convolution, [usize; 5], Way)] = &[
    (SAME, [1, 8, 8, 64, 16], Way::Forward(Epilogue::None)),
    (SAME, [1, 4, 16, 72, 24], Way::Adjoint(Epilogue::Bias)),
    (SAME, [3, 8, 8, 72, 40], Way::Forward(Epilogue::BiasLeaky(0.0))),
    (SAME, [2, 6, 32, 136, 16], Way::Adjoint(Epilogue::LeakyMask(0.2))),
    (SAME, [17, 32, 32, 64, 16], Way::Forward(Epilogue::LeakyMask(0.0))),
    (SAME, [3, 14, 14, 16, 24], Way::Forward(Epilogue::Bias)),
    (SAME, [5, 7, 7, 24, 16], Way::Adjoint(Epilogue::BiasLeaky(0.2))),
    (SAME, [2, 4, 40, 16, 16], Way::Forward(Epilogue::None)),
    (SAME, [2, 9, 9, 16, 16], Way::Forward(Epilogue::LeakyMask(0.0))),
    (SAME, [1, 8, 8, 16, 32], Way::WeightGradient),
    (SAME, [3, 4, 16, 40, 24], Way::WeightGradient),
    (SAME, [17, 32, 32, 16, 64], Way::WeightGradient),
    (SAME, [3, 7, 14, 16, 24], Way::WeightGradient),
    (SAME, [1, 9, 13, 16, 16], Way::WeightGradient),
    // Rather with the sides exchanged: 16 rows of a product would fill half of its 32.
    (SAME, [17, 32, 32, 64, 16], Way::WeightGradient),
    (SAME, [3, 7, 14, 72, 24], Way::WeightGradient),
    (HALVED, [1, 4, 4, 16, 8], Way::Forward(Epilogue::None)),
    (HALVED, [3, 2, 4, 32, 24], Way::Forward(Epilogue::Bias)),
    (HALVED, [2, 8, 8, 16, 40], Way::Forward(Epilogue::BiasLeaky(0.2))),
    (HALVED, [17, 16, 16, 64, 16], Way::Forward(Epilogue::LeakyMask(0.0))),
    (HALVED, [7, 32, 32, 64, 16], Way::Forward(Epilogue::None)),
    (HALVED, [7, 32, 32, 16, 64], Way::Adjoint(Epilogue::LeakyMask(0.2))),
    (HALVED, [7, 32, 32, 64, 16], Way::WeightGradient),
    (HALVED, [1, 4, 2, 8, 16], Way::Adjoint(Epilogue::None)),
    (HALVED, [3, 8, 8, 24, 32], Way::Adjoint(Epilogue::LeakyMask(0.0))),
    (HALVED, [2, 4, 8, 16, 48], Way::Adjoint(Epilogue::BiasLeaky(0.2))),
    (HALVED, [17, 16, 16, 16, 64], Way::Adjoint(Epilogue::BorderBiasLeaky(0.0))),
    (HALVED, [1, 4, 4, 16, 8], Way::WeightGradient),
    (HALVED, [1, 4, 4, 16, 16], Way::Forward(Epilogue::None)),
    (HALVED, [3, 8, 8, 72, 40], Way::Forward(Epilogue::BiasLeaky(0.2))),
    (HALVED, [2, 7, 14, 24, 16], Way::Forward(Epilogue::LeakyMask(0.0))),
    (HALVED, [5, 9, 13, 16, 24], Way::Forward(Epilogue::Bias)),
    (HALVED, [2, 8, 8, 32, 16], Way::Adjoint(Epilogue::None)),
    (HALVED, [3, 7, 7, 24, 40], Way::Adjoint(Epilogue::Bias)),
    (HALVED, [2, 6, 32, 16, 72], Way::Adjoint(Epilogue::BiasLeaky(0.2))),
    (HALVED, [9, 9, 13, 16, 24], Way::Adjoint(Epilogue::LeakyMask(0.0))),
    (HALVED, [5, 8, 7, 24, 16], Way::Adjoint(Epilogue::BorderBiasLeaky(0.2))),
    (HALVED, [3, 4, 16, 40, 24], Way::WeightGradient),
    (HALVED, [9, 9, 13, 64, 16], Way::WeightGradient),
    (HALVED, [3, 7, 14, 16, 24], Way::WeightGradient),
    // No whole groups of 32 positions: with them it would be direct.
    (SAME, [1, 8, 5, 3, 16], Way::Forward(Epilogue::BiasLeaky(0.0))),
    (SAME, [9, 32, 32, 1, 8], Way::Forward(Epilogue::None)),
    (SAME, [2, 4, 16, 24, 2], Way::Adjoint(Epilogue::Bias)),
    (SAME, [1, 8, 8, 8, 1], Way::Adjoint(Epilogue::LeakyMask(0.2))),
    (SAME, [72, 32, 32, 3, 8], Way::WeightGradient),
    (SAME, [31, 4, 4, 512, 10], Way::Forward(Epilogue::BiasLeaky(0.0))),
    (SAME, [2, 4, 4, 10, 24], Way::Adjoint(Epilogue::LeakyMask(0.2))),
    (SAME, [31, 4, 4, 512, 10], Way::WeightGradient),
    (SAME, [3, 8, 2, 16, 3], Way::WeightGradient),
    (SAME, [1, 8, 8, 1, 16], Way::WeightGradient),
    // With the sides exchanged: the coarse one has fewer channels.
    (SAME, [3, 4, 4, 10, 264], Way::Adjoint(Epilogue::BiasLeaky(0.0))),
    (SAME, [2, 8, 8, 24, 6], Way::Forward(Epilogue::LeakyMask(0.2))),
    (SAME, [9, 32, 32, 24, 2], Way::WeightGradient),
    // Few channels of whole blocks, and many.
    (SAME, [2, 8, 8, 8, 32], Way::Adjoint(Epilogue::None)),
    (SAME, [17, 32, 32, 40, 8], Way::WeightGradient),
    (HALVED, [17, 16, 16, 64, 24], Way::WeightGradient),
    (HALVED, [2, 8, 8, 16, 8], Way::Forward(Epilogue::BiasLeaky(0.0))),
    (HALVED, [17, 16, 16, 64, 8], Way::Forward(Epilogue::LeakyMask(0.2))),
    (HALVED, [3, 8, 8, 8, 32], Way::Adjoint(Epilogue::LeakyMask(0.0))),
    (HALVED, [2, 4, 8, 8, 48], Way::Adjoint(Epilogue::BiasLeaky(0.2))),
    (HALVED, [17, 16, 16, 8, 64], Way::Adjoint(Epilogue::BorderBiasLeaky(0.0))),
    (HALVED, [17, 16, 16, 64, 8], Way::WeightGradient),
    (DENSE, [8, 1, 1, 256, 264], Way::Forward(Epilogue::BiasLeaky(0.2))),
    (DENSE, [24, 1, 1, 266, 256], Way::Forward(Epilogue::Bias)),
    (DENSE, [16, 1, 1, 264, 266], Way::Adjoint(Epilogue::None)),
    (DENSE, [40, 1, 1, 256, 257], Way::Adjoint(Epilogue::LeakyMask(0.0))),
    (DENSE, [16, 1, 1, 266, 1032], Way::WeightGradient),
    // Rows that are no multiple of eight, and long ones that few are chosen from.
    (DENSE, [10, 1, 1, 266, 256], Way::Forward(Epilogue::BiasLeaky(0.2))),
    (DENSE, [3, 1, 1, 264, 266], Way::Adjoint(Epilogue::Bias)),
    (DENSE, [13, 1, 1, 266, 1032], Way::WeightGradient),
    (DENSE, [13, 1, 1, 16, 8192], Way::WeightGradient),
];

/// All of them.
pub fn cases() -> Vec<Case> {
    CASES.iter().map(make).collect()
}

fn make(&(convolution, [n, h, w, from, to], way): &(Convolution, [usize; 5], Way)) -> Case {
    let [size, stride] = [convolution.size[0], convolution.stride[0]];
    let (coarse, fine) = (|c| [n, h, w, c], |c| [n, stride * h, stride * w, c]);
    let (reads, result) = match way {
        Way::Forward(_) => ([fine(from), [size, size, from, to]], coarse(to)),
        Way::Adjoint(_) => ([coarse(from), [size, size, to, from]], fine(to)),
        Way::WeightGradient => ([fine(from), coarse(to)], [size, size, from, to]),
    };
    let side = Borders { stride }.side();
    let border = [n, side, side, to];
    let values = |seed, extents| (extents, Extents::values(seed, extents));
    let mut operands = vec![values(1, &reads[0][..]), values(2, &reads[1][..])];
    if let Way::Forward(epilogue) | Way::Adjoint(epilogue) = way {
        match epilogue {
            Epilogue::None => {}
            Epilogue::Bias | Epilogue::BiasLeaky(_) => operands.push(values(3, &result[3..])),
            Epilogue::LeakyMask(_) => operands.push(values(3, &result[..])),
            Epilogue::BorderBiasLeaky(_) => operands.push(values(3, &border[..])),
        }
    }
    let build = move |g: &mut Graph, t: &[Tensor]| -> Result<Tensor, GraphError> {
        match way {
            Way::Forward(epilogue) => convolve(g, convolution, epilogue, t),
            Way::Adjoint(epilogue) => transposed(g, convolution, epilogue, t),
            Way::WeightGradient => g.convolve_weight_gradient(convolution, t[0], t[1]),
        }
    };
    let name = format!("{way:?} of {size}x{size} at stride {stride}, {from} to {to} channels at {n}x{h}x{w}");
    Case { matrix_products: true, ..case(name, operands, build) }
}

/// Runs `graph` on `device`; the kernels' names and the outputs.
fn run(
    graph: &Graph,
    values: &Values,
    device: &Device,
    matrix_products: bool,
) -> (Vec<&'static str>, Vec<Vec<f32>>) {
    let limits = MemoryLimits { matrix_products, ..device.memory_limits() };
    let program = Program::compile(graph, limits).unwrap();
    let names = program.calls.iter().map(|call| call.kernel.name).collect();
    let outputs: Vec<String> = program.outputs.iter().map(|(name, _)| name.clone()).collect();
    let mut workspace = Workspace::new(device.clone());
    let mut session = workspace.bind(Arc::new(program)).unwrap();
    for (name, values) in values {
        match session.program().declared(name) {
            Some(_) => session.write(name, values).unwrap(),
            None => workspace.write(name, values).unwrap(),
        }
    }
    let results = session.compute().unwrap();
    (names, outputs.iter().map(|name| results.get(name).to_vec()).collect())
}

#[test]
fn a_convolution_by_matrix_products_is_as_exact_as_a_direct_one_may_be() {
    for (case, (.., way)) in cases().into_iter().zip(CASES) {
        let results = |device: &Device, matrix_products| {
            let (names, results) = run(&case.graph, &case.values, device, matrix_products);
            assert_eq!(names.contains(&"matrix_product"), matrix_products, "{}: {names:?}", case.name);
            results[0].clone()
        };
        let direct = results(&Device::Cpu(Mode::Reference), false);
        let shape = Shape::new(&[direct.len()]);
        let kernel = match way {
            Way::WeightGradient => &kernels::conv2d_weight_gradient,
            _ => &kernels::conv2d,
        };
        for (name, device) in devices() {
            let verdict = compare(&results(&device, true), &direct, &shape, kernel.tolerance);
            verdict.unwrap_or_else(|e| panic!("{} on {name}: {e}", case.name));
        }
    }
}

/// Such kernels have a row of workgroups for each tile or each eight positions of at least one image, and there are at most 65,535.
#[test]
fn images_with_too_many_rows_for_matrix_products_are_convolved_directly() {
    let limits = MemoryLimits { matrix_products: true, ..MemoryLimits::BROWSER };
    let limits = MemoryLimits { buffer: u64::MAX, binding: u64::MAX, ..limits };
    let kernels_of = |way: Way, convolution: Convolution, side: usize, [from, to]: [usize; 2]| {
        let (kernel, mut graph) = (convolution.size[0], Graph::new());
        let images = graph.input("images", &[1, side, side, from]).unwrap();
        let result = match way {
            Way::WeightGradient => {
                let coarse = graph.input("coarse", &[1, side, side, to]).unwrap();
                graph.convolve_weight_gradient(convolution, images, coarse)
            }
            Way::Adjoint(epilogue) => {
                let weight = graph.input("weight", &[kernel, kernel, to, from]).unwrap();
                transposed(&mut graph, convolution, epilogue, &[images, weight])
            }
            Way::Forward(epilogue) => {
                let weight = graph.input("weight", &[kernel, kernel, from, to]).unwrap();
                convolve(&mut graph, convolution, epilogue, &[images, weight])
            }
        };
        let result = result.unwrap();
        graph.output("result", result);
        let program = Program::compile(&graph, limits).unwrap_or_else(|e| panic!("{way:?} at {side}: {e}"));
        program.calls.iter().map(|call| call.kernel.name).collect::<Vec<_>>()
    };
    let (forward, adjoint) = (Way::Forward(Epilogue::None), Way::Adjoint(Epilogue::None));
    for (way, convolution, channels, largest, too_large) in [
        (forward, SAME, [16, 16], 1020, 1024),
        (adjoint, SAME, [64, 3], 720, 768),
        (Way::WeightGradient, SAME, [3, 64], 720, 768),
        (forward, DENSE, [256, 256], 720, 768),
    ] {
        let small = kernels_of(way, convolution, largest, channels);
        assert!(small.contains(&"matrix_product"), "{way:?} at {largest}: {small:?}");
        let large = kernels_of(way, convolution, too_large, channels);
        let direct =
            large.iter().any(|name| name.starts_with("conv2d")) && !large.contains(&"matrix_product");
        assert!(direct, "{way:?} at {too_large}: {large:?}");
    }
}

/// With fewer coarse than fine channels the sides of other convolutions at stride 1 are swapped.
#[test]
fn biases_by_the_border_stay_with_the_places_of_the_fine_side() {
    let way = Way::Adjoint(Epilogue::BorderBiasLeaky(0.2));
    for extents in [[2, 4, 4, 8, 16], [2, 4, 4, 3, 16]] {
        let case = make(&(SAME, extents, way));
        let direct = run(&case.graph, &case.values, &Device::Cpu(Mode::Reference), false).1;
        let shape = Shape::new(&[direct[0].len()]);
        for (name, device) in devices() {
            let results = run(&case.graph, &case.values, &device, true).1;
            let allowed = kernels::conv2d_input_gradient.tolerance;
            let verdict = compare(&results[0], &direct[0], &shape, allowed);
            verdict.unwrap_or_else(|e| panic!("{} on {name}: {e}", case.name));
        }
    }
    // In pieces, the biases of the second one would begin where no binding may.
    let several = make(&(SAME, [300, 8, 8, 3, 24], way));
    assert!(several.program().calls.iter().all(|call| call.kernel.name != "matrix_product"));
}

/// Layers whose two gradients are wanted: whether it is a transposed convolution, its geometry; images, height and width of
/// the coarse side, fine and coarse channels, and of these how many carry no gradient on. All batches go in pieces.
const LAYERS: &[(bool, Convolution, [usize; 6])] = &[
    (false, SAME, [17, 32, 32, 64, 16, 0]),
    (false, SAME, [14, 32, 32, 16, 72, 0]),
    (true, SAME, [17, 32, 32, 64, 16, 0]),
    (true, HALVED, [27, 16, 16, 64, 16, 0]),
    // An image of 63 positions begins where a binding may every 4 or, with the channels beside, every 8 images.
    (true, SAME, [150, 7, 9, 16, 72, 8]),
];

/// The gradients of a layer by its weight and by what it reads, in the order asked for.
fn gradients(
    (up, g, [n, h, w, from, to, beside]): (bool, Convolution, [usize; 6]),
    weight_first: bool,
) -> (Graph, Values) {
    let [fine, coarse] = [[n, g.stride[0] * h, g.stride[1] * w, from], [n, h, w, to]];
    let (mut graph, mut values) = (Graph::new(), Values::new());
    let mut input = |graph: &mut Graph, name: &str, extents: [usize; 4]| {
        values.push((name.to_string(), Extents::values(values.len() as u32, &extents)));
        graph.input(name, &extents).unwrap()
    };
    let sides = [input(&mut graph, "fine", fine), input(&mut graph, "coarse", coarse)];
    // Part of a larger weight, so that something is to be done before it is there.
    let larger = input(&mut graph, "weight", [g.size[0], g.size[1], from, 2 * to]);
    let mask = input(&mut graph, "mask", if up { [n, h, w, to - beside] } else { fine });
    let by_weight = |graph: &mut Graph| {
        let gradient = graph.convolve_weight_gradient(g, sides[0], sides[1]).unwrap();
        graph.output("by the weight", gradient);
    };
    if weight_first {
        by_weight(&mut graph);
    }
    let weight = graph.slice(larger, 0, to - beside).unwrap();
    let carried = match up {
        false => transposed(&mut graph, g, Epilogue::LeakyMask(0.2), &[sides[1], weight, mask]),
        true => convolve(&mut graph, g, Epilogue::LeakyMask(0.2), &[sides[0], weight, mask]),
    };
    graph.output("by what it reads", carried.unwrap());
    if !weight_first {
        by_weight(&mut graph);
    }
    (graph, values)
}

#[test]
fn both_gradients_of_a_layer_share_the_transformed_image() {
    for (layer, weight_first) in LAYERS.iter().flat_map(|&layer| [(layer, true), (layer, false)]) {
        let (graph, values) = gradients(layer, weight_first);
        let direct = run(&graph, &values, &Device::Cpu(Mode::Reference), false).1;
        for (name, device) in devices() {
            let (names, results) = run(&graph, &values, &device, true);
            let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
            let images = count("_image");
            let shared = [count("_coarse"), count("_result")] == [images; 2];
            assert!(images > 1 && shared, "{layer:?}, weight first {weight_first}: {names:?}");
            for (result, direct) in results.iter().zip(&direct) {
                let shape = Shape::new(&[direct.len()]);
                let verdict = compare(result, direct, &shape, kernels::conv2d_weight_gradient.tolerance);
                verdict.unwrap_or_else(|e| panic!("{layer:?}, weight first {weight_first}, on {name}: {e}"));
            }
        }
    }
}

#[test]
fn a_gradient_waits_for_the_weight_that_changes_before_it() {
    let [n, h, w, from, to] = [17, 32, 32, 64, 16];
    let (mut graph, mut values) = (Graph::new(), Values::new());
    let (fine, coarse, weight) = ([n, h, w, from], [n, h, w, to], [3, 3, from, to]);
    for (name, extents) in [("fine", fine), ("coarse", coarse), ("new", weight), ("weight", weight)] {
        values.push((name.to_string(), Extents::values(values.len() as u32, &extents)));
    }
    let [x, d] = [graph.input("fine", &fine).unwrap(), graph.input("coarse", &coarse).unwrap()];
    let new = graph.input("new", &weight).unwrap();
    let state = graph.state("weight", &weight).unwrap();
    let by_weight = graph.convolve_weight_gradient(SAME, x, d).unwrap();
    graph.output("by the weight", by_weight);
    graph.assign(state, new).unwrap();
    let carried = graph.convolve_transposed(SAME, d, state).unwrap();
    graph.output("by what it reads", carried);
    let direct = run(&graph, &values, &Device::Cpu(Mode::Reference), false).1;
    for (name, device) in devices() {
        let (_, results) = run(&graph, &values, &device, true);
        let shape = Shape::new(&[direct[1].len()]);
        let verdict = compare(&results[1], &direct[1], &shape, kernels::conv2d.tolerance);
        verdict.unwrap_or_else(|e| panic!("on {name}: {e}"));
    }
}
