//! Which attacks the experiments make, counted before any of them is run: an upper bound, because most images are
//! fooled before an attack has used up its iterations.
//!
//! Figure 6 and table 4, a single pass of a generator over few images, are not counted.

use super::Experiment;
use super::plan::{self, Run, generator_name};
use super::settings::{DEFENSES, METHODS, Settings};
use crate::attacks::{AttackKind, AttackOptions};
use crate::nn::Network;
use crate::training::Method;
use crate::training::run::kept_name;

/// Forward and gradient passes around every attack that look at clean and at attacked images.
const JUDGING: f64 = 2.0;
/// Passes of an evaluation's check with a huge radius.
const HUGE_RADIUS: f64 = 20.0;

/// One attack on one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The run or one of its files; if there are several, one of them, which training will tell.
    pub runs: Vec<String>,
    /// Its classifier's network and width.
    pub of: (Network, f32),
    /// The attack.
    pub options: AttackOptions,
    /// Only so many test images.
    pub limit: Option<usize>,
    /// Forward and gradient passes over each image, at most.
    pub passes: f64,
}

/// The attacks of some experiments, each once.
pub fn attacks(experiments: &[Experiment], settings: &Settings, classes: usize) -> Vec<Planned> {
    let mut all: Vec<Planned> = Vec::new();
    for planned in experiments.iter().flat_map(|&e| of(e, &Planner { settings, classes })) {
        let same = |known: &&mut Planned| {
            (&known.runs, &known.options, known.limit) == (&planned.runs, &planned.options, planned.limit)
        };
        match all.iter_mut().find(same) {
            Some(known) => known.passes = known.passes.max(planned.passes),
            None => all.push(planned),
        }
    }
    all
}

fn of(experiment: Experiment, planner: &Planner) -> Vec<Planned> {
    let settings = planner.settings;
    let over = |methods: &[Method]| -> Vec<Run> {
        let curves = methods.iter().flat_map(|&method| plan::curve(settings, method));
        curves.flat_map(|(_, runs)| runs).collect()
    };
    match experiment {
        Experiment::Beyond => plan::beyond(settings).iter().flat_map(|run| planner.beyond(run)).collect(),
        Experiment::Table2 | Experiment::Table3 => planner.table(),
        Experiment::Table4 | Experiment::Figure6 => Vec::new(),
        Experiment::Figure2 => {
            let run = plan::over_epochs(settings);
            let every = settings.epochs_between_looks() as usize;
            let epochs = (every as u32..=settings.base.epochs).step_by(every);
            let looks = epochs.flat_map(|epoch| {
                let file = format!("{}/checkpoints/{}", run.name(settings), kept_name(epoch));
                planner.standing(file, &run)
            });
            planner.standings(&over(&[Method::NATURAL, Method::FGM])).into_iter().chain(looks).collect()
        }
        Experiment::Figure3 => {
            plan::fixed_classifiers(settings).iter().flat_map(|r| planner.radii(r)).collect()
        }
        Experiment::Figure4 => {
            let cw = |run: Run| planner.one(vec![run.name(settings)], &run, settings.attack(AttackKind::CW));
            over(&DEFENSES).into_iter().map(cw).collect()
        }
        Experiment::Figure5 => planner.standings(&over(&METHODS)),
        Experiment::Figure7 => {
            let methods = [Method::FGM, Method::PGN];
            let at = |&width: &f32| methods.map(|method| plan::at_width(settings, method, width)).concat();
            planner.standings(&settings.widths.iter().flat_map(at).collect::<Vec<_>>())
        }
        Experiment::Figure8 => {
            let runs: Vec<Run> = plan::ablations(settings).into_iter().flat_map(|(_, runs)| runs).collect();
            planner.standings(&runs)
        }
    }
}

struct Planner<'a> {
    settings: &'a Settings,
    classes: usize,
}

