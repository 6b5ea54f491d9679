//! Who withstands more at equal benign accuracy, and at which price: the methods of the paper, defenses that people compare
//! with, and variants of PGN, on several networks.
//!
//! A classifier is read by the quick verdict (the images that withstand both of its attacks) and by the median of the
//! smallest perturbations. Contenders are compared in pairs, each pair where both have a curve: an accuracy that all of many
//! curves reach is often nowhere. Every seed of one is set against every seed of the other, so a lead counts as more than the
//! seeds differ only where the lowest of one is above the highest of the other. Leads of equal seeds would ask less: with three
//! seeds, one comparison in eight of two equal methods has all three ahead, and one in twenty has the bands apart.

use super::equal_accuracy::{self, NamedCurves};
use super::notes;
use super::seconds::seconds_on;
use super::setting::{self, Setting, over_seeds, seed_curves, settings_of};
use crate::attacks::{AttackOptions, Norm};
use crate::data::Dataset;
use crate::evaluation::measures::stands_up_to;
use crate::evaluation::record::Record;
use crate::evaluation::statistics::Statistic;
use crate::nn::Network;
use crate::report::{Axis, Block, Cell, Figure, Mark, Point, Section, Series, Table, budget};
use crate::reproduce::Scale;
use crate::reproduce::contenders::Contender;
use crate::reproduce::curve::{MATCHED, Reached, SeedCurve, Spread, Standing, matched_accuracies};
use crate::reproduce::lab::{Found, Lab, Missing};
use crate::reproduce::plan;
use crate::reproduce::settings::TABLE_EPSILON;
use crate::training::Method;
use crate::training::effects::listed;

/// How the robustness of a classifier is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Robustness {
    Verdict,
    Median,
}

impl Robustness {
    const ALL: [Self; 2] = [Self::Verdict, Self::Median];

    fn id(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Median => "median",
        }
    }

    fn title(self) -> String {
        match self {
            Self::Verdict => format!("accuracy under the quick verdict, L2 epsilon {TABLE_EPSILON}"),
            Self::Median => "median of the smallest L2".to_string(),
        }
    }

    fn axis(self) -> Axis {
        match self {
            Self::Verdict => Axis::percent(&self.title()),
            Self::Median => Axis::new(&self.title()),
        }
    }

    /// What it says about a run.
    fn of(self, lab: &Lab, run: &str) -> Found<f64> {
        match self {
            Self::Verdict => verdict(lab, run),
            Self::Median => median(lab, run),
        }
    }
}

/// Records of attacks on the images that the scale says.
fn records(lab: &Lab, run: &str, attacks: &[AttackOptions]) -> Found<Vec<Record>> {
    attacks.iter().map(|options| lab.record(run, options, Some(lab.settings.attack_images))).collect()
}

/// The quick verdict on a run.
fn verdict(lab: &Lab, run: &str) -> Found<f64> {
    Ok(share_that_withstands(&records(lab, run, &lab.settings.quick_verdict())?))
}

/// Share of the images that withstand every attack.
fn share_that_withstands(records: &[Record]) -> f64 {
    let images = records.first().map_or(0, Record::len);
    let robust = (0..images).filter(|&i| records.iter().all(|record| record.robust(i))).count();
    robust as f64 / images.max(1) as f64
}

/// The median of the smallest perturbations of a run.
fn median(lab: &Lab, run: &str) -> Found<f64> {
    let median = median_of(&records(lab, run, &lab.settings.beyond_searches())?);
    median.ok_or_else(|| Missing(format!("no search has fooled half of the images of {run}")))
}

/// The norm at which half of the images are classified correctly, as `evaluate` states it: images that no search has fooled count
/// as infinite, so that the hardest do not drop out. `None` if that is half of them.
fn median_of(searches: &[Record]) -> Option<f64> {
    let searches: Vec<&Record> = searches.iter().collect();
    let images = searches.first().map_or(0, |record| record.len());
    let mut norms: Vec<f64> = (0..images).map(|i| stands_up_to(&searches, Norm::L2, i)).collect();
    Statistic::Median.of(&mut norms).filter(|median| median.is_finite())
}

/// One contender on one network.
struct Curve {
    contender: Contender,
    settings: Vec<Setting>,
    /// Seeds that every setting is to have.
    planned: usize,
}

