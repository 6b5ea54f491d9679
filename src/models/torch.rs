//! Networks whose file holds names and shapes alone: a `state_dict` of one of the repositories that most people train with.
//! Names tell the family, shapes the width, names again the depth. Nothing is guessed that is not written here.
//!
//! | names | network | repositories |
//! | --- | --- | --- |
//! | `conv1`, `bn1`, `layer1.0.conv1`, …, `linear` or `fc` | residual, basic or bottleneck blocks | kuangliu's pytorch-cifar, torchvision |
//! | the same without `bn1`; perhaps a last `bn` | residual, normalisation before convolution | pytorch-cifar, Rice et al. 2020 |
//! | `conv1`, `block1.layer.0.conv1`, …, `bn1`, `fc` | wide residual | TRADES, `RobustBench` |
//! | `features.0`, …, `classifier` | VGG, see `vgg.rs` | pytorch-cifar, torchvision |
//!
//! A stem of 7x7 has stride 2 and a maximum over 3x3 with stride 2 behind it, as in torchvision; one of 3x3 has neither. The
//! first stage keeps the size of the image, every later one halves it.

use super::vgg;
use crate::graph::{Convolution, Window};
use crate::nn::builder::{Builder, Kernel};
use crate::nn::layer::Pooling;
use crate::nn::net::{Net, Value};
use crate::nn::zoo::LAST_GAIN;
use crate::nn::{Network, Normalisation, Plan, Problem};
use std::collections::BTreeMap;

/// Stages and blocks of a stage beyond which nobody has trained a network of these families.
const MOST_STAGES: usize = 8;
const MOST_BLOCKS: usize = 200;

/// Sides of images that networks are made for, where neither data nor a run tell: with a stem of 3x3 and of 7x7.
pub(super) const SIDES: [usize; 2] = [32, 224];

/// The shapes of a file's tensors by their names, without the wrappers that PyTorch puts before them.
pub(super) struct Shapes<'a>(BTreeMap<&'a str, &'a [usize]>);

/// A network that was found.
pub(super) struct Found {
    /// What it is, for messages.
    pub(super) family: &'static str,
    /// The network of the zoo that it is, or [`Network::imported`].
    pub(super) network: Network,
    /// Its width multiplier; of an imported network none.
    pub(super) width: Option<f32>,
    /// The network.
    pub(super) classifier: Net,
    /// What a user should know, a sentence each.
    pub(super) notes: Vec<String>,
}

/// The families.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Residual,
    PreActivated,
    Wide,
}

impl Family {
    fn title(self) -> &'static str {
        match self {
            Self::Residual => "a residual network",
            Self::PreActivated => "a residual network with normalisation before convolution",
            Self::Wide => "a wide residual network",
        }
    }

    /// The name of a block.
    fn block(self, stage: usize, index: usize) -> String {
        match self {
            Self::Residual | Self::PreActivated => format!("layer{}.{index}", stage + 1),
            Self::Wide => format!("block{}.layer.{index}", stage + 1),
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, String>;

/// The network that the tensors belong to; `None` if the names are those of no family. `expected` is what the data look
/// like.
pub(super) fn infer(shapes: &Shapes, expected: Option<Problem>) -> Option<Result<Found>> {
    let family = match (shapes.has("block1.layer.0.conv1.weight"), shapes.has("layer1.0.conv1.weight")) {
        (true, _) => Family::Wide,
        (_, true) if shapes.has("bn1.weight") => Family::Residual,
        (_, true) => Family::PreActivated,
        _ if vgg::is_vgg(shapes) => return Some(vgg::network(shapes, expected)),
        _ => return None,
    };
    Some(Reading { shapes, family, expected }.network())
}

impl<'a> Shapes<'a> {
    /// Of tensors with these names.
    pub(super) fn new(all: impl Iterator<Item = (&'a str, &'a [usize])>) -> Self {
        Self(all.collect())
    }

    /// Whether there is such a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The extents of a tensor that has this many.
    pub(super) fn get<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let Some(shape) = self.0.get(name) else {
            return Err(format!("the tensor {name} is missing"));
        };
        <[usize; N]>::try_from(*shape)
            .ok()
            .filter(|shape| !shape.contains(&0))
            .ok_or_else(|| format!("the tensor {name} has the shape {shape:?}, and {N} extents are needed"))
    }
}

/// A normalisation that does nothing yet: its numbers are in the file.
pub(super) fn identity(channels: usize) -> Normalisation {
    Normalisation { mean: vec![0.0; channels], deviation: vec![1.0; channels] }
}

struct Reading<'a> {
    shapes: &'a Shapes<'a>,
    family: Family,
    expected: Option<Problem>,
}

