//! The `smallest` version: how far the nearest adversarial image of every image is, as the nearest that any of several
//! searches finds. Every image meets every search, whatever the others have found, and images that nothing fools stay in the
//! numbers.
//!
//! The last search starts at the nearest image that the others have found and looks around it.
//!
//! What was found of the images of shards can be put together ([`Hunted`]), and is then what a single run finds.

use super::piece::{ImageKey, Pieces};
use super::plan::Plan;
use super::report::doubt;
use super::run::{Attempt, Judged, Outcome, Stage, VerdictError, check_shard, keys};
use crate::attacks::{Aim, AttackOptions, Norm};
use crate::evaluation::Subject;
use crate::evaluation::statistics::Statistic;
use crate::evaluation::suite::Watcher;
use crate::executor::Device;
use crate::shard::Shard;
use crate::threat::Radius;
use serde::{Deserialize, Serialize};

/// Radii of the curve, 0 included.
const CURVE: usize = 101;

/// What the searches have found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Judged within the radius of the verdict. Images beyond it count as robust, and have a distance all the same.
    pub outcome: Outcome,
    /// What each search found.
    pub hunted: Hunted,
}

/// What each search found of some images, in the order of the searches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hunted {
    /// Where each led images, as [`Search::target`].
    pub targets: Vec<String>,
    /// Images of which it came nearest, as [`Search::nearest`].
    pub nearest: Vec<usize>,
    /// For each image the distance at which the search fooled it, as files keep it; NaN if it did not.
    pub lengths: Vec<Vec<f32>>,
}

impl Hunted {
    /// The distances of images, which `outcome` has in the same order.
    pub fn distances(&self, outcome: &Outcome) -> Distances {
        let search = |(number, stage): (usize, &Stage)| {
            let found = self.lengths[number].iter().filter(|length| !length.is_nan());
            let mut lengths: Vec<f64> = found.map(|&length| f64::from(length)).collect();
            Search {
                name: stage.options.kind.name().to_string(),
                target: self.targets[number].clone(),
                attacked: stage.attacked,
                fooled: lengths.len(),
                mean: Statistic::Mean.of(&mut lengths),
                nearest: self.nearest[number],
                seconds: stage.seconds,
            }
        };
        let searches = outcome.stages.iter().enumerate().map(search).collect();
        let norm = Norm::ALL.iter().position(|norm| *norm == outcome.radius.norm).expect("one of all");
        let images = outcome.images.iter();
        let correct: Vec<bool> = images.clone().map(|image| image.clean_prediction == image.label).collect();
        // Rounded like the lengths, so that no search seems to come nearer than all together.
        let nearest = |image: &Judged| Some(f64::from(image.distance?[norm] as f32));
        let distances: Vec<Option<f64>> = images.map(nearest).collect();
        Distances::new(searches, &correct, &distances)
    }
}

/// The distances of all images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Distances {
    /// In the order in which they ran.
    pub searches: Vec<Search>,
    /// Images that were classified correctly and then fooled: those that have a distance above 0.
    pub fooled: usize,
    /// Mean distance of these.
    pub mean: Option<f64>,
    /// Median distance of these.
    pub median: Option<f64>,
    /// Images that were wrong without an attack. They stand at no radius.
    pub wrong: usize,
    /// Images that no search has fooled. They stand at every radius.
    pub not_fooled: usize,
    /// The smallest radius at which no more than half of all images stand; none, if more than half were not fooled.
    pub half_stands: Option<f64>,
    /// Radius, and share of all images whose nearest adversarial image is beyond it.
    pub curve: Vec<[f64; 2]>,
}

/// One search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Search {
    /// As on the command line.
    pub name: String,
    /// The class that it led images to, or where it started.
    pub target: String,
    /// Images that it attacked: those that are classified correctly.
    pub attacked: usize,
    /// Images that it fooled, at whatever distance.
    pub fooled: usize,
    /// Their mean distance.
    pub mean: Option<f64>,
    /// Images of which it came nearest; of the last search, which starts at the nearest of the others, those that it brought
    /// nearer.
    pub nearest: usize,
    /// Seconds.
    pub seconds: f64,
}

/// The nearest adversarial image of one image, with the search that found it.
type Nearest = Option<(f64, usize, Vec<f32>)>;

