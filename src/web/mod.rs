//! A page that computes in a browser: one HTML file with the programs of a model, the WGSL of their kernels, the weights and a few
//! images. It needs no server and no network.
//!
//! A program is a static list of calls, so a page needs none of this program's code. [`describe`] writes programs as data,
//! [`programs`] says which ones a page has, [`lesson`] adds what training needs, and `page/player.js` replays them by WebGPU.
//! The rest of `page/` shows what comes out. All programs keep to the limits that every adapter in a browser has
//! ([`MemoryLimits::BROWSER`](crate::program::MemoryLimits::BROWSER)).

pub mod describe;
pub mod lesson;
pub mod programs;

use crate::attacks::options::Norm;
use crate::data::Images;
use crate::evaluation::Subject;
use crate::graph::GraphError;
use crate::models::file::Model;
use crate::nn::Problem;
use crate::program::ProgramError;
use crate::training::{TrainConfig, TrainError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use describe::Description;
use lesson::Lesson;
use serde::Serialize;
use std::collections::BTreeMap;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// In the order in which they use one another.
const SCRIPTS: [&str; 6] = [
    include_str!("page/player.js"),
    include_str!("page/subject.js"),
    include_str!("page/training.js"),
    include_str!("page/pictures.js"),
    include_str!("page/charts.js"),
    include_str!("page/page.js"),
];

/// Images of the set whose accuracy a page shows, unless it is said.
pub const IMAGES: usize = 100;
/// A page's largest radius, in units of the usual one of the norm.
const LARGEST_RADIUS: f32 = 4.0;

/// Why a model cannot become a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// A program that is too large for browsers.
    #[error("the page cannot be made, because browsers allow less than this model needs: {0}")]
    Program(#[from] ProgramError),
    /// A graph; a mistake of ours.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Training in the page.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A generator for which a page lacks something.
    #[error(
        "a page has no generator that takes noise or has batch normalisation, as this one does; export the classifier alone, \
         with `pgn-wgpu export --onnx`, and make the page of that file"
    )]
    Generator,
    /// A call that WebGPU refuses; a mistake of ours.
    #[error("a call of {kernel} binds the same memory twice, which browsers refuse; please report this")]
    Twice {
        /// The kernel.
        kernel: &'static str,
    },
}

/// Numbers as base64: of four bytes each, or of one byte where all are whole from 0 to 255.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Packed {
    /// `f32` or `u8`; a `u8` stands for its 255th part.
    kind: &'static str,
    base64: String,
}

impl Packed {
    /// As f32, little-endian.
    pub fn numbers(values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { kind: "f32", base64: STANDARD.encode(bytes) }
    }

    /// The pixels of images, as they are kept.
    pub fn images(images: &Images) -> Self {
        if images.is_bytes() {
            let bytes: Vec<u8> = (0..images.len()).flat_map(|i| images.image(i)).copied().collect();
            return Self { kind: "u8", base64: STANDARD.encode(bytes) };
        }
        Self::numbers(&images.to_unit(0..images.len()))
    }
}

/// What a page is about, as its scripts read it.
#[derive(Debug, Serialize)]
struct Contents<'a> {
    name: &'a str,
    method: String,
    data_set: &'a str,
    version: &'static str,
    problem: Problem,
    classes: Vec<String>,
    norm: &'static str,
    epsilon: f32,
    largest_epsilon: f32,
    iterations: usize,
    generator: bool,
    images: Packed,
    labels: &'a [u16],
    /// Images that the programs for many take at a time.
    set: usize,
    states: BTreeMap<String, Packed>,
    #[serde(flatten)]
    description: Description,
    lesson: Option<Lesson>,
}

/// The page about a model and images that go with it.
///
/// # Errors
/// If a program exceeds what browsers allow.
pub fn page(subject: &Subject) -> Result<String, WebError> {
    let config = subject.place.config();
    let (model, images) = (&subject.model, subject.images.as_ref());
    if model.generator.as_ref().is_some_and(|(own, _)| own.recipe.noise || own.recipe.batch_norm) {
        return Err(WebError::Generator);
    }
    let norm = norm(model, config);
    let mut description = Description::default();
    let set = programs::evaluation(&mut description, model, norm, images.len())?;
    let lesson = Lesson::new(&mut description, subject)?;
    let contents = Contents {
        name: &subject.place.name,
        method: config.map_or_else(|| model.facts.method.clone(), |config| config.title().to_string()),
        data_set: &subject.data_set,
        version: env!("CARGO_PKG_VERSION"),
        problem: model.facts.problem,
        classes: class_names(subject),
        norm: norm.name(),
        epsilon: norm.usual_epsilon(),
        largest_epsilon: LARGEST_RADIUS * norm.usual_epsilon(),
        iterations: programs::ITERATIONS,
        generator: model.generator.is_some(),
        images: Packed::images(images),
        labels: images.labels(),
        set,
        states: states(model),
        description,
        lesson,
    };
    let json = serde_json::to_string(&contents).expect("maps have names as keys");
    Ok(assemble(&subject.place.name, &json))
}

/// The norm of the ball that the run was trained within. A generator's perturbations are measured in L2.
fn norm(model: &Model, config: Option<&TrainConfig>) -> Norm {
    let trained = config.and_then(TrainConfig::trained_ball).map(|ball| ball.norm);
    trained.filter(|_| model.generator.is_none()).unwrap_or(Norm::L2)
}

fn class_names(subject: &Subject) -> Vec<String> {
    let own = &subject.model.facts.class_names;
    let names = if own.is_empty() { &subject.class_names } else { own };
    (0..subject.model.facts.problem.classes)
        .map(|class| names.get(class).cloned().unwrap_or_else(|| class.to_string()))
        .collect()
}

/// The averaged weights, which are evaluated, and the generator's.
fn states(model: &Model) -> BTreeMap<String, Packed> {
    let mut states = BTreeMap::new();
    let mut add = |name: &str, values: &[f32]| {
        if !values.is_empty() {
            states.insert(name.to_string(), Packed::numbers(values));
        }
    };
    add("classifier.parameters", &model.average.weights);
    add("classifier.buffers", &model.average.buffers);
    if let Some((_, values)) = &model.generator {
        add("generator.parameters", &values.weights);
    }
    states
}

/// The file. `<` does not stand in the data as it is, so nothing there can end the element that holds them.
fn assemble(title: &str, json: &str) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    HTML.replace("{title}", &title)
        .replace("{style}", STYLE)
        .replace("{script}", &SCRIPTS.concat())
        .replace("{data}", &json.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_and_asks_for_nothing_from_elsewhere() {
        let page = assemble("a <b> & c", r#"{"text":"</script>"}"#);
        assert!(page.contains("<title>a &lt;b> &amp; c"), "the title is escaped");
        assert!(page.contains(r#"{"text":"\u003c/script>"}"#), "data cannot end their element");
        assert!(!page.contains("{style}") && !page.contains("{script}") && !page.contains("{data}"));
        for foreign in ["http:", "https:", "import ", "src=", "<link", "@import", "url(", "fetch("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn pixels_that_are_bytes_stay_bytes() {
        let images = Images::new(crate::data::Size::square(2), 1, vec![0, 1, 254, 255], vec![0]);
        assert_eq!(Packed::images(&images), Packed { kind: "u8", base64: STANDARD.encode([0, 1, 254, 255]) });
        assert_eq!(Packed::numbers(&[1.0]).base64, STANDARD.encode([0, 0, 128, 63]));
    }
}
