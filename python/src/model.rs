//! Models: logits, gradients, attacks and verdicts of arrays.

use crate::conversion::{Given, array, class_array, classes, labelled, length_of, options, pixels, rows};
use crate::errors::{eps, failed, of_call, refused, with_eps};
use crate::interrupt::detached;
use numpy::{PyArray1, PyArray2, PyArray4, PyReadonlyArray1, PyReadonlyArray4};
use pgn_wgpu::attacks::{AttackOptions, AttackOutcome, ImageVerdict, Norm};
use pgn_wgpu::command_line::options::{self as call, Opened};
use pgn_wgpu::data::{self, DataOptions, Images, Size};
use pgn_wgpu::evaluation::{Subject, Warning, predict, suite};
use pgn_wgpu::nn::Problem;
use pgn_wgpu::threat::Radius;
use pgn_wgpu::verdict::piece::Pieces;
use pgn_wgpu::verdict::report::{About, Report};
use pgn_wgpu::verdict::{self, Outcome, Plan, Version};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

/// What the images of a verdict are called where the command has a split.
const SPLIT: &str = "given";

/// Images and their labels.
type Labelled<'py> = (Bound<'py, PyArray4<f32>>, Bound<'py, PyArray1<i64>>);

/// A model on an adapter.
#[pyclass(frozen, module = "pgn_wgpu._core")]
pub struct Model {
    opened: Opened,
}

impl Model {
    fn problem(&self) -> Problem {
        self.opened.model.facts.problem
    }

    fn images(
        &self,
        py: Python<'_>,
        images: &PyReadonlyArray4<'_, f32>,
        labels: &PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Images> {
        let (pixels, labels) = (pixels(py, images, self.problem())?, classes(labels)?);
        py.detach(|| labelled(pixels, labels, self.problem()))
    }
}

#[pymethods]
impl Model {
    /// Opens a run folder or a model file; `size` is height and width of images, where the file does not tell them.
    #[new]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        size: Option<(usize, usize)>,
        given: Vec<(String, Given)>,
    ) -> PyResult<Self> {
        let size = size.map(|(height, width)| Size { height, width });
        let given = options(given);
        let opened = detached(py, || call::open(&path, size, &given).map_err(of_call))??;
        Ok(Self { opened })
    }

    /// Short, as in tables.
    #[getter]
    fn name(&self) -> &str {
        &self.opened.place.name
    }

    /// What it computes on.
    #[getter]
    fn adapter(&self) -> String {
        self.opened.device.describe()
    }

    /// Channels, height and width of images.
    #[getter]
    fn shape(&self) -> (usize, usize, usize) {
        let Problem { height, width, channels, .. } = self.problem();
        (channels, height, width)
    }

    /// The number of classes.
    #[getter]
    fn classes(&self) -> usize {
        self.problem().classes
    }

    /// The names of the classes, which are their numbers where the file has none.
    #[getter]
    fn class_names(&self) -> Vec<String> {
        self.opened.model.facts.classes()
    }

    /// What the user should know about how the file was read.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.opened.model.notes.iter().map(|note| call::by_name(note)).collect()
    }

    /// The logits `[n, classes]` of images `[n, channels, height, width]`.
    fn logits<'py>(
        &self,
        py: Python<'py>,
        images: PyReadonlyArray4<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let pixels = pixels(py, &images, self.problem())?;
        let Opened { model, device, .. } = &self.opened;
        let logits =
            detached(py, || predict::logits(device, model, &pixels, &mut |_, _| {}))?.map_err(failed)?;
        rows(py, logits, self.problem().classes)
    }

    /// The gradient of each image's cross-entropy by its pixels, like `images`.
    fn input_gradients<'py>(
        &self,
        py: Python<'py>,
        images: PyReadonlyArray4<'py, f32>,
        labels: PyReadonlyArray1<'py, i64>,
    ) -> PyResult<Bound<'py, PyArray4<f32>>> {
        let pixels = pixels(py, &images, self.problem())?;
        let labels: Vec<usize> = classes(&labels)?.into_iter().map(usize::from).collect();
        let Opened { model, device, .. } = &self.opened;
        let gradients =
            detached(py, || predict::input_gradients(device, model, &pixels, &labels))?.map_err(failed)?;
        array(py, &gradients, self.problem())
    }

    /// Attacks images; a dictionary of what came out.
    fn attack<'py>(
        &self,
        py: Python<'py>,
        images: PyReadonlyArray4<'py, f32>,
        labels: PyReadonlyArray1<'py, i64>,
        name: &str,
        given: Vec<(String, Given)>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let Opened { place, model, device } = &self.opened;
        let attack = call::attack((place, model), name, &options(given)).map_err(with_eps)?;
        let images = self.images(py, &images, &labels)?;
        let outcome =
            detached(py, || suite::attack(device, (place, model), &images, &attack, &mut |_, _| {}))?;
        attacked(py, &attack, &outcome.map_err(failed)?)
    }

    /// Judges images within a radius; a dictionary of what came out.
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn verdict<'py>(
        &self,
        py: Python<'py>,
        images: PyReadonlyArray4<'py, f32>,
        labels: PyReadonlyArray1<'py, i64>,
        norm: &str,
        epsilon: Option<Given>,
        version: &str,
        batch_size: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let norm: Norm = call::word("norm", norm).map_err(of_call)?;
        let version: Version = call::word("version", version).map_err(of_call)?;
        let problem = self.problem();
        let epsilon = epsilon.map(|given| length_of("eps", given)).transpose()?;
        let radius = Radius { norm, epsilon: epsilon.unwrap_or(norm.usual_epsilon()) };
        let plan = Plan::new(version, norm, radius.epsilon, problem.classes).at_a_time(batch_size);
        plan.check(radius, problem).map_err(|error| refused(eps(&error.to_string())))?;
        let Opened { place, model, device } = &self.opened;
        let subject = Subject::given(place.clone(), model.clone(), self.images(py, &images, &labels)?);
        let judged = detached(py, || {
            let about = About::new(&subject, device.describe(), (SPLIT, version));
            verdict::judge(device, &subject, (&plan, radius, &about), &Pieces::not_kept(), &mut |_| {})
        })?;
        let (outcome, report) = judged.map_err(|error| failed(eps(&error.to_string())))?;
        judgement(py, &subject, &outcome, told(report))
    }
}

