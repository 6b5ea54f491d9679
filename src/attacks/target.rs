//! The classifier under attack: a workspace that holds its weights, and the inputs that all attacks share.

use crate::executor::{Device, ExecutionError, Session, Workspace};
use crate::graph::{Graph, GraphError, Tensor};
use crate::models::file::Model;
use crate::nn::{Classifier, Net, Problem, States, Values};

/// A frozen classifier on a device.
pub struct Target {
    /// The network.
    pub net: Net,
    /// Holds its weights and the attack's own states.
    pub workspace: Workspace,
    /// Images at a time.
    pub slots: usize,
    /// Whether every image is led to a class of its own.
    pub aimed: bool,
    /// Whether the attack starts at images that are given.
    pub started: bool,
    /// Whether the weights are those of a training run, which change after the attack.
    pub live: bool,
}

/// A graph with what every attack needs in it.
pub struct AttackGraph {
    /// The graph.
    pub graph: Graph,
    /// The network's slots.
    pub states: States,
    /// The original images, a state: `[n, height, width, channels]`.
    pub images: Tensor,
    /// The classes that are attacked, a state: `[n, 1]`.
    pub labels: Tensor,
    /// The classes that images are led to, a state, if they are: `[n, 1]`.
    pub aim: Option<Tensor>,
    /// The images at which the attack starts, a state, if they are given: like the originals.
    pub starts: Option<Tensor>,
}

/// What the states of the network are called.
const NETWORK: &str = "classifier";
/// State of the original images.
pub const IMAGES: &str = "attack.images";
/// State of the attacked classes.
pub const LABELS: &str = "attack.labels";
/// State of the classes that images are led to.
pub const AIMS: &str = "attack.aims";
/// State of the images at which the attack starts.
pub const STARTS: &str = "attack.starts";

/// Writes the values of a network's slots.
fn write(workspace: &mut Workspace, values: &Values) -> Result<(), ExecutionError> {
    workspace.write(&format!("{NETWORK}.parameters"), &values.weights)?;
    match values.buffers.is_empty() {
        true => Ok(()),
        false => workspace.write(&format!("{NETWORK}.buffers"), &values.buffers),
    }
}

impl Target {
    /// The same network on another device.
    pub fn on(&self, device: Device) -> Result<Self, ExecutionError> {
        let mut workspace = Workspace::new(device);
        write(&mut workspace, &self.values()?)?;
        Ok(Self {
            net: self.net.clone(),
            workspace,
            slots: self.slots,
            aimed: self.aimed,
            started: self.started,
            live: false,
        })
    }

    /// The same network on the same device, with the images of these slots alone.
    pub fn narrowed(&self, slots: &[usize]) -> Result<Self, ExecutionError> {
        let mut narrow = Self { slots: slots.len(), ..self.on(self.workspace.device().clone())? };
        let given = [(IMAGES, true), (LABELS, true), (AIMS, self.aimed), (STARTS, self.started)];
        for (name, _) in given.iter().filter(|(_, given)| *given) {
            self.hand_over(name, slots, &mut narrow)?;
        }
        Ok(narrow)
    }

    /// Writes the rows of these slots of a state to another target, one after the other.
    pub fn hand_over(&self, state: &str, slots: &[usize], to: &mut Self) -> Result<(), ExecutionError> {
        let all = self.workspace.read(state)?;
        let len = all.len() / self.slots;
        let rows: Vec<f32> = slots.iter().flat_map(|slot| &all[slot * len..][..len]).copied().collect();
        to.workspace.write(state, &rows)
    }

    /// The values of the network's slots.
    pub fn values(&self) -> Result<Values, ExecutionError> {
        let weights = self.workspace.read(&format!("{NETWORK}.parameters"))?;
        let buffers = match self.net.slots.buffers {
            0 => Vec::new(),
            _ => self.workspace.read(&format!("{NETWORK}.buffers"))?,
        };
        Ok(Values { weights, buffers })
    }

    /// The averaged weights of `model` on `device`, for `slots` images at a time.
    pub fn new(device: &Device, model: &Model, slots: usize) -> Result<Self, ExecutionError> {
        let mut workspace = Workspace::new(device.clone());
        write(&mut workspace, &model.average)?;
        Ok(Self {
            net: model.classifier.clone(),
            workspace,
            slots,
            aimed: false,
            started: false,
            live: false,
        })
    }

    /// The network whose weights live in `workspace`, such as that of a training run, as they are at every moment.
    pub fn live(workspace: &Workspace, net: &Net, slots: usize) -> Self {
        Self {
            net: net.clone(),
            workspace: workspace.share(),
            slots,
            aimed: false,
            started: false,
            live: true,
        }
    }

    /// Images and classes.
    pub fn problem(&self) -> Problem {
        self.net.problem
    }

    /// The network as it is attacked, with its slots in one graph.
    pub fn classifier<'a>(&'a self, states: &'a States) -> Classifier<'a> {
        Classifier::evaluated(&self.net, states)
    }

    /// `[slots, height, width, channels]`.
    pub fn extents(&self) -> [usize; 4] {
        self.problem().batch(self.slots)
    }

    /// Values of one image.
    pub fn pixels(&self) -> usize {
        self.problem().pixels()
    }

    /// The network's slots in `graph`, of which any number of images may be classified.
    pub fn network(&self, graph: &mut Graph) -> Result<States, GraphError> {
        self.net.live(graph, NETWORK)
    }

    /// A new graph.
    pub fn graph(&self) -> Result<AttackGraph, GraphError> {
        let mut graph = Graph::new();
        let states = self.network(&mut graph)?;
        let images = graph.state(IMAGES, &self.extents())?;
        let labels = graph.state(LABELS, &[self.slots, 1])?;
        let aim = self.aimed.then(|| graph.state(AIMS, &[self.slots, 1])).transpose()?;
        let starts = self.started.then(|| graph.state(STARTS, &self.extents())).transpose()?;
        Ok(AttackGraph { graph, states, images, labels, aim, starts })
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

    /// Loads images with their classes, batch after batch, and tells `each` about every one.
    ///
    /// # Errors
    /// If a batch cannot be loaded, and those of `each`.
    pub fn each_batch<E: From<ExecutionError>>(
        &mut self,
        images: &[f32],
        labels: &[usize],
        mut each: impl FnMut(&Self, &Loaded) -> Result<(), E>,
    ) -> Result<(), E> {
        let (pixels, slots) = (self.pixels(), self.slots);
        for first in (0..labels.len()).step_by(slots) {
            let real = slots.min(labels.len() - first);
            let mut batch = images[first * pixels..(first + real) * pixels].to_vec();
            batch.resize(slots * pixels, FILLING);
            let mut classes: Vec<f32> = labels[first..first + real].iter().map(|&l| l as f32).collect();
            classes.resize(slots, 0.0);
            self.load(&batch, &classes)?;
            each(self, &Loaded { images: batch, classes, first, real })?;
        }
        Ok(())
    }
}

/// Slots without an image compute on grey.
pub(super) const FILLING: f32 = 0.5;

/// A batch that a target holds.
pub struct Loaded {
    /// The images, and fillers behind them.
    pub images: Vec<f32>,
    /// Their classes; 0 of fillers.
    pub classes: Vec<f32>,
    /// Index of the first image.
    pub first: usize,
    /// Images that are no fillers.
    pub real: usize,
}