impl Curve {
    fn new(
        lab: &Lab,
        network: Network,
        contender: Contender,
        by: Robustness,
        missing: &mut Vec<Missing>,
    ) -> Self {
        let standing = |run: &str| -> Found<Standing> {
            Ok(Standing { accuracy: lab.benign_accuracy(run)?, robustness: by.of(lab, run)? })
        };
        let curve = plan::beyond_curve(lab.settings, network, contender);
        let planned = lab.settings.beyond_seeds.len();
        Self { contender, settings: settings_of(lab, curve, standing, missing), planned }
    }

    fn title(&self) -> String {
        self.contender.title().to_string()
    }

    /// Whether every run is there.
    fn is_whole(&self) -> bool {
        self.settings.iter().all(|setting| setting.standings.len() == self.planned)
    }

    /// Every seed's points.
    fn seeds(&self) -> Vec<SeedCurve> {
        seed_curves(&self.settings)
    }

    fn series(&self) -> Series {
        setting::series(self.title(), self.contender.strength(), &self.settings)
    }
}

/// How far one curve is ahead of another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lead {
    /// Of every seed of the one over every seed of the other, at all accuracies.
    spread: Spread,
    /// How many seeds of each have a curve at the accuracy where fewest have.
    seeds: [usize; 2],
    /// Whether every run of both is there, and every seed has a curve at every accuracy.
    by_all: bool,
}

impl Lead {
    /// At the accuracies where both have curves of two seeds or more; of one seed no spread is known. `None` where there is no
    /// such accuracy.
    fn of(own: &Curve, other: &Curve) -> Option<Self> {
        let curves = [own.seeds(), other.seeds()];
        let accuracies = matched_accuracies(&curves, MATCHED).accuracies;
        let reached = |seeds: &[SeedCurve], accuracy: f64| -> Vec<f64> {
            Reached::new(seeds, accuracy).by_seed.into_iter().map(|(_, robustness)| robustness).collect()
        };
        let (mut leads, mut fewest) = (Vec::new(), [own.planned, other.planned]);
        for accuracy in accuracies {
            let [of_own, of_other] = [&curves[0], &curves[1]].map(|seeds| reached(seeds, accuracy));
            if of_own.len().min(of_other.len()) < 2 {
                continue;
            }
            fewest = [fewest[0].min(of_own.len()), fewest[1].min(of_other.len())];
            leads.extend(of_own.iter().flat_map(|own| of_other.iter().map(move |other| own - other)));
        }
        let by_all = fewest == [own.planned, other.planned] && own.is_whole() && other.is_whole();
        Spread::of(&leads).map(|spread| Self { spread, seeds: fewest, by_all })
    }

    /// As a cell, which says so if not all runs count everywhere.
    fn cell(&self) -> Cell {
        let [own, other] = self.seeds;
        let note = format!(
            "not all runs count: at one accuracy there are {own} seeds of the row and {other} of the column; some curves do \
             not reach it, or runs are missing"
        );
        Cell {
            text: self.spread.text(4),
            value: Some(self.spread.mean),
            note: (!self.by_all).then_some(note),
        }
    }
}

/// Leads of each over each.
fn pairs(id: &str, curves: &[&Curve], by: Robustness) -> Table {
    let mut head = vec!["lead of … over …".to_string()];
    head.extend(curves.iter().map(|curve| curve.title()));
    let cell = |own: &Curve, other: &Curve| match Lead::of(own, other) {
        _ if own.contender == other.contender => {
            Cell { text: "-".into(), ..Cell::missing("a curve is not ahead of itself") }
        }
        Some(lead) => lead.cell(),
        None => Cell::missing("there is no benign accuracy at which both have curves of two seeds"),
    };
    let row = |own: &&Curve| {
        let mut row = vec![Cell::text(own.title())];
        row.extend(curves.iter().map(|other| cell(own, other)));
        row
    };
    Table {
        id: format!("{id}-leads"),
        title: format!("Leads at equal benign accuracy, {}", by.title()),
        caption: "Every seed of a row against every seed of a column, at accuracies that both reach: the mean, in brackets the \
                  lowest and the highest. A row lies outside a column, by more than seeds differ, where both numbers in \
                  brackets are above 0. If no accuracy is reached by all seeds of both, those that reach one are compared. A note \
                  says where not all runs count."
            .into(),
        head,
        rows: curves.iter().map(row).collect(),
    }
}

