//! Weights that other programs have written: converted where that is exact or said, and refused by name where a network
//! without what they lack or have would be another one.

use super::{Scratch, assert_mentions};
use pgn_wgpu::models::file::{NamedTensor, export, to_bytes};
use pgn_wgpu::nn::{Init, Network, Plan, Problem};
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::collections::HashMap;
use std::fs::{self, File};
use std::process::Output;

const DIGITS: Problem = Problem { height: 8, width: 8, channels: 1, classes: 10 };

const ATTACK: [&str; 9] =
    ["attack", "--adapter", "cpu", "--dataset", "digits", "--attack", "fgm", "--limit", "30"];

/// A classifier's tensors, bare, with values that all types hold exactly.
fn tensors() -> Vec<NamedTensor> {
    let classifier = Network::default().build(Plan::new(DIGITS, 0.03125)).unwrap();
    let mut tensors = Vec::new();
    export(&classifier.slots, &classifier.initial(Init::He, 0), "classifier", &mut tensors);
    for (name, _, values) in &mut tensors {
        *name = name.replace("classifier.", "");
        for value in values {
            *value = (*value * 64.0).round() / 64.0;
        }
    }
    tensors
}

fn write(scratch: &Scratch, tensors: &[NamedTensor]) {
    fs::write(scratch.path("m.safetensors"), to_bytes(tensors, HashMap::new())).unwrap();
}

/// The file with numbers of another type, in little-endian bytes.
fn write_as(scratch: &Scratch, tensors: &[NamedTensor], dtype: Dtype, bytes: impl Fn(f32) -> Vec<u8>) {
    let all: Vec<_> = tensors
        .iter()
        .map(|(name, shape, values)| {
            (name, shape.clone(), values.iter().flat_map(|&v| bytes(v)).collect::<Vec<u8>>())
        })
        .collect();
    let views = all
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    fs::write(scratch.path("m.safetensors"), serialize(views, None).unwrap()).unwrap();
}

/// The upper half of a number of 32 bits, which is a bf16.
fn bf16(value: f32) -> Vec<u8> {
    value.to_le_bytes()[2..].to_vec()
}

/// A multiple of 1/64 as f16; all weights here are smaller than 32.
fn f16(value: f32) -> Vec<u8> {
    let bits = value.to_bits();
    let (sign, exponent) = ((bits >> 16 & 0x8000) as u16, (bits >> 23 & 0xff) as i32 - 112);
    if value == 0.0 { sign } else { sign | (exponent as u16) << 10 | (bits >> 13 & 0x3ff) as u16 }
        .to_le_bytes()
        .to_vec()
}

fn attack(scratch: &Scratch) -> Output {
    scratch.run([&ATTACK[..], &["--model", "m.safetensors"]].concat())
}

/// The row of results without its speed, and what was noted.
#[track_caller]
fn result(scratch: &Scratch) -> (Vec<String>, String) {
    let output = attack(scratch);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text.lines().find(|line| line.starts_with("FGM")).unwrap();
    let mut row: Vec<String> = row.split_whitespace().map(ToString::to_string).collect();
    row.pop();
    // Every foreign file has these two.
    let usual = ["does not tell its classes", "is unverified: it has no checksum"];
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(usual.iter().all(|note| notes.contains(note)), "{notes}");
    let others = notes.lines().filter(|line| !usual.iter().any(|note| line.contains(note)));
    (row, others.map(|line| format!("{line}\n")).collect())
}

#[track_caller]
fn refused(scratch: &Scratch, expected: &[&str]) {
    let sentence = scratch.refuse([&ATTACK[..], &["--model", "m.safetensors"]].concat());
    assert_mentions(&sentence, &["m.safetensors"]);
    assert_mentions(&sentence, expected);
}

#[test]
fn numbers_of_16_and_64_bits_give_the_results_of_the_same_numbers_of_32_bits() {
    let scratch = Scratch::new();
    // Few digits, so that bf16 holds them too.
    let mut tensors = tensors();
    tensors.iter_mut().flat_map(|t| &mut t.2).for_each(|v| *v = f32::from_bits(v.to_bits() & 0xffff_0000));
    write(&scratch, &tensors);
    let (expected, notes) = result(&scratch);
    assert_eq!(notes, "");
    for (dtype, bytes) in [
        (Dtype::F16, f16 as fn(f32) -> Vec<u8>),
        (Dtype::BF16, bf16),
        (Dtype::F64, |v| f64::from(v).to_le_bytes().to_vec()),
    ] {
        write_as(&scratch, &tensors, dtype, bytes);
        assert_eq!(result(&scratch), (expected.clone(), String::new()), "{dtype}");
    }
    write_as(&scratch, &tensors, Dtype::F64, |v| (f64::from(v) * (1.0 + 1e-12)).to_le_bytes().to_vec());
    let (row, notes) = result(&scratch);
    assert_eq!(row, expected);
    assert_mentions(&notes, &["note: m.safetensors: ", "weights of 64 bits were rounded to 32 bits"]);
    write_as(&scratch, &tensors, Dtype::F64, |_| 1e300f64.to_le_bytes().to_vec());
    refused(&scratch, &["classifier.convs.0.weight", "1e300", "index 0", "32 bits"]);
    write_as(&scratch, &tensors, Dtype::I32, |v| (v as i32).to_le_bytes().to_vec());
    refused(&scratch, &["classifier.convs.0.weight", "I32", "F32, F16, BF16 or F64"]);
}