impl Reading<'_> {
    fn network(&self) -> Result<Found> {
        let [_, channels, stem, _] = self.shapes.get("conv1.weight")?;
        let head = if self.shapes.has("fc.weight") { "fc" } else { "linear" };
        let [classes, features] = self.shapes.get(&format!("{head}.weight"))?;
        let problem = match self.expected {
            Some(problem) => Problem { channels, classes, ..problem },
            None => Problem::square(SIDES[usize::from(stem >= 7)], channels, classes),
        };
        problem.check(1.0).map_err(|error| error.to_string())?;
        let normalised = self.shapes.has("normalise.mean");
        let classifier = self.build(problem, head, normalised)?;
        let (network, width) = of_zoo(self.shapes, "conv1.weight", &classifier, normalised);
        let last = classifier.extents().ok().and_then(|all| Some(all.get(all.len().checked_sub(2)?)?.len()));
        if let Some(found) = last.filter(|found| *found != features) {
            return Err(format!(
                "the tensor {head}.weight reads {features} numbers, and the mean over all positions gives {found}"
            ));
        }
        let shortcut = self.family == Family::PreActivated && !self.shapes.has("bn.weight");
        let notes = shortcut.then(|| {
            "the blocks' shortcuts read what is normalised, as in pytorch-cifar; in the networks of Wong et al. 2020, whose \
             file looks the same, they do not; export those to ONNX"
                .to_string()
        });
        let family = self.family.title();
        Ok(Found { family, network, width, classifier, notes: notes.into_iter().collect() })
    }

    fn build(&self, problem: Problem, head: &str, normalised: bool) -> Result<Net> {
        let mut net = Builder::new(problem);
        let mut x = net.images();
        if normalised {
            x = net.normalise(x, "normalise", &identity(problem.channels));
        }
        x = self.stem(&mut net, x)?;
        let mut stages = 0;
        while stages < MOST_STAGES && self.has_block(stages, 0) {
            let mut index = 0;
            while index < MOST_BLOCKS && self.has_block(stages, index) {
                let stride = if stages > 0 && index == 0 { 2 } else { 1 };
                x = self.block(&mut net, x, &self.family.block(stages, index), stride)?;
                index += 1;
            }
            stages += 1;
        }
        let last = match self.family {
            Family::Residual => None,
            Family::PreActivated => Some("bn").filter(|bn| self.shapes.has(&format!("{bn}.weight"))),
            Family::Wide => Some("bn1"),
        };
        if let Some(name) = last {
            x = net.batch_norm(x, name);
            x = net.relu(x);
        }
        let x = net.global_mean(x);
        if !self.shapes.has(&format!("{head}.bias")) {
            return Err(format!("the tensor {head}.bias is missing"));
        }
        net.dense(x, head, problem.classes, LAST_GAIN);
        net.finish().map_err(|error| error.to_string())
    }

    fn has_block(&self, stage: usize, index: usize) -> bool {
        self.shapes.has(&format!("{}.conv1.weight", self.family.block(stage, index)))
    }

    /// The first convolution and what belongs to it.
    fn stem(&self, net: &mut Builder, x: Value) -> Result<Value> {
        let [.., size, _] = self.shapes.get::<4>("conv1.weight")?;
        let halved = size >= 7;
        let x = self.convolution(net, x, "conv1", if halved { 2 } else { 1 })?;
        if self.family != Family::Residual {
            return Ok(x);
        }
        let x = net.batch_norm(x, "bn1");
        let x = net.relu(x);
        Ok(if halved {
            net.pool(x, Pooling::Max, Window::new(3, 3).strided(2, 2).padded([[1, 1], [1, 1]]))
        } else {
            x
        })
    }

    fn block(&self, net: &mut Builder, x: Value, name: &str, stride: usize) -> Result<Value> {
        match self.family {
            Family::Residual => self.residual_block(net, x, name, stride),
            Family::PreActivated | Family::Wide => self.preact_block(net, x, name, stride),
        }
    }

    /// Whether a block of three convolutions gives more channels than it computes with, as all do behind a stem of 3x3 but those of
    /// `RegNetX`.
    fn expands(&self, name: &str) -> Result<bool> {
        let [.., size, _] = self.shapes.get::<4>("conv1.weight")?;
        let [inner, ..] = self.shapes.get::<4>(&format!("{name}.conv2.weight"))?;
        let [outer, ..] = self.shapes.get::<4>(&format!("{name}.conv3.weight"))?;
        Ok(size >= 7 || outer > inner)
    }

    /// Two convolutions, or three of which the middle one has the stride, beside the identity or a 1x1 convolution.
    fn residual_block(&self, net: &mut Builder, x: Value, name: &str, stride: usize) -> Result<Value> {
        let bottleneck = self.shapes.has(&format!("{name}.conv3.weight"));
        if bottleneck && !self.expands(name)? {
            return Err(format!(
                "the blocks of {name} do not widen, as those of RegNetX, whose strides the tensors do not tell; export the network \
                 to ONNX"
            ));
        }
        let strides: &[usize] = if bottleneck { &[1, stride, 1] } else { &[stride, 1] };
        let mut y = x;
        for (place, stride) in (1..).zip(strides) {
            y = self.convolution(net, y, &format!("{name}.conv{place}"), *stride)?;
            y = net.batch_norm(y, &format!("{name}.bn{place}"));
            if place < strides.len() {
                y = net.relu(y);
            }
        }
        let beside = match self.shortcut(name, &["shortcut.0", "downsample.0"]) {
            Some(beside) => {
                let x = self.convolution(net, x, &beside, stride)?;
                net.batch_norm(x, &format!("{}1", &beside[..beside.len() - 1]))
            }
            None => Self::identity_beside(net, x, y, name)?,
        };
        let sum = net.add(y, beside);
        Ok(net.relu(sum))
    }

    /// The same with normalisation before convolution; the shortcut reads what the first convolution reads.
    fn preact_block(&self, net: &mut Builder, x: Value, name: &str, stride: usize) -> Result<Value> {
        let y = net.batch_norm(x, &format!("{name}.bn1"));
        let seen = net.relu(y);
        let y = self.convolution(net, seen, &format!("{name}.conv1"), stride)?;
        let y = net.batch_norm(y, &format!("{name}.bn2"));
        let y = net.relu(y);
        let y = self.convolution(net, y, &format!("{name}.conv2"), 1)?;
        let beside = match self.shortcut(name, &["convShortcut", "shortcut.0"]) {
            Some(beside) => self.convolution(net, seen, &beside, stride)?,
            None => Self::identity_beside(net, x, y, name)?,
        };
        Ok(net.add(y, beside))
    }

    /// The name of the convolution beside a block, if there is one.
    fn shortcut(&self, name: &str, names: &[&str]) -> Option<String> {
        let all = names.iter().map(|own| format!("{name}.{own}"));
        all.into_iter().find(|own| self.shapes.has(&format!("{own}.weight")))
    }

    fn identity_beside(net: &Builder, x: Value, y: Value, name: &str) -> Result<Value> {
        match net.extents(x) == net.extents(y) {
            true => Ok(x),
            false => Err(format!(
                "the block {name} changes the size or the channels of its images, and has no convolution beside it (shortcut.0, \
                 downsample.0 or convShortcut)"
            )),
        }
    }

    /// A convolution with the kernel that the file has, padded so that the image keeps its size at stride 1.
    fn convolution(&self, net: &mut Builder, x: Value, name: &str, stride: usize) -> Result<Value> {
        let weight = format!("{name}.weight");
        let [outputs, inputs, size, columns] = self.shapes.get(&weight)?;
        let from = net.extents(x).channels();
        if size != columns || size % 2 == 0 || !from.is_multiple_of(inputs) {
            let shape = [outputs, inputs, size, columns];
            return Err(format!(
                "the tensor {weight} has the shape {shape:?}; it needs a square kernel of odd size for {from} channels"
            ));
        }
        let geometry = Convolution::same(size, 1).grouped(from / inputs);
        let kernel = Kernel::new(size, outputs).geometry(Convolution { stride: [stride; 2], ..geometry });
        let bias = self.shapes.has(&format!("{name}.bias"));
        Ok(net.convolution(x, name, if bias { kernel } else { kernel.without_bias() }))
    }
}