/// Who lies outside all others, in a sentence.
fn outside(curves: &[&Curve], by: Robustness, network: Network) -> String {
    let leads = |own: &Curve| -> Vec<Lead> {
        let others = curves.iter().filter(|other| other.contender != own.contender);
        others.filter_map(|other| Lead::of(own, other)).collect()
    };
    let all: Vec<(String, Vec<Lead>)> = curves.iter().map(|own| (own.title(), leads(own))).collect();
    let begin = format!("On {network}, by {}:", by.title());
    if all.iter().all(|(_, leads)| leads.is_empty()) {
        return format!(
            "{begin} there is no verdict, because no two curves of two seeds share a benign accuracy."
        );
    }
    let ahead = |leads: &[Lead]| !leads.is_empty() && leads.iter().all(|lead| lead.spread.low > 0.0);
    let ahead: Vec<&(String, Vec<Lead>)> = all.iter().filter(|(_, leads)| ahead(leads)).collect();
    let of_others = |leads: &[Lead]| format!("{} of {} others", leads.len(), curves.len() - 1);
    let names: Vec<String> =
        ahead.iter().map(|(name, leads)| format!("{name} ({})", of_others(leads))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sentence = match &names[..] {
        [] => format!(
            "{begin} no curve lies outside all those that it can be compared with by more than the seeds differ."
        ),
        [only] => format!(
            "{begin} {only} lies outside all those that it can be compared with, by more than the seeds differ."
        ),
        several => format!(
            "{begin} {} each lie outside all those that they can be compared with, by more than the seeds differ; \
             they cannot be compared with each other.",
            listed(several)
        ),
    };
    if ahead.iter().flat_map(|(_, leads)| leads).all(|lead| lead.by_all) {
        return sentence;
    }
    sentence + " Not all runs count in some of these leads; the table of leads has a note there."
}

/// A point per contender: seconds per epoch, and what it reaches at the benign accuracy of PGD's middle setting.
fn against_time(
    lab: &Lab,
    (network, dataset): (Network, &Dataset),
    curves: &[Curve],
    missing: &mut Vec<Missing>,
) -> Vec<Block> {
    let id = format!("beyond-{network}-time");
    let Some(accuracy) = middle_accuracy(curves) else {
        missing.push(Missing(format!("PGD's middle setting on {network} gives no accuracy to be matched")));
        return Vec::new();
    };
    let (mut series, mut rows) = (Vec::new(), Vec::new());
    for curve in curves {
        let all = plan::beyond_curve(lab.settings, network, curve.contender);
        let (_, runs) = &all[all.len() / 2];
        let seconds = seconds_on(lab, &runs[0].name(lab.settings), &runs[0].config(lab.settings), dataset);
        let reached = Reached::new(&curve.seeds(), accuracy);
        series.extend(point_in_time(curve.title(), &seconds, reached.robustness));
        rows.push(row_of_price(curve.title(), seconds, &reached));
    }
    let what = format!("at a benign accuracy of {:.1} %", 100.0 * accuracy);
    let caption = format!(
        "Seconds of one epoch on this device, from the median time of a few steps of the first seed, and accuracy under the quick verdict {what}, that of PGD's middle setting, on the \
         straight lines between the points of each seed's own curve. Natural training has one setting and so no curve."
    );
    let figure = Figure {
        id: id.clone(),
        title: format!("Accuracy against training time, {network}"),
        caption: caption.clone(),
        x: Axis { logarithmic: true, ..Axis::new("seconds per epoch") },
        y: Robustness::Verdict.axis(),
        series,
    };
    let table = Table {
        id: format!("{id}-table"),
        title: format!("Price and strength, {network}"),
        caption,
        head: vec!["defense".into(), "seconds per epoch".into(), format!("verdict {what}")],
        rows,
    };
    vec![Block::Figure(figure), Block::Table(table)]
}

/// The benign accuracy of PGD's middle setting.
fn middle_accuracy(curves: &[Curve]) -> Option<f64> {
    let of_pgd = curves.iter().find(|curve| curve.contender == Contender::Plain(Method::PGD))?;
    let middle = &of_pgd.settings[of_pgd.settings.len() / 2];
    middle.spread(|standing| standing.accuracy).map(|spread| spread.mean)
}

/// What a contender reaches against the seconds of its epochs, if both are known.
fn point_in_time(title: String, seconds: &Found<f64>, reached: Option<Spread>) -> Option<Series> {
    let (&seconds, spread) = seconds.as_ref().ok().zip(reached)?;
    let label = over_seeds(spread.count);
    let point = Point { y_spread: spread.range(), label, ..Point::new(seconds, spread.mean) };
    Some(Series { name: title, mark: Mark::Points, points: vec![point] })
}

/// The same as a row. A cell says for itself why it is empty.
fn row_of_price(title: String, seconds: Found<f64>, reached: &Reached) -> Vec<Cell> {
    let seconds = match seconds {
        Ok(seconds) => Cell::number(seconds, 2),
        Err(Missing(reason)) => Cell::missing(reason),
    };
    vec![Cell::text(title), seconds, equal_accuracy::cell(reached)]
}

/// How many runs have a median of 0, if there are any. Images that are wrong from the start count as 0, so the median of a
/// classifier that is wrong about more than half of them is 0 whatever it withstands.
fn medians_that_say_nothing(curves: &[Curve], network: Network) -> Option<String> {
    let standings = curves.iter().flat_map(|curve| &curve.settings).flat_map(|setting| &setting.standings);
    let medians: Vec<f64> = standings.map(|(_, standing)| standing.robustness).collect();
    let zero = medians.iter().filter(|&&median| median == 0.0).count();
    (zero > 0).then(|| {
        format!(
            "On {network}, the median is 0 for {zero} of {} runs: they are wrong about half of the attacked images or more from the \
             start. It does not tell such runs apart.",
            medians.len()
        )
    })
}

/// The section.
pub fn section(lab: &Lab, dataset: &Dataset) -> Section {
    let mut section = Section {
        id: "beyond".into(),
        title: "PGN, its variants, and the defenses that people compare with".into(),
        text: vec![
            "Each point is one setting of a contender's strength (c_L for PGN as in the paper, epsilon for all others), the mean \
             over its seeds; bars reach from the lowest seed to the highest. A contender is ahead where its curve lies \
             outside another's. PGN-radius scales every perturbation to epsilon; PGN-radius-2 applies the generator twice, the \
             second time with a fresh gradient; PGN-radius-2-margin does so and raises the margin. No contender differentiates through the attack, and all \
             attack the true class, so that their times compare. All have the optimiser, the epochs and the initial weights of \
             the scale, and not those of their authors."
                .into(),
        ],
        blocks: Vec::new(),
    };
    let mut missing = Vec::new();
    for &network in &lab.settings.beyond_networks {
        let mut by_verdict = Vec::new();
        for by in Robustness::ALL {
            let curves: Vec<Curve> = Contender::all()
                .into_iter()
                .map(|contender| Curve::new(lab, network, contender, by, &mut missing))
                .collect();
            add_curves(lab, &mut section, (network, by), &curves);
            if by == Robustness::Verdict {
                by_verdict = curves;
            }
        }
        let blocks = against_time(lab, (network, dataset), &by_verdict, &mut missing);
        section.blocks.extend(blocks);
        section.text.extend(overfitted(lab, network));
    }
    notes(&mut section, &missing);
    section
}

/// The runs on a network that have overfitted catastrophically, a sentence each.
fn overfitted(lab: &Lab, network: Network) -> Vec<String> {
    let contenders = Contender::all().into_iter();
    let settings = contenders.flat_map(|contender| plan::beyond_curve(lab.settings, network, contender));
    let names = settings.flat_map(|(_, runs)| runs).map(|run| run.name(lab.settings));
    names.filter_map(|name| Some(format!("{name}: {}.", lab.overfitted(&name)?))).collect()
}

/// The figure, the tables and the sentence of one measure on one network.
fn add_curves(lab: &Lab, section: &mut Section, (network, by): (Network, Robustness), curves: &[Curve]) {
    let id = format!("beyond-{network}-{}", by.id());
    let searches = lab.settings.beyond_searches();
    let how = match by {
        Robustness::Verdict => {
            let attacks = lab.settings.quick_verdict().into_iter();
            let attacks =
                attacks.map(|options| format!("{} ({})", options.kind.title, budget::text(&options)));
            let attacks: Vec<String> = attacks.collect();
            let attacks: Vec<&str> = attacks.iter().map(String::as_str).collect();
            let shorter =
                if lab.settings.scale == Scale::Smoke { ", shorter than `verdict` runs it" } else { "" };
            format!("The quick verdict is {}{shorter}.", listed(&attacks))
        }
        Robustness::Median => format!(
            "Of each image the nearest that FMN (its budget: {}), FMN led to runner-up classes, or DeepFool found. The median is \
             over all images: those that are wrong from the start count as 0, those that no search fooled as infinite.",
            budget::text(&searches[0])
        ),
    };
    section.blocks.push(Block::Figure(Figure {
        id: id.clone(),
        title: format!("Benign accuracy and {}, {network}", by.title()),
        caption: format!(
            "Benign accuracy over all test images, attacks on {} of them, as `limit` chooses them. {how}",
            lab.settings.attack_images
        ),
        x: Axis::percent("benign accuracy"),
        y: by.axis(),
        series: curves.iter().map(Curve::series).collect(),
    }));
    // Natural training has one point and no curve.
    let varied: Vec<&Curve> = curves.iter().filter(|curve| curve.contender.strength().is_some()).collect();
    section.text.push(outside(&varied, by, network));
    if by == Robustness::Median {
        section.text.extend(medians_that_say_nothing(curves, network));
    }
    section.blocks.push(Block::Table(pairs(&id, &varied, by)));
    let named = varied.iter().map(|curve| NamedCurves { name: curve.title(), seeds: curve.seeds() });
    let named: Vec<NamedCurves> = named.collect();
    let table = equal_accuracy::table(format!("{id}-at-equal-accuracy"), &by.title(), &named);
    section.blocks.push(Block::Table(table));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::AttackKind;
    use crate::cpu::Mode;
    use crate::data::{self, DatasetKind};
    use crate::evaluation::Event;
    use crate::evaluation::record::tests::record;
    use crate::executor::Device;
    use crate::integrity;
    use crate::reproduce::Settings;
    use crate::training::record::{EpochRecord, Record as Line};
    use crate::training::run::RunFolder;

    fn curve(contender: Contender, seeds: &[&[(f64, f64)]]) -> Curve {
        let settings = (0..seeds[0].len()).map(|setting| {
            let of = |(seed, points): (u64, &&[(f64, f64)])| {
                let (accuracy, robustness) = points[setting];
                (seed, Standing { accuracy, robustness })
            };
            Setting { strength: Some(0.1), standings: (0..).zip(seeds).map(of).collect() }
        });
        Curve { contender, settings: settings.collect(), planned: seeds.len() }
    }

    fn sentence(curves: &[Curve]) -> String {
        outside(&curves.iter().collect::<Vec<_>>(), Robustness::Verdict, Network::default())
    }

    #[test]
    fn a_curve_is_outside_only_where_its_lowest_seed_is_above_the_highest_of_the_other_at_every_accuracy() {
        let flat = |height: f64| [(0.5, height), (0.9, height)];
        let [fgm, pgd] = [Method::FGM, Method::PGD].map(Contender::Plain);
        let low = || curve(fgm, &[&flat(0.2), &flat(0.3)]);
        let high = curve(pgd, &[&flat(0.32), &flat(0.31)]);
        assert!(
            sentence(&[low(), high]).contains("PGD (1 of 1 others) lies outside"),
            "every seed is above 0.3"
        );
        let mixed = curve(pgd, &[&flat(0.25), &flat(0.31)]);
        let sentence_of_mixed = sentence(&[low(), mixed]);
        assert!(
            sentence_of_mixed.contains("no curve lies outside"),
            "equal seeds are ahead, the bands overlap"
        );
        let crossing = [(0.5, 0.1), (0.9, 0.9)];
        let crossing = curve(pgd, &[&crossing, &crossing]);
        assert!(sentence(&[low(), crossing]).contains("no curve lies outside"));
        let single = curve(pgd, &[&flat(0.9)]);
        assert!(sentence(&[low(), single]).contains("no verdict"), "of one seed no spread is known");
        let apart = curve(pgd, &[&[(0.1, 0.9), (0.2, 0.9)], &[(0.1, 0.9), (0.2, 0.9)]]);
        assert!(sentence(&[low(), apart]).contains("no verdict"), "they share no accuracy");
    }

    /// What an attack made of four images: its predictions, all of class 0, and how far it went. The last image is wrong from the
    /// start.
    fn record_of(kind: AttackKind, predictions: [usize; 4], l2: [f32; 4]) -> Record {
        Record {
            labels: vec![0; 4],
            clean_predictions: vec![0, 0, 0, 1],
            predictions: predictions.to_vec(),
            l2: l2.to_vec(),
            linf: vec![0.1; 4],
            zero_gradient: vec![false; 4],
            ..record(kind)
        }
    }

    #[test]
    fn an_image_counts_in_the_verdict_if_it_withstands_every_attack() {
        let one = record_of(AttackKind::APGD_CE, [1, 0, 0, 1], [0.5; 4]);
        let other = record_of(AttackKind::APGD_T, [0, 1, 0, 1], [0.5; 4]);
        assert_eq!(share_that_withstands(&[one.clone(), other]), 0.25);
        assert_eq!(share_that_withstands(&[one]), 0.5);
    }

    #[test]
    fn the_median_takes_the_nearest_of_all_searches_and_counts_images_that_none_fools() {
        let one = record_of(AttackKind::FMN, [1, 1, 0, 1], [0.5, 1.0, 0.0, 0.0]);
        let other = record_of(AttackKind::DEEPFOOL, [1, 0, 0, 1], [0.25, 0.0, 0.0, 0.0]);
        // 0 of the image that is wrong, 0.25, 1, and one that withstands.
        assert_eq!(median_of(&[one, other.clone()]), Some(0.625));
        // 0, 0.25, and two that withstand.
        assert_eq!(median_of(&[other]), None);
    }

    #[test]
    fn a_median_of_0_is_said_to_tell_nothing() {
        let fgm = Contender::Plain(Method::FGM);
        let median_of_runs = |medians: [f64; 2]| {
            let seeds = medians.map(|median| [(0.4, median), (0.45, median)]);
            medians_that_say_nothing(&[curve(fgm, &[&seeds[0], &seeds[1]])], Network::default())
        };
        assert_eq!(median_of_runs([0.25, 0.125]), None);
        let sentence = median_of_runs([0.0, 0.125]).unwrap();
        assert!(sentence.contains("the median is 0 for 2 of 4 runs"), "{sentence}");
    }

    #[test]
    fn without_a_run_the_section_says_what_is_missing() {
        let settings = Settings::new(Scale::Smoke, DatasetKind::Digits, None);
        let digits = data::open(&data::DataOptions::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let device = Device::Cpu(Mode::Fast);
        let mut watch = |_: Event| {};
        let lab = Lab::new(&settings, device, folder.path(), Vec::new(), &mut watch);
        let section = section(&lab, &digits);
        assert!(matches!(section.blocks.first(), Some(Block::Figure(_))));
        let Some(Block::Notes(notes)) = section.blocks.last() else { panic!("no notes") };
        assert!(notes.iter().any(|note| note.figure.contains("natural-seed0 is not there")), "{notes:?}");
        assert!(section.text.iter().any(|text| text.contains("there is no verdict")));
    }

    #[test]
    fn a_run_that_has_overfitted_catastrophically_is_named() {
        let settings = Settings::new(Scale::Smoke, DatasetKind::Digits, None);
        let digits = data::open(&data::DataOptions::default()).unwrap();
        let fgm = Contender::Plain(Method::FGM);
        let run = &plan::beyond_curve(&settings, Network::default(), fgm)[0].1[0];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(run.name(&settings));
        let (run_folder, name) =
            (RunFolder::create(&path, &run.config(&settings)).unwrap(), run.name(&settings));
        let line = |epoch: u32, pgd: f64| {
            let [pgd, fgm] = [Some(pgd), Some(0.6)];
            let record =
                EpochRecord { epoch, pgd_accuracy: pgd, fgm_accuracy: fgm, ..EpochRecord::default() };
            integrity::to_line(&Line::Epoch(record)) + "\n"
        };
        let sentences = |after: f64| {
            std::fs::write(run_folder.metrics_path(), line(0, 0.5) + &line(1, after)).unwrap();
            let device = Device::Cpu(Mode::Fast);
            let mut watch = |_: Event| {};
            let lab = Lab::new(&settings, device, folder.path(), Vec::new(), &mut watch);
            let texts = section(&lab, &digits).text;
            texts.into_iter().filter(|text| text.contains("overfitting")).collect::<Vec<String>>()
        };
        assert_eq!(sentences(0.45), Vec::<String>::new());
        let [sentence] = &sentences(0.0)[..] else { panic!("one run has overfitted") };
        assert!(
            sentence.starts_with(&format!("{name}: catastrophic overfitting: from epoch 1 to 2")),
            "{sentence}"
        );
    }

    #[test]
    fn a_contender_whose_time_is_not_known_keeps_what_it_reaches() {
        let seeds = |heights: &[f64]| {
            let flat = |height: f64| vec![Standing { accuracy: 0.5, robustness: height }];
            let seeds = (0..).zip(heights).map(|(seed, &height)| SeedCurve { seed, points: flat(height) });
            seeds.collect::<Vec<_>>()
        };
        let reached = Reached::new(&seeds(&[0.25, 0.5]), 0.5);
        let unknown = Err(Missing("it was not trained".into()));
        assert!(point_in_time("PGN".into(), &unknown, reached.robustness).is_none());
        let row = row_of_price("PGN".into(), unknown, &reached);
        assert_eq!((row[1].note.as_deref(), row[1].value), (Some("it was not trained"), None));
        assert_eq!((row[2].text.as_str(), row[2].value), ("0.3750 [0.2500, 0.5000]", Some(0.375)));
        // And the other way round.
        let nowhere = Reached::new(&seeds(&[0.25]), 0.75);
        let row = row_of_price("PGN".into(), Ok(1.5), &nowhere);
        assert_eq!((row[1].text.as_str(), row[2].text.as_str()), ("1.50", ""));
        assert!(row[2].note.as_deref().unwrap().contains("seed 0 does not reach"));
        let point = point_in_time("PGN".into(), &Ok(1.5), reached.robustness).unwrap().points.remove(0);
        assert_eq!((point.x, point.y, point.label.as_str()), (1.5, 0.375, "mean of 2 seeds"));
    }

    #[test]
    fn leads_stand_in_a_table_of_pairs_with_their_spread() {
        let flat = |height: f64| [(0.5, height), (0.9, height)];
        let [fgm, pgd] = [Method::FGM, Method::PGD].map(Contender::Plain);
        let curves = [curve(fgm, &[&flat(0.25), &flat(0.25)]), curve(pgd, &[&flat(0.5), &flat(0.375)])];
        let table = pairs("beyond", &curves.iter().collect::<Vec<_>>(), Robustness::Verdict);
        assert_eq!(table.rows[1][1].text, "0.1875 [0.1250, 0.2500]");
        assert_eq!(table.rows[0][2].text, "-0.1875 [-0.2500, -0.1250]");
        assert_eq!(table.rows[0][1].text, "-");
        assert_eq!(table.rows[0][2].note, None, "all seeds of both are compared");
    }

    #[test]
    fn a_lead_of_fewer_seeds_says_so() {
        let flat = |height: f64| [(0.5, height), (0.9, height)];
        let [fgm, pgd] = [Method::FGM, Method::PGD].map(Contender::Plain);
        // The third seed of PGD shares no accuracy with FGM.
        let elsewhere = [(0.1, 0.5), (0.2, 0.5)];
        let curves =
            [curve(fgm, &[&flat(0.25), &flat(0.25)]), curve(pgd, &[&flat(0.5), &flat(0.375), &elsewhere])];
        let table = pairs("beyond", &curves.iter().collect::<Vec<_>>(), Robustness::Verdict);
        assert_eq!(table.rows[1][1].text, "0.1875 [0.1250, 0.2500]");
        let note = table.rows[1][1].note.as_deref().unwrap();
        assert!(note.contains("2 seeds of the row and 2 of the column"), "{note}");
        let of_pgd = sentence(&curves);
        assert!(
            of_pgd.contains("PGD (1 of 1 others) lies outside") && of_pgd.contains("Not all runs count"),
            "{of_pgd}"
        );
        let all = [curve(fgm, &[&flat(0.25), &flat(0.25)]), curve(pgd, &[&flat(0.5), &flat(0.375)])];
        assert!(!sentence(&all).contains("Not all runs count"));
        // A seed without any run is missing too.
        let [fgm, mut pgd] = all;
        pgd.planned = 3;
        assert!(sentence(&[fgm, pgd]).contains("Not all runs count"));
    }
}