/// Looks for the nearest adversarial images of the shard's images of `subject`.
///
/// # Errors
/// If the shard has no images, a search cannot run, or a piece cannot be written.
pub fn run(
    device: &Device,
    subject: &Subject,
    plan: &Plan,
    (radius, shard): (Radius, Shard),
    pieces: &Pieces,
    watch: Watcher,
) -> Result<Found, VerdictError> {
    if radius.epsilon == 0.0 {
        return Err(VerdictError::NoRadius);
    }
    check_shard(shard, subject.images.len())?;
    let positions = shard.positions(subject.images.len());
    let mut hunt = Hunt::new(subject, radius, &positions);
    let own = keys(subject, &positions);
    for options in &plan.attacks {
        let label = format!("{} ({}) on {}", options.kind.title, target(options), subject.place.name);
        let starts = hunt.starts(options.started);
        let from = |(key, start): (&ImageKey, &Vec<f32>)| key.from(start);
        let keys = if options.started { own.iter().zip(&starts).map(from).collect() } else { own.clone() };
        let (positions, keys, starts) = (&positions, &keys, &starts);
        let attempt = Attempt { device, subject, options, pieces, label, positions, keys, starts };
        hunt.search(&attempt, watch)?;
    }
    Ok(hunt.found())
}

/// A hunt while it runs. Images are meant by their numbers in the shard.
struct Hunt<'a> {
    subject: &'a Subject,
    radius: Radius,
    /// Of the shard's images among those of the subject.
    positions: &'a [u32],
    /// The class that each image is taken for, as the first search found; its own until then. Later searches look again, in
    /// batches of other sizes, and rounding may turn an image that lies on the border. It must not be wrong and fooled both.
    clean: Vec<usize>,
    nearest: Vec<Nearest>,
    stages: Vec<Stage>,
    hunted: Hunted,
}

impl<'a> Hunt<'a> {
    fn new(subject: &'a Subject, radius: Radius, positions: &'a [u32]) -> Self {
        let label = |&i: &u32| usize::from(subject.images.label(i as usize));
        let clean: Vec<usize> = positions.iter().map(label).collect();
        let nearest = vec![None; clean.len()];
        Self { subject, radius, positions, clean, nearest, stages: Vec::new(), hunted: Hunted::default() }
    }

    fn label(&self, i: usize) -> usize {
        usize::from(self.subject.images.label(self.positions[i] as usize))
    }

    fn original(&self, i: usize) -> Vec<f32> {
        let position = self.positions[i] as usize;
        self.subject.images.to_unit(position..position + 1)
    }

    fn within(&self, i: usize) -> bool {
        let pixels = self.subject.model.facts.problem.pixels();
        self.nearest[i].as_ref().is_some_and(|(distance, ..)| self.radius.holds(*distance, pixels))
    }

    /// Images that the search gets: those classified correctly; if it starts at an adversarial image, those that have one.
    fn wanted(&self, started: bool) -> Vec<usize> {
        let wants = |&i: &usize| self.clean[i] == self.label(i) && (!started || self.nearest[i].is_some());
        (0..self.clean.len()).filter(wants).collect()
    }

    /// The nearest image of each image, empty without one, for a search that starts there.
    fn starts(&self, started: bool) -> Vec<Vec<f32>> {
        let nearest =
            |nearest: &Nearest| nearest.as_ref().map(|(.., image)| image.clone()).unwrap_or_default();
        if started { self.nearest.iter().map(nearest).collect() } else { Vec::new() }
    }

    fn search(&mut self, attempt: &Attempt, watch: Watcher) -> Result<(), VerdictError> {
        let (options, number) = (attempt.options, self.stages.len());
        let wanted = self.wanted(options.started);
        if options.started {
            self.count_nearest();
        }
        let before = (0..self.clean.len()).filter(|&i| self.within(i)).count();
        let known = attempt.all_known(&wanted, watch)?;
        let mut lengths = vec![f32::NAN; self.clean.len()];
        let (mut attacked, mut zero_gradients) = (0, 0);
        for &i in &wanted {
            let (at, place) = known.place(&attempt.keys[i]).expect("all are known");
            let piece = known.piece(at);
            attacked += usize::from(piece.clean_predictions[place] == self.label(i));
            zero_gradients += usize::from(piece.zero_gradient[place]);
            if number == 0 {
                self.clean[i] = piece.clean_predictions[place];
            }
            if let Some(image) = piece.broken(place) {
                lengths[i] = self.take(i, number, image.to_vec()) as f32;
            }
        }
        let seconds = attempt.seconds(&wanted, &known);
        let broken = (0..self.clean.len()).filter(|&i| self.within(i)).count() - before;
        self.stages.push(Stage { options: options.clone(), attacked, broken, zero_gradients, seconds });
        self.hunted.targets.push(target(options));
        self.hunted.lengths.push(lengths);
        Ok(())
    }

    /// Keeps an adversarial image if it is the nearest so far, and says how far it is.
    fn take(&mut self, i: usize, number: usize, image: Vec<f32>) -> f64 {
        let distance = self.radius.norm.distance(&self.original(i), &image);
        if self.nearest[i].as_ref().is_none_or(|(nearest, ..)| distance < *nearest) {
            self.nearest[i] = Some((distance, number, image));
        }
        distance
    }