#[test]
fn wrappers_of_pytorch_and_its_counters_change_nothing() {
    let scratch = Scratch::new();
    write(&scratch, &tensors());
    let expected = result(&scratch);
    for prefix in ["module.", "_orig_mod.module.", "model.classifier."] {
        let mut wrapped = tensors();
        for tensor in &mut wrapped {
            tensor.0.insert_str(0, prefix);
        }
        wrapped.push((format!("{prefix}bns.0.num_batches_tracked"), vec![], vec![7.0]));
        write(&scratch, &wrapped);
        assert_eq!(result(&scratch), expected, "{prefix}");
    }
    let mut twice = tensors();
    twice.push(("module.convs.0.bias".into(), twice[1].1.clone(), twice[1].2.clone()));
    write(&scratch, &twice);
    refused(&scratch, &["convs.0.bias and module.convs.0.bias", "classifier.convs.0.bias"]);
}

#[test]
fn tensors_that_no_layer_takes_are_listed_with_what_they_probably_are() {
    let scratch = Scratch::new();
    for (name, shape, expected) in [
        ("bns.0.running_mean", vec![2], "batch normalisation"),
        ("fc.weight", vec![10, 10], "a dense layer"),
        ("normalize.std", vec![1], "a normaliser"),
        ("classifier_ema.convs.0.weight", vec![2, 1, 3, 3], "classifier_ema.convs.0.bias"),
        ("generator.fc1.weight", vec![2, 2], "generator.fc1.weight"),
    ] {
        let mut more = tensors();
        more.push((name.into(), shape.clone(), vec![0.5; shape.iter().product()]));
        write(&scratch, &more);
        refused(&scratch, &[expected]);
    }
}

#[test]
fn a_weight_as_large_as_no_training_leaves_it_is_the_models_fault() {
    let scratch = Scratch::new();
    for value in [1e20, 3e38] {
        let mut huge = tensors();
        huge[2].2[3] = value;
        write(&scratch, &huge);
        let sentence = scratch.refuse([&ATTACK[..], &["--model", "m.safetensors"]].concat());
        assert_mentions(
            &sentence,
            &["the model's", "classifier.convs.1.weight", "index 3", &format!("{value:e}")],
        );
        assert!(!sentence.contains("adapter"), "{sentence}");
    }
}

#[test]
fn activations_that_f16_does_not_hold_are_named_and_others_are_not() {
    let Some(adapter) = super::adapter() else { return };
    let scratch = Scratch::new();
    let arguments = ["attack", "--dataset", "digits", "--attack", "fgm", "--limit", "30", "--tune", "off"];
    let mixed = ["--adapter", adapter.as_str(), "--precision", "mixed", "--model", "m.safetensors"];
    let arguments = [&arguments[..], &mixed].concat();
    for (scale, expected) in [(1.0, ""), (1e6, "beyond 65504"), (1e-10, "too small")] {
        // The logits stay what they are: the second convolution takes the scale of the first back.
        let mut scaled = tensors();
        scaled[0].2.iter_mut().for_each(|v| *v *= scale);
        scaled[1].2.iter_mut().for_each(|v| *v *= scale);
        scaled[2].2.iter_mut().for_each(|v| *v /= scale);
        write(&scratch, &scaled);
        let output = scratch.run(&arguments);
        let text = super::program::text(&output);
        if text.contains("SHADER_F16") || text.contains("no 16-bit") {
            return super::skipped("mixed precision, because the adapter has no f16");
        }
        if expected.is_empty() {
            assert!(output.status.success(), "{output:?}");
        } else {
            let sentence = super::program::refusal(&output);
            assert_mentions(&sentence, &["f16", "--precision f32", expected]);
        }
    }
}

#[test]
fn files_of_other_programs_and_impossible_headers_are_refused_in_one_sentence() {
    let scratch = Scratch::new();
    let path = scratch.path("m.safetensors");
    let header = |length: u64, text: &str| [&length.to_le_bytes()[..], text.as_bytes()].concat();
    for (bytes, expected) in [
        (b"PK\x03\x04\0\0archive/data.pkl\0".to_vec(), "torch.load(\"m.safetensors\""),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "save_file"),
        (b"\x89HDF\r\n\x1a\n".to_vec(), "HDF5"),
        (header(1 << 63, "{}"), "9223372036854775808 bytes"),
        (header(2, "{}"), "classifier.convs.0.weight"),
        (header(9, r#"{"a":[[[["#), "header is wrong"),
        (header(15, r#"{"a":1,"a":1.5}"#), "header is wrong"),
    ] {
        fs::write(&path, bytes).unwrap();
        refused(&scratch, &[expected]);
    }
    // Sparse: as long as a large model on a disk, and empty.
    let file = File::create(&path).unwrap();
    file.set_len(100 << 30).unwrap();
    drop(file);
    let output = attack(&scratch);
    assert_mentions(&super::program::refusal(&output), &["m.safetensors", "no whole safetensors file"]);
}

#[test]
#[cfg(unix)]
fn a_pipe_is_refused_before_it_is_waited_for() {
    let scratch = Scratch::new();
    let made = std::process::Command::new("mkfifo").arg(scratch.path("m.safetensors")).status();
    if !made.is_ok_and(|status| status.success()) {
        return super::skipped("the pipe, because there is no mkfifo");
    }
    let output = attack(&scratch);
    assert_mentions(&super::program::refusal(&output), &["m.safetensors", "regular file"]);
}
