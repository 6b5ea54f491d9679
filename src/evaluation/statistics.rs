//! Means and medians over images, and how far they may be trusted.
//!
//! A measure of a run is one value per image, or none for an image that the measure does not speak of; its
//! statistic over the images that have one comes with a 95 % interval from resampling all images.

use crate::attacks::ImageVerdict;
use crate::random::{Random, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Resamples of the bootstrap.
const RESAMPLES: u32 = 1000;
/// What the interval leaves out on either side.
const TAIL: f64 = 0.025;

/// The sum of `values`. Of none it is 0, where `Iterator::sum` gives -0, which would be printed.
pub fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// Over which images a minimum-norm attack's distances are taken. An image that withstood the attack has no distance in
/// any reading; such failures are counted instead.
///
/// A third reading, R1, would give images that were wrong from the start a distance of their own: how far they are from
/// leaving their wrong class. No attack is run on them here, so R1 is not measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// The images that were fooled.
    R2,
    /// The same and, at distance 0, those that were wrong from the start. Without failures its mean is benign accuracy
    /// times R2's.
    R3,
}

impl Reading {
    /// In order.
    pub const ALL: [Self; 2] = [Self::R2, Self::R3];

    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::R2 => "R2",
            Self::R3 => "R3",
        }
    }

    /// What it is over, for the legend of a table.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::R2 => "the images that were fooled",
            Self::R3 => "R2's and, as 0, those that were wrong from the start",
        }
    }

    /// The distance that counts for one image.
    pub fn distance(self, image: Attacked) -> Option<f64> {
        match (image.verdict, self) {
            (ImageVerdict::Fooled, _) => Some(image.length),
            (ImageVerdict::AlreadyWrong, Self::R3) => Some(0.0),
            (ImageVerdict::AlreadyWrong, Self::R2)
            | (ImageVerdict::Withstood | ImageVerdict::OfTarget, _) => None,
        }
    }
}

/// What a minimum-norm attack did to one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attacked {
    /// What it came to.
    pub verdict: ImageVerdict,
    /// Norm of the perturbation, in the attack's own norm.
    pub length: f64,
}

/// How values become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Their mean.
    Mean,
    /// The middle one, or the mean of the two in the middle.
    Median,
}

impl Statistic {
    /// Of `values`, whose order may change; `None` of nothing.
    pub fn of(self, values: &mut [f64]) -> Option<f64> {
        if values.is_empty() {
            return None;
        }
        match self {
            Self::Mean => Some(values.iter().sum::<f64>() / values.len() as f64),
            Self::Median => {
                let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
                let (below, &mut middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
                let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                Some(if odd { middle } else { f64::midpoint(lower, middle) })
            }
        }
    }
}

/// A statistic with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Over the images at hand.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Images that have a value.
    pub images: usize,
}

/// The statistic of the values that are there, with a percentile bootstrap over all images; `None` if no image has
/// a value.
pub fn estimate(values: &[Option<f64>], statistic: Statistic, seed: u64) -> Option<Estimate> {
    let mut present: Vec<f64> = values.iter().flatten().copied().collect();
    let (value, images) = (statistic.of(&mut present)?, present.len());
    let random = Random::new(seed, Stream::Bootstrap);
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .into_par_iter()
        .map_init(Vec::new, |drawn: &mut Vec<f64>, resample| {
            drawn.clear();
            drawn.extend((0..values.len()).filter_map(|i| values[draw(random, resample, i, values.len())]));
            statistic.of(drawn)
        })
        .flatten()
        .collect();
    resampled.sort_unstable_by(f64::total_cmp);
    let low = quantile(&resampled, TAIL).unwrap_or(value);
    let high = quantile(&resampled, 1.0 - TAIL).unwrap_or(value);
    Some(Estimate { value, low, high, images })
}

/// A share of images, 1 for those that belong to it and 0 for others. Where it is 0 or 1 a bootstrap has nothing to draw from; the
/// interval is then the exact one of Clopper and Pearson (1934).
pub fn estimate_share(values: &[Option<f64>], seed: u64) -> Option<Estimate> {
    let mut estimate = estimate(values, Statistic::Mean, seed)?;
    let end = TAIL.powf(1.0 / estimate.images as f64);
    if estimate.value == 0.0 {
        estimate.high = 1.0 - end;
    } else if estimate.value == 1.0 {
        estimate.low = end;
    }
    Some(estimate)
}

/// Draw `i` of a resample from `0..len`; four draws share one call.
fn draw(random: Random, resample: u32, i: usize, len: usize) -> usize {
    let bits = random.bits(resample, (i / 4) as u32)[i % 4];
    ((u64::from(bits) * len as u64) >> 32) as usize
}

