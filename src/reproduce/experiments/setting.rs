//! The settings of a curve: a strength each, with where the runs of its seeds stand; as points of a figure, and seed by
//! seed.

use super::present;
use crate::report::{Mark, Point, Series};
use crate::reproduce::curve::{SeedCurve, Spread, Standing};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan::Run;
use crate::training::defenses::Strength;

/// One setting of a method: its runs over the seeds, those that are there.
pub struct Setting {
    /// How strong perturbations are; `None` for naive training.
    pub strength: Option<f32>,
    /// Where the run of each seed stands.
    pub standings: Vec<(u64, Standing)>,
}

/// The settings of a curve, with every run where `standing` says; what is missing goes to `missing`.
pub fn settings_of(
    lab: &Lab,
    curve: Vec<(Option<f32>, Vec<Run>)>,
    standing: impl Fn(&str) -> Found<Standing>,
    missing: &mut Vec<Missing>,
) -> Vec<Setting> {
    let at = |run: &Run| -> Found<(u64, Standing)> { Ok((run.seed, standing(&run.name(lab.settings))?)) };
    let setting = |(strength, runs): (Option<f32>, Vec<Run>)| Setting {
        strength,
        standings: present(runs.iter().map(at), missing),
    };
    curve.into_iter().map(setting).collect()
}

impl Setting {
    /// Mean, lowest and highest over the seeds.
    pub fn spread(&self, of: fn(&Standing) -> f64) -> Option<Spread> {
        Spread::of(&self.standings.iter().map(|(_, standing)| of(standing)).collect::<Vec<_>>())
    }

    fn point(&self, strength: Option<Strength>) -> Option<Point> {
        let (x, y) = (self.spread(|s| s.accuracy)?, self.spread(|s| s.robustness)?);
        let seeds = over_seeds(x.count);
        let label = match strength.zip(self.strength) {
            Some((of, value)) => format!("{} {value}, {seeds}", of.symbol),
            None => seeds,
        };
        Some(Point { x: x.mean, y: y.mean, x_spread: x.range(), y_spread: y.range(), label })
    }
}

/// What a point is of.
pub fn over_seeds(count: usize) -> String {
    if count == 1 { "1 seed".to_string() } else { format!("mean of {count} seeds") }
}

/// The settings as a series; without a `strength` to vary they are joined by no line.
pub fn series(name: String, strength: Option<Strength>, settings: &[Setting]) -> Series {
    let mark = if strength.is_none() { Mark::Points } else { Mark::LineAndPoints };
    Series { name, mark, points: settings.iter().filter_map(|setting| setting.point(strength)).collect() }
}

/// The settings' runs seed by seed, each seed's with a curve of their own.
pub fn seed_curves(settings: &[Setting]) -> Vec<SeedCurve> {
    let mut curves: Vec<SeedCurve> = Vec::new();
    for &(seed, standing) in settings.iter().flat_map(|setting| &setting.standings) {
        match curves.iter_mut().find(|curve| curve.seed == seed) {
            Some(curve) => curve.points.push(standing),
            None => curves.push(SeedCurve { seed, points: vec![standing] }),
        }
    }
    curves.sort_by_key(|curve| curve.seed);
    curves
}