/// The network of the zoo that has these layers and names, with its width; `stem` is the first weight.
pub(super) fn of_zoo(shapes: &Shapes, stem: &str, found: &Net, normalised: bool) -> (Network, Option<f32>) {
    let identity = identity(found.problem.channels);
    let normalisation = normalised.then_some(&identity);
    let first = shapes.get::<4>(stem).map_or(0, |[outputs, ..]| outputs);
    let names = |net: &Net| -> Vec<(String, Vec<usize>)> {
        net.slots.all.iter().map(|slot| (slot.name.clone(), slot.extents.clone())).collect()
    };
    let same = |network: &(Network, f32)| {
        let plan = Plan { problem: found.problem, width: network.1, normalisation };
        network.0.build(plan).is_ok_and(|net| net.nodes == found.nodes && names(&net) == names(found))
    };
    let widths = [64.0, 16.0].map(|usual| first as f32 / usual);
    let all = Network::all().flat_map(|network| widths.map(|width| (network, width)));
    match all.into_iter().find(same) {
        Some((network, width)) => (network, Some(width)),
        None => (Network::imported(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a network whose first block computes with 8 channels and gives `outer`.
    fn refusal(outer: usize) -> String {
        let tensors: [(&str, &[usize]); 12] = [
            ("conv1.weight", &[8, 3, 3, 3]),
            ("bn1.weight", &[8]),
            ("layer1.0.conv1.weight", &[8, 8, 1, 1]),
            ("layer1.0.bn1.weight", &[8]),
            ("layer1.0.conv2.weight", &[8, 4, 3, 3]),
            ("layer1.0.bn2.weight", &[8]),
            ("layer1.0.conv3.weight", &[outer, 8, 1, 1]),
            ("layer1.0.bn3.weight", &[outer]),
            ("layer1.0.shortcut.0.weight", &[outer, 8, 1, 1]),
            ("layer1.0.shortcut.1.weight", &[outer]),
            ("linear.weight", &[10, outer]),
            ("linear.bias", &[10]),
        ];
        match infer(&Shapes::new(tensors.into_iter()), None).expect("a family's names") {
            Ok(_) => String::new(),
            Err(problem) => problem,
        }
    }

    #[test]
    fn networks_whose_strides_their_tensors_do_not_tell_are_refused() {
        assert!(refusal(8).contains("RegNetX"), "{}", refusal(8));
        assert_eq!(refusal(16), "");
    }
}
