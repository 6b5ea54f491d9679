//! Arithmetic on robustness curves: spreads over seeds, the same method's distance at another method's accuracy, and
//! which setting matches an accuracy best. Numbers in, numbers out.

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
    /// Mean Carlini-Wagner distance.
    pub distance: f64,
}

/// The distance at `accuracy` on the line through a curve's points in order of their accuracy; `None` outside them.
pub fn at_accuracy(curve: &[Standing], accuracy: f64) -> Option<f64> {
    let mut points = curve.to_vec();
    points.sort_by(|a, b| a.accuracy.total_cmp(&b.accuracy));
    if let Some(exact) = points.iter().find(|p| p.accuracy == accuracy) {
        return Some(exact.distance);
    }
    let pair = points.windows(2).find(|p| p[0].accuracy < accuracy && accuracy < p[1].accuracy)?;
    let share = (accuracy - pair[0].accuracy) / (pair[1].accuracy - pair[0].accuracy);
    Some(pair[0].distance + share * (pair[1].distance - pair[0].distance))
}

/// Accuracies that all curves reach: `count` of them, evenly between the ends of what they share; none if they
/// share nothing.
pub fn shared_accuracies(curves: &[Vec<Standing>], count: usize) -> Vec<f64> {
    let ends = |curve: &Vec<Standing>| Spread::of(&curve.iter().map(|p| p.accuracy).collect::<Vec<_>>());
    let Some(ends) = curves.iter().map(ends).collect::<Option<Vec<_>>>() else { return Vec::new() };
    let low = ends.iter().map(|e| e.low).fold(f64::NEG_INFINITY, f64::max);
    let high = ends.iter().map(|e| e.high).fold(f64::INFINITY, f64::min);
    if ends.is_empty() || low > high {
        return Vec::new();
    }
    (0..count).map(|i| low + (high - low) * (i as f64 + 0.5) / count as f64).collect()
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
        points.iter().map(|&(accuracy, distance)| Standing { accuracy, distance }).collect()
    }

    #[test]
    fn a_distance_at_equal_accuracy_lies_on_the_line_between_two_points() {
        let curve = curve(&[(0.8, 0.1), (0.6, 0.3), (0.7, 0.25)]);
        assert_eq!(at_accuracy(&curve, 0.7), Some(0.25));
        assert!((at_accuracy(&curve, 0.75).unwrap() - 0.175).abs() < 1e-12);
        assert!((at_accuracy(&curve, 0.62).unwrap() - 0.29).abs() < 1e-12);
        assert_eq!(at_accuracy(&curve, 0.59), None);
        assert_eq!(at_accuracy(&curve, 0.81), None);
    }

    #[test]
    fn curves_are_compared_only_where_all_have_points() {
        let (a, b) = (curve(&[(0.5, 0.0), (0.8, 0.0)]), curve(&[(0.6, 0.0), (0.9, 0.0)]));
        let shared = shared_accuracies(&[a.clone(), b], 2);
        assert!((shared[0] - 0.65).abs() < 1e-12 && (shared[1] - 0.75).abs() < 1e-12, "{shared:?}");
        assert!(shared_accuracies(&[a.clone(), curve(&[(0.9, 0.0), (0.95, 0.0)])], 2).is_empty());
        assert!(shared_accuracies(&[a, vec![]], 2).is_empty());
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
