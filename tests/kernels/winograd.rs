//! Cases of Winograd's algorithm, and the algorithm as a whole against the direct convolution.

use super::case;
use super::convolutions::Extents;
use crate::common::judge::Case;
use crate::common::{compare, devices};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Workspace};
use pgn_wgpu::graph::{Convolution, Epilogue, Graph, GraphError, Shape, Tensor};
use pgn_wgpu::kernels;
use pgn_wgpu::program::{MemoryLimits, Program};
use std::sync::Arc;

/// Images, height, width, input and output channels: one group of tiles per row and several, rims of the blocks of 32
/// tiles and of the channels, and a batch in several pieces.
const CASES: &[([usize; 5], Epilogue, bool)] = &[
    ([1, 8, 8, 64, 16], Epilogue::None, false),
    ([1, 4, 16, 65, 30], Epilogue::Bias, true),
    ([3, 8, 8, 72, 33], Epilogue::BiasLeaky, false),
    ([2, 2, 32, 134, 16], Epilogue::LeakyMask, true),
    ([9, 32, 32, 64, 16], Epilogue::LeakyMask, false),
];

/// All of them.
pub fn cases() -> Vec<Case> {
    CASES.iter().map(make).collect()
}

fn make(&([n, h, w, inputs, outputs], epilogue, turned): &([usize; 5], Epilogue, bool)) -> Case {
    let (image, result) = ([n, h, w, inputs], [n, h, w, outputs]);
    let weight = if turned { [3, 3, outputs, inputs] } else { [3, 3, inputs, outputs] };
    let values = |seed, extents| (extents, Extents::values(seed, extents));
    let mut operands = vec![values(1, &image[..]), values(2, &weight[..])];
    match epilogue {
        Epilogue::None => {}
        Epilogue::Bias | Epilogue::BiasLeaky => operands.push(values(3, &result[3..])),
        Epilogue::LeakyMask => operands.push(values(3, &result[..])),
        Epilogue::BorderBiasLeaky => unreachable!("not by this algorithm"),
    }
    let build = move |g: &mut Graph, t: &[Tensor]| -> Result<Tensor, GraphError> {
        let convolution = Convolution { size: 3, stride: 1 };
        match turned {
            false => g.convolve(convolution, epilogue, t),
            true => g.convolve_input_gradient(convolution, epilogue, t),
        }
    };
    let name = format!("{image:?} to {outputs} {epilogue:?}");
    Case { winograd: true, ..case(name, operands, build) }
}

#[test]
fn winograds_algorithm_is_as_exact_as_a_direct_convolution_may_be() {
    for case in cases() {
        let results = |device: &Device, winograd| {
            let limits = MemoryLimits { winograd, ..device.memory_limits() };
            let program = Program::compile(&case.graph, limits).unwrap();
            let names: Vec<&str> = program.calls.iter().map(|call| call.kernel.name).collect();
            assert_eq!(names.contains(&"winograd_product"), winograd, "{}: {names:?}", case.name);
            let mut session = Workspace::new(device.clone()).bind(Arc::new(program)).unwrap();
            for (name, values) in &case.values {
                session.write(name, values).unwrap();
            }
            session.compute().unwrap().get("result").to_vec()
        };
        let direct = results(&Device::Cpu(Mode::Reference), false);
        let shape = Shape::new(&[direct.len()]);
        for (name, device) in devices() {
            let verdict = compare(&results(&device, true), &direct, &shape, kernels::conv2d.tolerance);
            verdict.unwrap_or_else(|e| panic!("{} on {name}: {e}", case.name));
        }
    }
}