impl Planner<'_> {
    /// An attack on as many images as the scale says, on one of `runs`, whose classifiers are like that of `run`.
    fn one(&self, runs: Vec<String>, run: &Run, options: AttackOptions) -> Planned {
        let passes = options.passes(self.classes) + JUDGING;
        let of = (run.network.unwrap_or(self.settings.base.network), run.width);
        Planned { runs, of, options, limit: Some(self.settings.attack_images), passes }
    }

    /// What a point of a robustness curve takes: benign accuracy over all test images, and Carlini-Wagner.
    fn standing(&self, name: String, run: &Run) -> [Planned; 2] {
        let benign = self.one(vec![name.clone()], run, self.settings.attack(AttackKind::FGM));
        let cw = self.one(vec![name], run, self.settings.attack(AttackKind::CW));
        [Planned { limit: None, ..benign }, cw]
    }

    fn standings(&self, runs: &[Run]) -> Vec<Planned> {
        runs.iter().flat_map(|run| self.standing(run.name(self.settings), run)).collect()
    }

    /// Benign accuracy over all test images, the quick verdict, and minimum-norm attacks.
    fn beyond(&self, run: &Run) -> Vec<Planned> {
        let name = run.name(self.settings);
        let one = |options| self.one(vec![name.clone()], run, options);
        let attacks = self.settings.quick_verdict().into_iter().chain(self.settings.beyond_searches());
        let benign = Planned { limit: None, ..one(self.settings.attack(AttackKind::FGM)) };
        std::iter::once(benign).chain(attacks.map(one)).collect()
    }

    /// Figure 3's attacks on a fixed classifier.
    fn radii(&self, run: &Run) -> Vec<Planned> {
        let name = run.name(self.settings);
        let at = |&radius: &f32| {
            let by_epsilon = [AttackKind::FGM, AttackKind::PGD].map(|kind| {
                let options = AttackOptions { epsilon: radius, ..self.settings.attack(kind) };
                self.one(vec![name.clone()], run, options)
            });
            let options = AttackOptions { radius: Some(radius), ..self.settings.attack(AttackKind::PGN) };
            let generator = self.one(vec![generator_name(&name)], run, options);
            by_epsilon.into_iter().chain([generator]).collect::<Vec<_>>()
        };
        self.settings.radii.iter().flat_map(at).collect()
    }

    /// One column per method; which setting of its grid it shows, validation accuracy will tell.
    fn table(&self) -> Vec<Planned> {
        let mut all = Vec::new();
        for method in METHODS {
            let curve = plan::curve(self.settings, method);
            for (index, _) in self.settings.seeds.iter().enumerate() {
                let runs: Vec<&Run> = curve.iter().map(|(_, runs)| &runs[index]).collect();
                let names: Vec<String> = runs.iter().map(|run| run.name(self.settings)).collect();
                let one = |kind| self.one(names.clone(), runs[0], self.settings.attack(kind));
                let mut mim = one(AttackKind::MIM);
                // With half the steps at the radius and at twice of it, and made on the source and on the twin.
                mim.passes = 4.0 * mim.passes + HUGE_RADIUS;
                let benign = Planned { limit: None, ..one(AttackKind::FGM) };
                all.extend([
                    benign,
                    one(AttackKind::FGM),
                    mim,
                    one(AttackKind::DEEPFOOL),
                    one(AttackKind::CW),
                ]);
                let searches = self.settings.searches().into_iter();
                all.extend(searches.map(|options| self.one(names.clone(), runs[0], options)));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::Scale;

    fn settings() -> Settings {
        Settings::new(Scale::Small, Scale::Small.dataset(), None)
    }

    #[test]
    fn every_point_of_a_curve_costs_carlini_wagner_and_benign_accuracy() {
        let all = attacks(&[Experiment::Figure5], &settings(), 10);
        let of = |kind| all.iter().filter(move |planned| planned.options.kind == kind);
        assert_eq!((of(AttackKind::CW).count(), of(AttackKind::FGM).count(), all.len()), (20, 20, 40));
        // Five search steps of a hundred iterations.
        assert!(of(AttackKind::CW).all(|planned| planned.passes == 502.0 && planned.limit == Some(200)));
        assert!(of(AttackKind::FGM).all(|planned| planned.passes == 3.0 && planned.limit.is_none()));
    }

    #[test]
    fn attacks_of_beyond_know_the_network_that_they_are_on() {
        let all = attacks(&[Experiment::Beyond], &settings(), 10);
        let on = |name: &str| all.iter().filter(|planned| planned.of.0.name() == name).count();
        assert_eq!((on("all-convolutional"), on("resnet18")), (all.len() / 2, all.len() / 2));
    }

    #[test]
    fn what_experiments_share_is_counted_once() {
        let settings = settings();
        let curve = attacks(&[Experiment::Figure5], &settings, 10);
        assert_eq!(attacks(&[Experiment::Figure5, Experiment::Figure4], &settings, 10), curve);
        // Six epochs of one run more.
        let more = attacks(&[Experiment::Figure5, Experiment::Figure2], &settings, 10);
        assert_eq!(more.len(), curve.len() + 2 * 6);
        // Three attacks at five radii on two classifiers.
        assert_eq!(attacks(&[Experiment::Figure3], &settings, 10).len(), 3 * 5 * 2);
        // Five attacks and four more searches for four methods and two seeds.
        assert_eq!(attacks(&[Experiment::Table3], &settings, 10).len(), (5 + 4) * 4 * 2);
    }
}
