//! The named networks, with parameter names as their common PyTorch repositories have them.
//!
//! A network is one file here and one line in [`ARCHITECTURES`]; everything else reads that list.

mod all_convolutional;
mod preact_resnet;
mod resnet;
mod vgg;
mod wide_resnet;

use super::builder::Builder;
use super::net::{Net, Value};
use super::{ModelError, Normalisation, Problem, SMALLEST_WIDTH};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

pub use all_convolutional::scales;

/// What a builder of the zoo is told.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Images and classes.
    pub problem: Problem,
    /// Width multiplier; 1 is the published one.
    pub width: f32,
    /// What happens to pixels before the first layer.
    pub normalisation: Option<&'a Normalisation>,
}

impl Plan<'_> {
    /// A plan without normalisation.
    pub fn new(problem: Problem, width: f32) -> Self {
        Self { problem, width, normalisation: None }
    }
}

/// One architecture.
#[derive(Debug)]
pub struct Architecture {
    /// As on the command line and in files.
    pub name: &'static str,
    /// One line for help, with the source.
    pub title: &'static str,
    /// Appends everything from the images to the logits.
    layers: fn(&mut Builder, Value, Plan) -> Value,
}

/// Every architecture, the default first.
pub static ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "all-convolutional",
        title: "Table 1 of the PGN paper; CleverHans' all-convolutional model",
        layers: all_convolutional::layers,
    },
    Architecture {
        name: "resnet18",
        title: "ResNet-18 for CIFAR (He et al. 2016, 3x3 stem)",
        layers: resnet::layers,
    },
    Architecture {
        name: "preact-resnet18",
        title: "ResNet-18 with normalisation before convolution (He et al. 2016b)",
        layers: preact_resnet::layers,
    },
    Architecture {
        name: "wide-resnet-34-10",
        title: "WideResNet-34-10, on which TRADES was published (Zagoruyko and Komodakis 2016)",
        layers: wide_resnet::depth_34_width_10,
    },
    Architecture {
        name: "wide-resnet-28-10",
        title: "WideResNet-28-10 (Zagoruyko and Komodakis 2016)",
        layers: wide_resnet::depth_28_width_10,
    },
    Architecture {
        name: "wide-resnet-16-4",
        title: "WideResNet-16-4 (Zagoruyko and Komodakis 2016)",
        layers: wide_resnet::depth_16_width_4,
    },
    Architecture {
        name: "vgg11",
        title: "VGG-11 with batch normalisation, for CIFAR (Simonyan and Zisserman 2015)",
        layers: vgg::layers,
    },
];

/// Stands for a network that was read from a file of another program. It is data and cannot be built anew.
static IMPORTED: Architecture = Architecture {
    name: "imported",
    title: "the network of the ONNX file that `from` names",
    layers: |_, images, _| images,
};

/// The name of an architecture of the zoo, or [`Network::imported`].
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(&'static Architecture);

impl Network {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ARCHITECTURES.iter().map(Self)
    }

    /// What stands for a network that was read from a file of another program.
    pub fn imported() -> Self {
        Self(&IMPORTED)
    }

    /// Whether this is [`Network::imported`].
    pub fn is_imported(self) -> bool {
        self == Self::imported()
    }

    /// As on the command line and in files.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// One line for help.
    pub fn title(self) -> &'static str {
        self.0.title
    }

    /// Whether it computes with statistics of the batch in training. Of an imported network only its file tells; it may.
    pub fn has_batch_statistics(self) -> bool {
        if self.is_imported() {
            return true;
        }
        let plan = Plan::new(Problem::square(32, 3, 10), SMALLEST_WIDTH);
        self.build(plan).is_ok_and(|net| net.has_batch_statistics())
    }

    /// The network for a plan.
    ///
    /// # Errors
    /// If a size is out of its range, or the images are too small for the network's pooling.
    pub fn build(self, plan: Plan) -> Result<Net, ModelError> {
        plan.problem.check(plan.width)?;
        if self.is_imported() {
            return Err(ModelError::Imported);
        }
        let mut builder = Builder::new(plan.problem);
        let mut x = builder.images();
        if let Some(normalisation) = plan.normalisation {
            x = builder.normalise(x, "normalise", normalisation);
        }
        (self.0.layers)(&mut builder, x, plan);
        builder.finish()
    }
}

impl Default for Network {
    fn default() -> Self {
        Self(&ARCHITECTURES[0])
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Network {}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || ARCHITECTURES.iter().map(|a| a.name).collect::<Vec<_>>().join(", ");
        Self::all()
            .chain([Self::imported()])
            .find(|network| network.name() == name)
            .ok_or_else(|| format!("{name:?} is no network here; there are {}", names()))
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.name().to_string()
    }
}

/// Channels at a width, at least 1.
pub fn scaled(channels: usize, width: f32) -> usize {
    ((channels as f32 * width).round() as usize).max(1)
}

/// Makes the initial weights of a last linear layer 1 / sqrt(fan-in) under `init` he: no ReLU follows it.
pub(crate) const LAST_GAIN: f32 = std::f32::consts::FRAC_1_SQRT_2;

#[cfg(test)]
mod tests {
    use super::*;

    const CIFAR: Problem = Problem { height: 32, width: 32, channels: 3, classes: 10 };

    fn parameters(name: &str) -> usize {
        let network: Network = name.parse().unwrap();
        network.build(Plan { problem: CIFAR, width: 1.0, normalisation: None }).unwrap().parameters()
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        assert_eq!(parameters("all-convolutional"), 2_334_730);
        assert_eq!(parameters("resnet18"), 11_173_962);
        assert_eq!(parameters("preact-resnet18"), 11_171_146);
        assert_eq!(parameters("wide-resnet-34-10"), 46_160_474);
        assert_eq!(parameters("wide-resnet-28-10"), 36_479_194);
        assert_eq!(parameters("wide-resnet-16-4"), 2_748_890);
        assert_eq!(parameters("vgg11"), 9_231_114);
    }

    #[test]
    fn every_network_takes_images_that_are_not_square_and_one_to_four_channels() {
        for network in Network::all() {
            for channels in 1..=4 {
                let problem = Problem { height: 32, width: 64, channels, classes: 3 };
                let net = network.build(Plan { problem, width: 0.125, normalisation: None }).unwrap();
                assert_eq!(net.extents().unwrap().last().unwrap().len(), 3, "{network}");
            }
        }
    }

    #[test]
    fn an_unknown_network_is_refused_with_the_known_ones() {
        let error = "resnet19".parse::<Network>().unwrap_err();
        assert!(error.contains("resnet19") && error.contains("resnet18"), "{error}");
    }

    #[test]
    fn images_too_small_for_the_pooling_are_refused_by_name() {
        let problem = Problem { height: 8, width: 8, channels: 3, classes: 3 };
        let vgg: Network = "vgg11".parse().unwrap();
        let error = vgg.build(Plan { problem, width: 0.125, normalisation: None }).unwrap_err().to_string();
        assert!(error.contains("pool") && error.contains("1x1"), "{error}");
    }
}
