//! What is done to pixels before the first layer: `(x − mean) / deviation`, per channel, pixels being in [0, 1].

use super::ModelError;
use serde::{Deserialize, Serialize};

/// A mean and a standard deviation per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Mean per channel, pixels in [0, 1].
    pub mean: Vec<f32>,
    /// Standard deviation per channel.
    pub deviation: Vec<f32>,
}

impl Normalisation {
    /// Refuses another number of means or deviations than `channels`; `node` is the name of the layer.
    pub(crate) fn check(&self, node: &str, channels: usize) -> Result<(), ModelError> {
        let (means, deviations) = (self.mean.len(), self.deviation.len());
        if [means, deviations] == [channels; 2] {
            return Ok(());
        }
        let problem = format!("has {means} means and {deviations} deviations for {channels} channels");
        Err(ModelError::Network { node: node.to_string(), problem })
    }
}

/// Data sets whose mean and standard deviation are published, over all pixels of their training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Published {
    /// 0.4914, 0.4822, 0.4465 and 0.2471, 0.2435, 0.2616
    Cifar10,
    /// 0.5071, 0.4865, 0.4409 and 0.2673, 0.2564, 0.2762
    Cifar100,
    /// 0.1307 and 0.3081
    Mnist,
    /// 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225
    Imagenet,
}

/// As Wong, Rice and Kolter train on CIFAR-10 (2020, `fast_adversarial`); many older repositories divide by the mean
/// deviation within an image, 0.2023, 0.1994, 0.2010, instead.
const CIFAR10: ([f32; 3], [f32; 3]) = ([0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]);

/// As weiaicunzai's `pytorch-cifar100` computes them, rounded to four places.
const CIFAR100: ([f32; 3], [f32; 3]) = ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]);

/// As PyTorch's own example on MNIST has them.
const MNIST: ([f32; 1], [f32; 1]) = ([0.1307], [0.3081]);

/// As torchvision's pretrained networks take them.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

impl Published {
    /// The numbers.
    pub fn normalisation(self) -> Normalisation {
        let (mean, deviation): (&[f32], &[f32]) = match self {
            Self::Cifar10 => (&CIFAR10.0, &CIFAR10.1),
            Self::Cifar100 => (&CIFAR100.0, &CIFAR100.1),
            Self::Mnist => (&MNIST.0, &MNIST.1),
            Self::Imagenet => (&IMAGENET.0, &IMAGENET.1),
        };
        Normalisation { mean: mean.to_vec(), deviation: deviation.to_vec() }
    }
}

/// A normalisation as flags and files say it, in parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// That of a data set, in place of a mean and a deviation.
    pub published: Option<Published>,
    /// One number for all channels, or one for each; 0 where there is none.
    pub mean: &'a [f32],
    /// One number for all channels, or one for each; 1 where there is none.
    pub deviation: &'a [f32],
    /// What the normalised pixels are multiplied by; 255 for a network whose pixels go up to 255.
    pub scale: Option<f32>,
}

impl Parts<'_> {
    /// The normalisation for images of so many channels, if any part is there. With a number of means or deviations that
    /// is not the channels', the network refuses it.
    pub fn normalisation(&self, channels: usize) -> Option<Normalisation> {
        if self.published.is_none()
            && self.mean.is_empty()
            && self.deviation.is_empty()
            && self.scale.is_none()
        {
            return None;
        }
        let each = |given: &[f32], usual: f32| match given {
            [] => vec![usual; channels],
            [one] => vec![*one; channels],
            several => several.to_vec(),
        };
        let own = || Normalisation { mean: each(self.mean, 0.0), deviation: each(self.deviation, 1.0) };
        let mut by = self.published.map_or_else(own, Published::normalisation);
        let scale = self.scale.unwrap_or(1.0);
        by.deviation.iter_mut().for_each(|deviation| *deviation /= scale);
        Some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_left_out_do_nothing_and_one_number_is_for_all_channels() {
        assert_eq!(Parts::default().normalisation(3), None);
        let by = Parts { mean: &[0.5], scale: Some(4.0), ..Parts::default() }.normalisation(2).unwrap();
        assert_eq!((by.mean, by.deviation), (vec![0.5; 2], vec![0.25; 2]));
        let by = Parts { deviation: &[0.5, 0.25], ..Parts::default() }.normalisation(2).unwrap();
        assert_eq!((by.mean, by.deviation), (vec![0.0; 2], vec![0.5, 0.25]));
        let by = Parts { published: Some(Published::Mnist), ..Parts::default() }.normalisation(1).unwrap();
        assert_eq!((by.mean, by.deviation), (vec![0.1307], vec![0.3081]));
    }
}