/// What an attack did, image by image.
fn attacked<'py>(
    py: Python<'py>,
    options: &AttackOptions,
    outcome: &AttackOutcome,
) -> PyResult<Bound<'py, PyDict>> {
    let all = 0..outcome.len();
    let found = PyDict::new(py);
    let own: serde_json::Map<String, serde_json::Value> =
        options.own().map(|(name, setting)| (crate::named(name), crate::value(&setting))).collect();
    found.set_item("attack", options.kind.name())?;
    found.set_item("options", serde_json::Value::Object(own).to_string())?;
    found.set_item("images", array(py, &outcome.adversarial, outcome.problem)?)?;
    let success = all.clone().map(|i| outcome.verdict(i) == ImageVerdict::Fooled).collect();
    found.set_item("success", PyArray1::<bool>::from_vec(py, success))?;
    let verdicts: Vec<&str> = all.map(|i| outcome.verdict(i).name()).collect();
    found.set_item("verdicts", verdicts)?;
    found.set_item("l2", PyArray1::from_slice(py, &outcome.l2))?;
    found.set_item("linf", PyArray1::from_slice(py, &outcome.linf))?;
    found.set_item("clean_predictions", class_array(py, outcome.clean_predictions.iter().copied()))?;
    found.set_item("predictions", class_array(py, outcome.predictions.iter().copied()))?;
    found.set_item("seconds", outcome.seconds)?;
    Ok(found)
}

/// The report with options in its warnings by their names.
fn told(report: Report) -> Report {
    let by_name =
        |warning: &Warning| Warning::new(warning.figure.clone(), &call::by_name(&warning.explanation));
    Report { warnings: report.warnings.iter().map(by_name).collect(), ..report }
}

/// What a verdict came to: the report as JSON, a column for each of the per-image facts, and the images.
fn judgement<'py>(
    py: Python<'py>,
    subject: &Subject,
    outcome: &Outcome,
    report: Report,
) -> PyResult<Bound<'py, PyDict>> {
    let (judged, problem) = (&outcome.images, subject.model.facts.problem);
    let pixels = py.detach(|| {
        let mut pixels = subject.images.to_unit(0..judged.len());
        for (own, image) in judged.iter().zip(pixels.chunks_mut(problem.pixels())) {
            if let Some(adversarial) = &own.adversarial {
                image.copy_from_slice(adversarial);
            }
        }
        pixels
    });
    let distances = |norm: usize| {
        let own = judged.iter().map(|image| image.distance.map_or(f64::NAN, |distance| distance[norm]));
        PyArray1::from_vec(py, own.collect())
    };
    let broken_by: Vec<Option<&str>> = judged
        .iter()
        .map(|image| image.broken_by.map(|stage| outcome.stages[stage].options.kind.name()))
        .collect();
    let found = PyDict::new(py);
    found.set_item("report", serde_json::to_string(&report).map_err(failed)?)?;
    found.set_item("images", array(py, &pixels, problem)?)?;
    found.set_item("labels", class_array(py, judged.iter().map(|image| image.label)))?;
    found
        .set_item("clean_predictions", class_array(py, judged.iter().map(|image| image.clean_prediction)))?;
    let robust = judged.iter().map(verdict::Judged::robust).collect();
    found.set_item("robust", PyArray1::<bool>::from_vec(py, robust))?;
    found.set_item("broken_by", broken_by)?;
    found.set_item("l2", distances(0))?;
    found.set_item("linf", distances(1))?;
    Ok(found)
}

/// Images and labels of a split of the embedded digits.
#[pyfunction]
pub fn digits<'py>(py: Python<'py>, split: &str) -> PyResult<Labelled<'py>> {
    let digits = data::open(&DataOptions::default()).map_err(failed)?;
    let images = match call::word("split", split).map_err(of_call)? {
        pgn_wgpu::evaluation::Split::Train => &digits.train,
        pgn_wgpu::evaluation::Split::Validation => &digits.validation,
        pgn_wgpu::evaluation::Split::Test => &digits.test,
    };
    let problem = pgn_wgpu::training::run_data::problem_of(&digits);
    let labels = class_array(py, images.labels().iter().map(|&label| usize::from(label)));
    Ok((array(py, &images.to_unit(0..images.len()), problem)?, labels))
}