    /// Counts of how many images each search has come nearest, unless that is counted already.
    fn count_nearest(&mut self) {
        for number in self.hunted.nearest.len()..self.stages.len() {
            let own = self.nearest.iter().flatten().filter(|(_, finder, _)| *finder == number);
            self.hunted.nearest.push(own.count());
        }
    }

    fn found(mut self) -> Found {
        self.count_nearest();
        let images = (0..self.clean.len()).map(|i| self.judged(i)).collect();
        let outcome = Outcome { radius: self.radius, stages: self.stages, images };
        Found { outcome, hunted: self.hunted }
    }

    fn judged(&self, i: usize) -> Judged {
        let (original, nearest) = (self.original(i), self.nearest[i].as_ref());
        let of = |image: &Vec<f32>| Norm::ALL.map(|norm| norm.distance(&original, image));
        Judged {
            index: self.subject.indices[self.positions[i] as usize],
            label: self.label(i),
            clean_prediction: self.clean[i],
            broken_by: nearest.filter(|_| self.within(i)).map(|(_, number, _)| *number),
            distance: nearest.map(|(.., image)| of(image)),
            adversarial: nearest.map(|(.., image)| image.clone()),
        }
    }
}

/// Where the search leads images, in words.
fn target(options: &AttackOptions) -> String {
    match &options.target {
        _ if options.started => "from the nearest".to_string(),
        Aim::Away if options.kind.reads("targets") => format!("{} classes", options.targets),
        Aim::Away => "any class".to_string(),
        Aim::RunnerUp(rank) => format!("runner-up {}", rank + 1),
        aim => aim.to_string(),
    }
}

impl Distances {
    /// Of images that are `correct` or not, with the distances of those that were fooled.
    fn new(searches: Vec<Search>, correct: &[bool], distances: &[Option<f64>]) -> Self {
        let mut own: Vec<f64> = distances.iter().flatten().copied().collect();
        let wrong = correct.iter().filter(|correct| !**correct).count();
        let (fooled, images) = (own.len(), correct.len());
        let (mean, median) = (Statistic::Mean.of(&mut own), Statistic::Median.of(&mut own));
        own.sort_by(f64::total_cmp);
        // Whoever is wrong has fallen at radius 0.
        let fallen = |radius: f64| wrong + own.partition_point(|distance| *distance <= radius);
        let half_stands = match images.div_ceil(2).checked_sub(wrong) {
            None | Some(0) => Some(0.0),
            Some(needed) => own.get(needed - 1).copied(),
        };
        let largest = own.last().copied().unwrap_or(0.0);
        let curve = (0..CURVE).map(|i| {
            let radius = largest * i as f64 / (CURVE - 1) as f64;
            [radius, 1.0 - fallen(radius) as f64 / images.max(1) as f64]
        });
        let not_fooled = images - wrong - fooled;
        Self { fooled, mean, median, wrong, not_fooled, half_stands, curve: curve.collect(), searches }
    }

    /// The first line: up to which radius half of the images stand.
    pub fn headline(&self, norm: Norm, warnings: usize) -> String {
        let name = norm.name();
        let half = match self.half_stands {
            None => "more than half of the images stand at every radius that was found".to_string(),
            Some(0.0) => "no more than half of the images stand without an attack".to_string(),
            Some(radius) => format!("half of the images stand up to {name} {radius:.4}"),
        };
        half + &doubt(warnings)
    }

