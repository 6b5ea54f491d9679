//! The logits of your own model, and the gradient of the cross-entropy by the images, to lay beside another framework's:
//!
//!     cargo run --release --example input_gradients model.onnx in.safetensors out.safetensors [ADAPTER]
//!
//! `in` holds `images` `[n, channels, height, width]` in float32, in [0, 1], and `labels` `[n, 1]` in float32. `out` gets
//! `logits` `[n, classes]` and `gradients`, like the images. Without ADAPTER the CPU path computes.

use pgn_wgpu::evaluation::predict;
use pgn_wgpu::models::file::to_bytes;
use pgn_wgpu::nn::Problem;
use pgn_wgpu::prelude::*;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, from, to, adapter) = match arguments.as_slice() {
        [model, from, to] => (model, from, to, "cpu"),
        [model, from, to, adapter] => (model, from, to, adapter.as_str()),
        _ => return Err("name a model, a file with images and labels, and the file to write".into()),
    };
    let model = Model::load(Path::new(model), None)?;
    let device = Device::open(&adapter.parse()?, Opening::default())?;
    let bytes = std::fs::read(from)?;
    let given = SafeTensors::deserialize(&bytes)?;
    let problem = model.facts.problem;
    let images = channels_last(&numbers(&given, "images")?, problem);
    let labels = numbers(&given, "labels")?;
    let count = labels.len();
    if images.len() != count * problem.pixels() {
        return Err(format!("there are {} numbers for {count} images of {problem:?}", images.len()).into());
    }
    let logits = predict::logits(&device, &model, &images, &mut |_, _| {})?;
    let classes: Vec<usize> = labels.iter().map(|&label| label as usize).collect();
    let gradients = channels_first(&predict::input_gradients(&device, &model, &images, &classes)?, problem);
    let Problem { height, width, channels, classes } = problem;
    let tensors = [
        ("logits".to_string(), vec![count, classes], logits),
        ("gradients".to_string(), vec![count, channels, height, width], gradients),
    ];
    std::fs::write(to, to_bytes(&tensors, HashMap::new()))?;
    Ok(())
}

fn numbers(file: &SafeTensors, name: &str) -> Outcome<Vec<f32>> {
    let tensor = file.tensor(name)?;
    if tensor.dtype() != Dtype::F32 {
        return Err(format!("{name} is {:?}; float32 is needed", tensor.dtype()).into());
    }
    Ok(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn channels_last(images: &[f32], problem: Problem) -> Vec<f32> {
    let (places, channels) = (problem.height * problem.width, problem.channels);
    let image = |image: &[f32]| -> Vec<f32> {
        (0..image.len()).map(|at| image[at % channels * places + at / channels]).collect()
    };
    images.chunks_exact(problem.pixels()).flat_map(image).collect()
}

fn channels_first(images: &[f32], problem: Problem) -> Vec<f32> {
    let (places, channels) = (problem.height * problem.width, problem.channels);
    let image = |image: &[f32]| -> Vec<f32> {
        (0..image.len()).map(|at| image[at % places * channels + at / places]).collect()
    };
    images.chunks_exact(problem.pixels()).flat_map(image).collect()
}