/// The quantile of ascending values, between two of them in proportion.
fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    let at = share * ascending.len().checked_sub(1)? as f64;
    let (below, above) = (ascending[at.floor() as usize], ascending[at.ceil() as usize]);
    Some(below + at.fract() * (above - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four images: fooled at 1, fooled at 3, never fooled, wrong from the start.
    const FOUR: [Attacked; 4] = [
        Attacked { verdict: ImageVerdict::Fooled, length: 1.0 },
        Attacked { verdict: ImageVerdict::Fooled, length: 3.0 },
        Attacked { verdict: ImageVerdict::Withstood, length: 9.0 },
        Attacked { verdict: ImageVerdict::AlreadyWrong, length: 0.0 },
    ];

    #[test]
    fn the_sum_of_nothing_has_no_sign() {
        assert_eq!(
            (format!("{}", sum(std::iter::empty())), sum([0.5, 0.25].into_iter())),
            ("0".into(), 0.75)
        );
    }

    fn mean(images: &[Attacked], reading: Reading) -> f64 {
        let values: Vec<_> = images.iter().map(|&image| reading.distance(image)).collect();
        estimate(&values, Statistic::Mean, 0).unwrap().value
    }

    #[test]
    fn the_readings_differ_in_who_counts_and_a_failure_counts_in_none() {
        assert_eq!(mean(&FOUR, Reading::R2), 2.0);
        assert_eq!(mean(&FOUR, Reading::R3), 4.0 / 3.0);
    }

    #[test]
    fn without_failures_r3_is_benign_accuracy_times_r2() {
        let images = [FOUR[0], FOUR[1], FOUR[3], FOUR[3], FOUR[3]];
        assert_eq!(mean(&images, Reading::R3), 2.0 / 5.0 * mean(&images, Reading::R2));
    }

    #[test]
    fn where_nothing_succeeded_there_is_no_number() {
        let values = [Reading::R2.distance(FOUR[2]), Reading::R2.distance(FOUR[3])];
        assert_eq!(estimate(&values, Statistic::Mean, 0), None);
        assert_eq!(estimate(&[], Statistic::Median, 0), None);
    }

    #[test]
    fn a_median_is_the_middle_value_or_the_mean_of_two() {
        assert_eq!(Statistic::Median.of(&mut [5.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(Statistic::Median.of(&mut [5.0, 1.0, 2.0, 4.0]), Some(3.0));
        assert_eq!(Statistic::Median.of(&mut [7.0]), Some(7.0));
    }

    #[test]
    fn an_interval_covers_the_true_mean_about_as_often_as_it_says() {
        let covered = (0..300).filter(|&seed| {
            let random = Random::new(seed, Stream::Attack);
            let values: Vec<_> = (0..100).map(|i| Some(f64::from(random.normal(1, i)))).collect();
            let estimate = estimate(&values, Statistic::Mean, seed).unwrap();
            estimate.low <= 0.0 && 0.0 <= estimate.high
        });
        // 95 % of 300 are 285; four standard errors are 15, and the percentile form is a little short at 100 values.
        let covered = covered.count();
        assert!((268..=298).contains(&covered), "{covered} of 300");
    }

    #[test]
    fn an_interval_of_a_share_is_as_wide_as_the_binomial_says() {
        let values: Vec<_> = (0..400).map(|i| Some(f64::from(i % 2))).collect();
        let estimate = estimate(&values, Statistic::Mean, 3).unwrap();
        let expected = 2.0 * 1.96 * (0.25_f64 / 400.0).sqrt();
        assert!((estimate.high - estimate.low - expected).abs() < 0.1 * expected, "{estimate:?}");
        assert_eq!((estimate.value, estimate.images), (0.5, 400));
    }

    #[test]
    fn a_share_of_none_or_of_all_is_no_certainty() {
        let share = |broken: f64, images: usize| estimate_share(&vec![Some(broken); images], 0).unwrap();
        // Clopper and Pearson's tables: 0 of 20 reach up to 0.1684.
        let (none, all) = (share(0.0, 20), share(1.0, 20));
        assert_eq!((none.value, none.low, all.value, all.high), (0.0, 0.0, 1.0, 1.0));
        assert!((none.high - 0.1684).abs() < 5e-5 && (all.low - 0.8316).abs() < 5e-5, "{none:?}, {all:?}");
        let some = [Some(0.0), Some(1.0), Some(1.0)];
        assert_eq!(estimate_share(&some, 4), estimate(&some, Statistic::Mean, 4));
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let values: Vec<_> = (0..50).map(|i| Some(f64::from(i * i % 17))).collect();
        let of = |seed| estimate(&values, Statistic::Mean, seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