    /// Sentences about the distances and the images that have none.
    pub fn words(&self, norm: Norm) -> String {
        let name = norm.name();
        let mut words = match (self.mean, self.median) {
            (Some(mean), Some(median)) => {
                format!("{} images were fooled: mean {name} {mean:.4}, median {median:.4}\n", self.fooled)
            }
            _ => "no image was fooled\n".to_string(),
        };
        if self.wrong > 0 {
            words += &format!(
                "{} images are wrong without an attack: they stand at no radius and are not in the mean\n",
                self.wrong
            );
        }
        words += &match self.not_fooled {
            0 => "every image that is classified correctly was fooled\n".to_string(),
            n => format!(
                "{n} images were fooled by no search: they stand at every radius and are not in the mean\n"
            ),
        };
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::piece::{Piece, Question};
    use super::*;
    use crate::attacks::AttackKind;
    use crate::cpu::Mode;
    use crate::data::{Images, Size};
    use crate::evaluation::Place;
    use crate::evaluation::record::Key;
    use crate::models::file::Model;
    use crate::nn::{Init, Network, Plan as NetPlan, Problem};
    use std::path::Path;

    /// Two black images of class 0 and a classifier.
    fn two_images() -> Subject {
        let net = Network::default().build(NetPlan::new(Problem::square(8, 1, 3), 0.0625)).unwrap();
        let model = Model::new(net.clone(), net.initial(Init::He, 0));
        let images = Images::new(Size::square(8), 1, vec![0; 2 * 64], vec![0; 2]);
        Subject::given(Place::find(Path::new("nowhere/model.safetensors")).unwrap(), model, images)
    }

    #[test]
    fn an_image_that_a_later_search_finds_wrong_keeps_what_the_first_found() {
        let (subject, folder) = (two_images(), tempfile::tempdir().unwrap());
        let (device, pieces) = (Device::Cpu(Mode::Fast), Pieces::new(folder.path()));
        let positions = [0, 1];
        let own = keys(&subject, &positions);
        let fooling = vec![0.25; 64];
        // FMN fools both. On the border, DeepFool's clean pass takes the second for another class.
        let of_fmn = Piece {
            correct: vec![true; 2],
            clean_predictions: vec![0; 2],
            zero_gradient: vec![false; 2],
            broken: vec![(0, fooling.clone()), (1, fooling)],
            seconds: 1.0,
        };
        let of_deepfool = Piece {
            correct: vec![true, false],
            clean_predictions: vec![0, 1],
            broken: Vec::new(),
            ..of_fmn.clone()
        };
        let mut hunt = Hunt::new(&subject, Radius::l2(9.0), &positions);
        for (kind, piece) in [(AttackKind::FMN, of_fmn), (AttackKind::DEEPFOOL, of_deepfool)] {
            let options = &AttackOptions::new(kind);
            let AttackOptions { norm, epsilon, .. } = *options;
            let attack = Key::new(&subject.model, None, options, "", &device);
            pieces.save(&Question { attack, norm, epsilon }, &own, &piece).unwrap();
            let label = kind.name().to_string();
            let attempt = Attempt {
                device: &device,
                subject: &subject,
                options,
                pieces: &pieces,
                label,
                positions: &positions,
                keys: &own,
                starts: &[],
            };
            hunt.search(&attempt, &mut |_| {}).unwrap();
        }
        let Found { outcome, .. } = hunt.found();
        let attacked: Vec<usize> = outcome.stages.iter().map(|stage| stage.attacked).collect();
        assert_eq!(attacked, [2, 1]);
        let correct: Vec<bool> = outcome.images.iter().map(|i| i.clean_prediction == i.label).collect();
        let distances: Vec<Option<f64>> = outcome.images.iter().map(|i| i.distance.map(|d| d[0])).collect();
        let distances = of(&correct, &distances);
        assert_eq!((distances.wrong, distances.fooled, distances.not_fooled), (0, 2, 0));
    }

    fn of(correct: &[bool], distances: &[Option<f64>]) -> Distances {
        Distances::new(Vec::new(), correct, distances)
    }

    #[test]
    fn half_of_the_images_stand_up_to_the_distance_at_which_the_next_one_falls() {
        let all = [true; 4];
        let four = of(&all, &[Some(0.4), Some(0.1), Some(0.2), Some(0.3)]);
        assert_eq!((four.half_stands, four.mean, four.median), (Some(0.2), Some(0.25), Some(0.25)));
        let wrong = of(&[false, true, true, true], &[None, Some(0.1), Some(0.2), Some(0.3)]);
        assert_eq!(wrong.half_stands, Some(0.1), "a wrong image has fallen already");
        assert_eq!(of(&[false, false, true], &[None, None, Some(0.2)]).half_stands, Some(0.0));
        let standing = of(&all, &[Some(0.1), None, None, None]);
        assert_eq!((standing.half_stands, standing.not_fooled), (None, 3));
        assert_eq!(of(&all, &[Some(0.1), Some(0.3), None, None]).half_stands, Some(0.3));
    }

    #[test]
    fn the_curve_begins_with_benign_accuracy_falls_and_keeps_images_that_nothing_fools() {
        let distances = of(&[false, true, true, true], &[None, Some(0.1), None, Some(0.2)]);
        let curve = &distances.curve;
        assert_eq!((curve[0], curve[CURVE - 1]), ([0.0, 0.75], [0.2, 0.25]));
        assert!(curve.windows(2).all(|pair| pair[0][0] < pair[1][0] && pair[0][1] >= pair[1][1]));
        assert_eq!(curve[CURVE / 2], [0.1, 0.5], "an image falls at its own distance");
        let words = distances.words(Norm::L2);
        for part in [
            "2 images were fooled: mean L2 0.1500",
            "1 images are wrong",
            "1 images were fooled by no search",
        ] {
            assert!(words.contains(part), "{words}");
        }
    }

    #[test]
    fn images_that_nothing_fools_are_said_in_words() {
        let none = of(&[true; 2], &[None, None]);
        assert!(none.words(Norm::Linf).starts_with("no image was fooled\n2 images were fooled by no search"));
        assert!(none.headline(Norm::Linf, 1).contains("more than half of the images stand at every radius"));
        assert!(none.headline(Norm::Linf, 1).ends_with("(in doubt: 1 warning below)"));
    }
}
