//! The programs of a page: what a classifier answers, the gradient of its loss, PGD's steps and the generator's answer, for one image
//! and for a set of images.
//!
//! The formulas are those of the attacks themselves; only the radius, which is a constant there, is an input here, because a
//! reader moves it. Images and labels are states, so that several programs read what is written once.

use super::WebError;
use super::describe::Description;
use crate::attacks::fgm::Move;
use crate::attacks::options::{AttackOptions, Norm};
use crate::attacks::registry::AttackKind;
use crate::attacks::steps::Victim;
use crate::attacks::{generator, pgd};
use crate::graph::{Graph, GraphError, Tensor};
use crate::models::file::Model;
use crate::nn::{Classifier, States};
use crate::program::{MemoryLimits, Program};

/// Steps of PGD, as `attack` takes them unless it is said.
pub const ITERATIONS: usize = 10;

/// State of the images.
pub const IMAGES: &str = "images";
/// State of their classes.
pub const LABELS: &str = "labels";
/// State of the images as PGD has moved them.
pub const MOVED: &str = "moved";
/// State of the images as the generator leaves them.
pub const MADE: &str = "made";

/// Adds the programs for one image, named `one.…`, and for a set, named `set.…`. Returns how many images the latter take at a time:
/// `images`, or as many of them as fit.
pub fn evaluation(
    description: &mut Description,
    model: &Model,
    norm: Norm,
    images: usize,
) -> Result<usize, WebError> {
    add(description, model, norm, ("one", 1))?;
    let mut set = images.max(1);
    loop {
        match add(description, model, norm, ("set", set)) {
            Err(WebError::Program(_)) if set > 1 => set = set.div_ceil(2),
            other => return other.map(|()| set),
        }
    }
}

fn add(
    description: &mut Description,
    model: &Model,
    norm: Norm,
    (prefix, images): (&str, usize),
) -> Result<(), WebError> {
    let pages = Programs { model, norm, images };
    let mut graphs =
        vec![("answer", pages.answer()?), ("gradient", pages.gradient()?), ("step", pages.step()?)];
    if let Some(graph) = pages.generator()? {
        graphs.push(("generator", graph));
    }
    for (name, graph) in graphs {
        let program = Program::compile(&graph, MemoryLimits::BROWSER)?;
        description.add(&format!("{prefix}.{name}"), &program)?;
    }
    Ok(())
}

struct Programs<'a> {
    model: &'a Model,
    norm: Norm,
    images: usize,
}

/// What all graphs have.
struct Begun {
    states: States,
    images: Tensor,
    labels: Tensor,
}

impl Programs<'_> {
    fn begin(&self) -> Result<(Graph, Begun), GraphError> {
        let mut graph = Graph::new();
        let net = &self.model.classifier;
        let states = net.live(&mut graph, "classifier")?;
        let images = graph.state(IMAGES, &net.problem.batch(self.images))?;
        let labels = graph.state(LABELS, &[self.images, 1])?;
        Ok((graph, Begun { states, images, labels }))
    }

    fn victim<'a>(&'a self, begun: &'a Begun) -> Victim<'a> {
        let classifier = Classifier::evaluated(&self.model.classifier, &begun.states);
        Victim { classifier, images: begun.images, labels: begun.labels, aim: None }
    }

    /// Images to `logits` and `probabilities`.
    fn answer(&self) -> Result<Graph, GraphError> {
        let (mut graph, begun) = self.begin()?;
        let logits = self.victim(&begun).classifier.logits(&mut graph, begun.images)?;
        let probabilities = graph.softmax(logits);
        graph.output("logits", logits);
        graph.output("probabilities", probabilities);
        Ok(graph)
    }

    /// Images and labels to `gradient`, that of the cross-entropy by the images.
    fn gradient(&self) -> Result<Graph, GraphError> {
        let (mut graph, begun) = self.begin()?;
        let form = crate::attacks::CeForm::Plain;
        let gradient = self.victim(&begun).gradient(&mut graph, begun.images, form)?;
        graph.output("gradient", gradient);
        Ok(graph)
    }

    /// One step of PGD on `moved`, with the inputs `epsilon` and `length`.
    fn step(&self) -> Result<Graph, GraphError> {
        let (mut graph, begun) = self.begin()?;
        let moved = graph.state(MOVED, &self.model.classifier.problem.batch(self.images))?;
        let epsilon = graph.input("epsilon", &[1])?;
        let length = graph.input("length", &[1])?;
        let form = AttackOptions::new(AttackKind::PGD).ce_form;
        let how = Move { length, norm: self.norm, form };
        let next = pgd::step(&mut graph, self.victim(&begun), moved, epsilon, how)?;
        graph.assign(moved, next)?;
        Ok(graph)
    }

    /// Images and labels to `made`, the generator's answer with its perturbation scaled to the norm `epsilon`, an input.
    fn generator(&self) -> Result<Option<Graph>, GraphError> {
        let Some((network, _)) = &self.model.generator else { return Ok(None) };
        let (mut graph, begun) = self.begin()?;
        let epsilon = graph.input("epsilon", &[1])?;
        let x = generator::answer(&mut graph, self.victim(&begun), network, None, Some(epsilon))?;
        let made = graph.state(MADE, &self.model.classifier.problem.batch(self.images))?;
        graph.assign(made, x)?;
        Ok(Some(graph))
    }
}
