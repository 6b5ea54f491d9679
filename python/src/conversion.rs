//! Arrays of Python, which are NCHW, and images of the library, which are NHWC; options of both. Pixels are put in another order
//! without the interpreter's lock.

use numpy::{PyArray1, PyArray2, PyArray4, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray4};
use pgn_wgpu::attacks::length;
use pgn_wgpu::command_line::options::Value;
use pgn_wgpu::data::layout::Layout;
use pgn_wgpu::data::{Images, Size};
use pgn_wgpu::evaluation::export::channels_first;
use pgn_wgpu::nn::Problem;
use pyo3::prelude::*;

use crate::errors::{failed, refused};

/// The value of an option, as the Python files give it.
#[derive(FromPyObject)]
pub enum Given {
    /// Whether.
    Switch(bool),
    /// As on the command line.
    Text(String),
}

/// Options as the library takes them.
pub fn options(given: Vec<(String, Given)>) -> Vec<(String, Value)> {
    let value = |given| match given {
        Given::Switch(given) => Value::Switch(given),
        Given::Text(text) => Value::Text(text),
    };
    given.into_iter().map(|(name, given)| (name, value(given))).collect()
}

/// The length that `option` gives, read as on the command line.
pub fn length_of(option: &str, given: Given) -> PyResult<f32> {
    let text = match given {
        Given::Switch(given) => given.to_string(),
        Given::Text(text) => text,
    };
    length::parse(&text).map_err(|problem| refused(format!("{option} {text:?} is not possible; {problem}")))
}

/// The pixels of images `[n, channels, height, width]` for a model, channels last. The Python files have checked type, layout
/// and range.
pub fn pixels(py: Python<'_>, images: &PyReadonlyArray4<'_, f32>, problem: Problem) -> PyResult<Vec<f32>> {
    let Problem { height, width, channels, .. } = problem;
    let extents = images.as_array().shape().to_vec();
    if extents[1..] != [channels, height, width] {
        return Err(refused(format!(
            "images have the shape {extents:?}; give (n, {channels}, {height}, {width})"
        )));
    }
    let layout = Layout::for_model(&extents, Size { height, width }, channels).map_err(refused)?;
    // Copied under the lock, because other threads of Python may write to the array.
    let values = images.as_slice()?.to_vec();
    py.detach(|| layout.channels_last(values)).map_err(failed)
}

/// Classes that are known to be some of the model's.
pub fn classes(labels: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<u16>> {
    let class =
        |&label: &i64| u16::try_from(label).map_err(|_| refused(format!("there is no class {label}")));
    labels.as_slice()?.iter().map(class).collect()
}

/// Images with their labels.
pub fn labelled(pixels: Vec<f32>, labels: Vec<u16>, problem: Problem) -> PyResult<Images> {
    if pixels.len() != labels.len() * problem.pixels() {
        return Err(refused(format!("there are {} labels for other images", labels.len())));
    }
    let Problem { height, width, channels, .. } = problem;
    Ok(Images::of_numbers(Size { height, width }, channels, pixels, labels))
}

/// Images of the library as an array `[n, channels, height, width]`.
pub fn array<'py>(py: Python<'py>, pixels: &[f32], problem: Problem) -> PyResult<Bound<'py, PyArray4<f32>>> {
    let Problem { height, width, channels, .. } = problem;
    let images = pixels.len() / problem.pixels();
    let planes = py.detach(|| channels_first(pixels, height * width, channels));
    PyArray1::from_vec(py, planes).reshape([images, channels, height, width])
}

/// Rows of `columns` numbers.
pub fn rows(py: Python<'_>, values: Vec<f32>, columns: usize) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let rows = values.len() / columns;
    PyArray1::from_vec(py, values).reshape([rows, columns])
}

/// Classes as an array.
pub fn class_array(py: Python<'_>, classes: impl Iterator<Item = usize>) -> Bound<'_, PyArray1<i64>> {
    PyArray1::from_vec(py, classes.map(|class| class as i64).collect())
}
