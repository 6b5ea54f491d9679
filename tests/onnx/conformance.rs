//! The tests of the `onnx` package, which `scripts/onnx-conformance.sh` fetches, converts where they are old, and names.
//! Every test whose operators are all read either passes or is refused with a reason; none may answer wrongly.

use super::common::worst;
use super::logits;
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::Device;
use pgn_wgpu::nn;
use pgn_wgpu::nn::onnx::single::{self, Answer, Given};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Names the folder of the operator tests.
const OPERATORS: &str = "PGN_ONNX_TESTS";

/// Names the folder of the tests that were converted from older operator sets.
const OLDER: &str = "PGN_ONNX_OLDER";

/// Names the folder of the light models, with random weights and the logits of ONNX Runtime.
const LIGHT: &str = "PGN_ONNX_LIGHT";

/// Rounding of a hundred layers in float32, in units of the largest logit.
const NETWORK: f32 = 1e-5;

/// The tolerance of ONNX's own test runner, and what rounding of sums around 0 needs.
const RELATIVE: f32 = 1e-3;
const ABSOLUTE: f32 = 1e-6;

#[test]
#[ignore = "make onnx-conformance fetches the tests"]
fn no_operator_that_is_read_answers_wrongly() {
    judge(OPERATORS, 300, run);
}

#[test]
#[ignore = "make onnx-conformance fetches the tests"]
fn no_converted_test_answers_wrongly() {
    judge(OLDER, 60, run);
}

#[test]
#[ignore = "make onnx-conformance fetches the models"]
fn light_models_answer_as_onnx_runtime_does() {
    judge(LIGHT, 6, run_network);
}

/// Runs every test in the folder that `variable` names, and prints how they came out. At least `least` must pass.
fn judge(variable: &str, least: usize, run: fn(&[u8], &Path) -> Result<(), Problem>) {
    let folder = PathBuf::from(std::env::var(variable).expect("make onnx-conformance names the folder"));
    let mut tests: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    tests.sort();
    let (mut passed, mut other, mut refused, mut failed) = (0, 0, BTreeMap::new(), Vec::new());
    for test in &tests {
        let name = test.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(model) = fs::read(test.join("model.onnx")) else { continue };
        // NumPy has no such numbers, so these tests hold their bits as whole numbers.
        if name.contains("BFLOAT16") {
            continue;
        }
        if !single::unsupported(&model).is_ok_and(|foreign| foreign.is_empty()) {
            other += 1;
            continue;
        }
        match run(&model, test) {
            Ok(()) => passed += 1,
            Err(Problem::Refused(reason)) => {
                refused.insert(name, reason);
            }
            Err(Problem::Wrong(reason)) => failed.push(format!("{name}: {reason}")),
        }
    }
    for (name, reason) in &refused {
        let short: String = reason.chars().take(200).collect();
        println!("refused  {name}: {short}");
    }
    for line in &failed {
        println!("FAILED   {line}");
    }
    let (refused, failed) = (refused.len(), failed.len());
    println!(
        "{variable}: {passed} passed, {refused} refused, {failed} failed; {other} are about other operators"
    );
    assert!(passed >= least && failed == 0);
}

enum Problem {
    Refused(String),
    Wrong(String),
}

/// Files named `kind_0.pb`, `kind_1.pb` and so on.
fn messages(folder: &Path, kind: &str) -> Vec<Vec<u8>> {
    (0..).map_while(|i| fs::read(folder.join(format!("{kind}_{i}.pb"))).ok()).collect()
}

fn run(model: &[u8], test: &Path) -> Result<(), Problem> {
    let folder = test.join("test_data_set_0");
    let inputs = messages(&folder, "input");
    for (index, expected) in messages(&folder, "output").iter().enumerate() {
        let expected = single::tensor(expected).map_err(|error| Problem::Refused(error.to_string()))?;
        let answers = [true, false].map(|batch| answer(model, &inputs, index, batch));
        let answer = match answers {
            [Ok(answer), _] | [_, Ok(answer)] => answer,
            [Err(first), Err(_)] => return Err(Problem::Refused(first)),
        };
        compare(&answer, &expected).map_err(Problem::Wrong)?;
    }
    Ok(())
}

/// A classifier as the commands read it, with one image.
fn run_network(model: &[u8], test: &Path) -> Result<(), Problem> {
    let folder = test.join("test_data_set_0");
    let read = |name: &str| {
        let bytes = fs::read(folder.join(name)).map_err(|error| Problem::Wrong(error.to_string()))?;
        single::tensor(&bytes).map_err(|error| Problem::Wrong(error.to_string()))
    };
    let (images, expected) = (read("input_0.pb")?, read("output_0.pb")?);
    let network = nn::onnx::decode(model, None).map_err(|error| Problem::Refused(error.to_string()))?;
    let nn::Problem { height, width, channels, classes } = network.net.problem;
    let places = height * width;
    let last: Vec<f32> =
        (0..places * channels).map(|at| images.values[at % channels * places + at / channels]).collect();
    let own =
        logits(&Device::Cpu(Mode::Fast), &network.net, &network.values, &last, 1).map_err(Problem::Wrong)?;
    let largest = expected.values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let apart = worst(&own, &expected.values);
    println!("{}: {:.1e} of the largest logit", test.file_name().unwrap().display(), apart / largest);
    match classes == own.len() && apart <= NETWORK * largest {
        true => Ok(()),
        false => Err(Problem::Wrong(format!("{apart} apart, the largest logit is {largest}"))),
    }
}

fn answer(
    model: &[u8],
    inputs: &[Vec<u8>],
    index: usize,
    batch: bool,
) -> Result<(Vec<usize>, Vec<f32>), String> {
    match single::answer(model, inputs, index, batch).map_err(|error| error.to_string())? {
        Answer::Known(extents, values) => Ok((extents, values)),
        Answer::Network { net, values, images, count, extents } => {
            let device = Device::Cpu(Mode::Fast);
            Ok((extents, logits(&device, &net, &values, &images, count)?))
        }
    }
}

fn compare((extents, values): &(Vec<usize>, Vec<f32>), expected: &Given) -> Result<(), String> {
    if *extents != expected.extents {
        return Err(format!("the shape is {extents:?}, expected {:?}", expected.extents));
    }
    // Numbers of 16 bits are rounded where they are stored.
    let relative = if [10, 16].contains(&expected.kind) { 1e-2 } else { RELATIVE };
    let same = |a: f32, b: f32| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= ABSOLUTE + relative * b.abs()
    };
    match values.iter().zip(&expected.values).position(|(&a, &b)| !same(a, b)) {
        None => Ok(()),
        Some(at) => Err(format!("value {at} is {}, expected {}", values[at], expected.values[at])),
    }
}
