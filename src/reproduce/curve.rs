//! Arithmetic on robustness curves: spreads over seeds, a method's robustness at another method's accuracy, and
//! which setting matches an accuracy best. Numbers in, numbers out.

/// Accuracies at which methods are compared.
pub const MATCHED: usize = 3;

/// Mean, lowest and highest of some values; `None` of nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
    /// How many.
    pub count: usize,
}

impl Spread {
    /// Of `values`.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        (count > 0).then(|| Self {
            mean: values.iter().sum::<f64>() / count as f64,
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            count,
        })
    }

    /// Lowest and highest, if they differ.
    pub fn range(&self) -> Option<[f64; 2]> {
        (self.low < self.high).then_some([self.low, self.high])
    }

    /// `0.5120 [0.5010, 0.5230]`, or the mean alone where there is no spread.
    pub fn text(&self, decimals: usize) -> String {
        match self.range() {
            Some([low, high]) => format!("{:.decimals$} [{low:.decimals$}, {high:.decimals$}]", self.mean),
            None => format!("{:.decimals$}", self.mean),
        }
    }
}

/// One classifier on a robustness curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Benign accuracy.
    pub accuracy: f64,
    /// How hard the classifier is to fool, in the figure's unit: a distance, or the accuracy under attack.
    pub robustness: f64,
}

/// The robustness at `accuracy` on the line through a curve's points in order of their accuracy; `None` outside them. Points
/// of the same accuracy count as one, their mean.
pub fn at_accuracy(curve: &[Standing], accuracy: f64) -> Option<f64> {
    let mut points = curve.to_vec();
    points.sort_by(|a, b| a.accuracy.total_cmp(&b.accuracy));
    let merged = |tied: &[Standing]| Standing {
        accuracy: tied[0].accuracy,
        robustness: tied.iter().map(|p| p.robustness).sum::<f64>() / tied.len() as f64,
    };
    let points: Vec<Standing> = points.chunk_by(|a, b| a.accuracy == b.accuracy).map(merged).collect();
    if let Some(exact) = points.iter().find(|p| p.accuracy == accuracy) {
        return Some(exact.robustness);
    }
    let pair = points.windows(2).find(|p| p[0].accuracy < accuracy && accuracy < p[1].accuracy)?;
    let share = (accuracy - pair[0].accuracy) / (pair[1].accuracy - pair[0].accuracy);
    Some(pair[0].robustness + share * (pair[1].robustness - pair[0].robustness))
}

/// Accuracies that all curves reach: `count` of them, evenly between the ends of what they share, or the only one;
/// none if they share nothing.
pub fn shared_accuracies(curves: &[Vec<Standing>], count: usize) -> Vec<f64> {
    let ends = |curve: &Vec<Standing>| Spread::of(&curve.iter().map(|p| p.accuracy).collect::<Vec<_>>());
    let Some(ends) = curves.iter().map(ends).collect::<Option<Vec<_>>>() else { return Vec::new() };
    let low = ends.iter().map(|e| e.low).fold(f64::NEG_INFINITY, f64::max);
    let high = ends.iter().map(|e| e.high).fold(f64::INFINITY, f64::min);
    if ends.is_empty() || low > high {
        return Vec::new();
    }
    let count = if low < high { count } else { 1 };
    (0..count).map(|i| low + (high - low) * (i as f64 + 0.5) / count as f64).collect()
}

/// A method's curve as one seed has it.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedCurve {
    /// The seed.
    pub seed: u64,
    /// Its points, in any order.
    pub points: Vec<Standing>,
}

/// Where methods can be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched {
    /// The accuracies; none if the methods are nowhere alike.
    pub accuracies: Vec<f64>,
    /// Whether every seed's curve of every method reaches all of them, not only some seed of every method.
    pub by_every_seed: bool,
}

/// Up to `count` accuracies that every seed's curve of every method reaches; if there is none, accuracies between
/// the lowest and the highest of every method, whichever seed has them.
pub fn matched_accuracies(methods: &[Vec<SeedCurve>], count: usize) -> Matched {
    let own: Vec<Vec<Standing>> = methods.iter().flatten().map(|curve| curve.points.clone()).collect();
    let accuracies = shared_accuracies(&own, count);
    if !accuracies.is_empty() && methods.iter().all(|seeds| !seeds.is_empty()) {
        return Matched { accuracies, by_every_seed: true };
    }
    let together = |seeds: &Vec<SeedCurve>| seeds.iter().flat_map(|curve| curve.points.clone()).collect();
    let together: Vec<Vec<Standing>> = methods.iter().map(together).collect();
    Matched { accuracies: shared_accuracies(&together, count), by_every_seed: false }
}

