//! The classifier under attack: a workspace that holds its weights, and the inputs that all attacks share.

use crate::executor::{Device, ExecutionError, Session, Workspace};
use crate::graph::{Graph, GraphError, Tensor};
use crate::models::Classifier;
use crate::models::file::Model;
use crate::models::layout::Weights;

/// A frozen classifier on a device.
pub struct Target {
    /// The classifier.
    pub classifier: Classifier,
    /// Holds its weights and the attack's own states.
    pub workspace: Workspace,
    /// Images at a time.
    pub slots: usize,
}

/// A graph with what every attack needs in it.
pub struct AttackGraph {
    /// The graph.
    pub graph: Graph,
    /// The classifier's weights.
    pub weights: Weights,
    /// The original images, a state: `[n, s, s, c]`.
    pub images: Tensor,
    /// The classes that are attacked, a state: `[n, 1]`.
    pub labels: Tensor,
}

/// State of the original images.
pub const IMAGES: &str = "attack.images";
/// State of the attacked classes.
pub const LABELS: &str = "attack.labels";

impl Target {
    /// The averaged weights of `model` on `device`, for `slots` images at a time.
    pub fn new(device: &Device, model: &Model, slots: usize) -> Result<Self, ExecutionError> {
        let mut workspace = Workspace::new(device.clone());
        workspace.write("classifier.parameters", &model.average)?;
        Ok(Self { classifier: model.classifier.clone(), workspace, slots })
    }

    /// `[slots, side, side, channels]`.
    pub fn extents(&self) -> [usize; 4] {
        let p = self.classifier.problem;
        [self.slots, p.side, p.side, p.channels]
    }

    /// Values of one image.
    pub fn pixels(&self) -> usize {
        self.classifier.problem.pixels()
    }

    /// A new graph.
    pub fn graph(&self) -> Result<AttackGraph, GraphError> {
        let mut graph = Graph::new();
        let parameters = graph.state("classifier.parameters", &[self.classifier.layout.len])?;
        let weights = self.classifier.layout.views(&mut graph, parameters)?;
        let images = graph.state(IMAGES, &self.extents())?;
        let labels = graph.state(LABELS, &[self.slots, 1])?;
        Ok(AttackGraph { graph, weights, images, labels })
    }

    /// Prepares a graph of this target.
    pub fn prepare(&mut self, graph: &Graph) -> Result<Session, ExecutionError> {
        self.workspace.prepare(graph)
    }

    /// Writes a batch of originals and their classes.
    pub fn load(&mut self, images: &[f32], labels: &[f32]) -> Result<(), ExecutionError> {
        self.workspace.write(IMAGES, images)?;
        self.workspace.write(LABELS, labels)
    }
}