/// What the curves of a method's seeds say at an accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Mean, lowest and highest over the seeds whose curve reaches it.
    pub robustness: Option<Spread>,
    /// The seeds whose curve does, each with its own robustness.
    pub by_seed: Vec<(u64, f64)>,
    /// The seeds whose curve does not.
    pub others: Vec<u64>,
}

impl Reached {
    /// Reads every seed's own curve at `accuracy`.
    pub fn new(seeds: &[SeedCurve], accuracy: f64) -> Self {
        let (mut by_seed, mut others) = (Vec::new(), Vec::new());
        for curve in seeds {
            match at_accuracy(&curve.points, accuracy) {
                Some(robustness) => by_seed.push((curve.seed, robustness)),
                None => others.push(curve.seed),
            }
        }
        let own: Vec<f64> = by_seed.iter().map(|(_, robustness)| *robustness).collect();
        Self { robustness: Spread::of(&own), by_seed, others }
    }

    /// What a seed's curve has there.
    fn of_seed(&self, seed: u64) -> Option<f64> {
        self.by_seed.iter().find(|(own, _)| *own == seed).map(|(_, robustness)| *robustness)
    }
}

/// How far the last of `methods` is ahead of the best of the others at an accuracy, for each seed whose curves of all
/// methods reach it: seeds are compared with themselves, so that what a method owes to its seeds counts for nobody.
pub fn leads(methods: &[Vec<SeedCurve>], accuracy: f64) -> Vec<f64> {
    let reached: Vec<Reached> = methods.iter().map(|seeds| Reached::new(seeds, accuracy)).collect();
    let Some((own, others)) = reached.split_last() else { return Vec::new() };
    let lead = |&(seed, robustness): &(u64, f64)| {
        let others = others.iter().map(|other| other.of_seed(seed)).collect::<Option<Vec<f64>>>()?;
        let best = others.into_iter().max_by(f64::total_cmp)?;
        Some(robustness - best)
    };
    own.by_seed.iter().filter_map(lead).collect()
}

/// Index of the value nearest to `target`; of two as near, the later.
pub fn nearest(values: &[f64], target: f64) -> Option<usize> {
    let distance = |&i: &usize| (values[i] - target).abs();
    (0..values.len()).rev().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Vec<Standing> {
        points.iter().map(|&(accuracy, robustness)| Standing { accuracy, robustness }).collect()
    }

    #[test]
    fn the_robustness_at_equal_accuracy_lies_on_the_line_between_two_points() {
        let curve = curve(&[(0.8, 0.1), (0.6, 0.3), (0.7, 0.25)]);
        assert_eq!(at_accuracy(&curve, 0.7), Some(0.25));
        assert!((at_accuracy(&curve, 0.75).unwrap() - 0.175).abs() < 1e-12);
        assert!((at_accuracy(&curve, 0.62).unwrap() - 0.29).abs() < 1e-12);
        assert_eq!(at_accuracy(&curve, 0.59), None);
        assert_eq!(at_accuracy(&curve, 0.81), None);
        let tied = [(0.5, 0.25), (0.75, 0.5), (0.75, 0.25), (1.0, 0.125)];
        let turned: Vec<(f64, f64)> = tied.iter().rev().copied().collect();
        for points in [&tied[..], &turned] {
            assert_eq!(at_accuracy(&self::curve(points), 0.75), Some(0.375));
            assert_eq!(at_accuracy(&self::curve(points), 0.875), Some(0.25), "beside them, too");
        }
    }

    #[test]
    fn curves_are_compared_only_where_all_have_points() {
        let (a, b) = (curve(&[(0.5, 0.0), (0.8, 0.0)]), curve(&[(0.6, 0.0), (0.9, 0.0)]));
        let shared = shared_accuracies(&[a.clone(), b], 2);
        assert!((shared[0] - 0.65).abs() < 1e-12 && (shared[1] - 0.75).abs() < 1e-12, "{shared:?}");
        assert!(shared_accuracies(&[a.clone(), curve(&[(0.9, 0.0), (0.95, 0.0)])], 2).is_empty());
        assert!(shared_accuracies(&[a, vec![]], 2).is_empty());
    }

    fn seeds(curves: &[&[(f64, f64)]]) -> Vec<SeedCurve> {
        (0..).zip(curves).map(|(seed, points)| SeedCurve { seed, points: curve(points) }).collect()
    }

    #[test]
    fn the_mean_at_an_accuracy_lies_between_the_seeds_readings() {
        // The line through the settings' mean points passes (0.625, 0.75), where only seed 0 is, with 0.5.
        let method = seeds(&[&[(0.5, 0.5), (0.75, 0.5)], &[(0.75, 1.0), (1.0, 0.0)]]);
        for step in 0..=32 {
            let reached = Reached::new(&method, 0.5 + f64::from(step) / 64.0);
            let spread = reached.robustness.expect("some seed reaches it");
            assert!(spread.low <= spread.mean && spread.mean <= spread.high, "{spread:?}");
            assert_eq!(spread.count, reached.by_seed.len());
            assert_eq!(reached.by_seed.len() + reached.others.len(), 2);
        }
        let reached = Reached::new(&method, 0.75);
        assert_eq!(reached.robustness, Some(Spread { mean: 0.75, low: 0.5, high: 1.0, count: 2 }));
        let reached = Reached::new(&method, 0.875);
        assert_eq!((reached.robustness.unwrap().mean, reached.others), (0.5, vec![0]));
        assert_eq!(Reached::new(&method, 0.4).robustness, None);
    }

    #[test]
    fn methods_are_compared_where_every_seed_has_a_curve_if_that_is_anywhere() {
        let a = seeds(&[&[(0.5, 0.0), (0.8, 0.0)], &[(0.6, 0.0), (0.9, 0.0)]]);
        let b = seeds(&[&[(0.4, 0.0), (0.7, 0.0)]]);
        let matched = matched_accuracies(&[a.clone(), b.clone()], 1);
        assert!(matched.by_every_seed && (matched.accuracies[0] - 0.65).abs() < 1e-12, "{matched:?}");
        // Seed 1 of this one is below everything that seed 1 of `a` has.
        let c = seeds(&[&[(0.7, 0.0), (0.8, 0.0)], &[(0.1, 0.0), (0.2, 0.0)]]);
        let matched = matched_accuracies(&[a.clone(), c], 1);
        assert!(!matched.by_every_seed && (matched.accuracies[0] - 0.65).abs() < 1e-12, "{matched:?}");
        let nowhere = matched_accuracies(&[a.clone(), seeds(&[&[(0.1, 0.0), (0.2, 0.0)]])], 1);
        assert!(!nowhere.by_every_seed && nowhere.accuracies.is_empty(), "{nowhere:?}");
        assert!(matched_accuracies(&[a, Vec::new()], 1).accuracies.is_empty());
    }

    #[test]
    fn only_seeds_that_all_methods_have_in_common_are_compared_and_each_with_itself() {
        // Seed 0 is ahead by 0.5 and seed 1 behind by 0.25, though the means are ahead.
        let a = seeds(&[&[(0.5, 1.0), (0.75, 1.0)], &[(0.5, 2.0), (0.75, 2.0)]]);
        let b = seeds(&[&[(0.5, 1.5), (0.75, 1.5)], &[(0.5, 1.75), (0.75, 1.75)]]);
        assert_eq!(leads(&[a.clone(), b.clone()], 0.625), [0.5, -0.25]);
        // A method that only seed 1 has there leaves seed 1, and is the best of the others.
        let c = seeds(&[&[(0.1, 9.0)], &[(0.5, 3.0), (0.75, 3.0)]]);
        assert_eq!(leads(&[a.clone(), c, b.clone()], 0.625), [-1.25]);
        assert!(leads(&[a, seeds(&[]), b.clone()], 0.625).is_empty());
        assert!(leads(&[b], 0.625).is_empty());
    }

    #[test]
    fn of_two_settings_as_near_the_stronger_is_taken() {
        assert_eq!(nearest(&[0.875, 0.75, 0.625], 0.75), Some(1));
        assert_eq!(nearest(&[0.875, 0.75], 0.8125), Some(1));
        assert_eq!(nearest(&[], 0.8), None);
    }

    #[test]
    fn a_spread_of_one_seed_is_no_spread() {
        assert_eq!(Spread::of(&[0.5]).unwrap().text(4), "0.5000");
        assert_eq!(Spread::of(&[0.5, 0.25]).unwrap().text(2), "0.38 [0.25, 0.50]");
        assert_eq!(Spread::of(&[]), None);
    }
}
