//! When a number looks too good. Each check is a function of numbers alone and answers with the figure it is about
//! and with one sentence on what that means.

use serde::{Deserialize, Serialize};

/// A reason to doubt a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What was measured.
    pub figure: String,
    /// What it means.
    pub explanation: String,
}

impl Warning {
    /// A warning.
    pub fn new(figure: String, explanation: &str) -> Self {
        Self { figure, explanation: explanation.to_string() }
    }
}

/// Shares of images may differ by this much before it is called a difference.
const SLACK: f64 = 0.005;
/// And always by more than one image.
const SLACK_IMAGES: f64 = 1.5;
/// More images than this share without a gradient are a warning.
const ZERO_GRADIENTS: f64 = 0.01;
/// More failures than this share are a warning.
const FAILURES: f64 = 0.05;
/// More images than this share on which another attack does better are a warning.
const BEATEN: f64 = 0.05;
/// Attacks within a radius and smallest distances come from different algorithms; this much they may disagree.
const DISAGREEMENT: f64 = 0.05;

/// Accuracies of the same attack with a weaker and a stronger setting, over the same images.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// With the setting that should leave more.
    pub weaker: f64,
    /// With the setting that should leave less.
    pub stronger: f64,
    /// Images.
    pub images: usize,
}

fn slack(images: usize) -> f64 {
    SLACK.max(SLACK_IMAGES / images.max(1) as f64)
}

impl Pair {
    fn rises(self) -> bool {
        self.stronger - self.weaker > slack(self.images)
    }

    /// There was something to lose and next to nothing was lost.
    fn stands_still(self) -> bool {
        let noticeable = slack(self.images);
        self.weaker > 2.0 * noticeable && self.weaker - self.stronger < noticeable
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Images whose gradient is exactly zero, as a share of those that are attacked.
pub fn zero_gradients(share: f64) -> Option<Warning> {
    if share <= ZERO_GRADIENTS {
        return None;
    }
    Some(Warning::new(
        format!("{} of the attacked images have a gradient of exactly zero", percent(share)),
        "attacks that follow the gradient cannot start on them, so their accuracy overstates robustness",
    ))
}

/// An attack of many steps that leaves more than one of a single step within the same radius; `pair.weaker` is the
/// accuracy under the latter, which is named first.
pub fn weaker_than_one_step(names: [&str; 2], pair: Pair) -> Option<Warning> {
    let why = "many steps should do at least what one step does: the gradients mislead the attack, or its step size does not \
               suit the radius";
    weaker(names, pair, why)
}

/// The same beside an attack that asks for answers alone.
pub fn weaker_than_queries(names: [&str; 2], pair: Pair) -> Option<Warning> {
    let why = "an attack without gradients should find nothing more: the gradients mislead the other attack, or it takes too few \
               steps";
    weaker(names, pair, why)
}

fn weaker([one, many]: [&str; 2], pair: Pair, why: &str) -> Option<Warning> {
    let figure =
        || format!("{many} leaves an accuracy of {}, {one} {}", percent(pair.stronger), percent(pair.weaker));
    pair.rises().then(|| Warning::new(figure(), why))
}

/// A verdict that leaves more than all attacks of an evaluation together, within the same radius and over the same images;
/// `pair.weaker` is what those leave.
pub fn verdict_above_worst_case(pair: Pair) -> Option<Warning> {
    let why = "another attack breaks images that the quick verdict misses, so the verdict overstates robustness; judge the model \
               with `pgn-wgpu verdict` and `version` full, which also has an attack without gradients";
    weaker(["all attacks of this evaluation together", "the quick verdict"], pair, why)
}

/// Images made on another classifier that do more than those made on the classifier itself; `pair.weaker` is the
/// accuracy under the former.
pub fn black_box_stronger(attack: &str, pair: Pair) -> Option<Warning> {
    if !pair.rises() {
        return None;
    }
    Some(Warning::new(
        format!(
            "{attack} images made on another classifier leave an accuracy of {}, those made on this one {}",
            percent(pair.weaker),
            percent(pair.stronger)
        ),
        "who knows the weights should do better than who does not: this classifier hides its gradients rather than \
         withstanding the attack",
    ))
}

/// Black-box images from a classifier that was trained with the same seed.
pub fn same_seed(made_on: &str, seed: u64) -> Warning {
    Warning::new(
        format!("the black-box images were made on {made_on}, which was trained with the same seed, {seed}"),
        "two runs of one seed start from the same weights and see the same batches, so their images carry over more \
         easily than a stranger's; train the source with another `seed`",
    )
}

/// Accuracy that rises with the number of steps.
pub fn more_steps(attack: &str, steps: [usize; 2], pair: Pair) -> Option<Warning> {
    if !pair.rises() {
        return None;
    }
    Some(Warning::new(
        format!(
            "{attack} leaves an accuracy of {} after {} steps and of {} after {}",
            percent(pair.weaker),
            steps[0],
            percent(pair.stronger),
            steps[1]
        ),
        "more steps should never leave more: the attack wanders, and a longer or smaller-stepped one would find less",
    ))
}

/// Accuracy that rises with the radius, or does not fall although the radius doubles.
pub fn larger_epsilon(attack: &str, epsilons: [f32; 2], pair: Pair) -> Option<Warning> {
    let doubled = epsilons[1] >= 2.0 * epsilons[0];
    let failed = pair.rises() || (doubled && pair.stands_still());
    if !failed {
        return None;
    }
    Some(Warning::new(
        format!(
            "{attack} leaves an accuracy of {} at epsilon {} and of {} at {}",
            percent(pair.weaker),
            epsilons[0],
            percent(pair.stronger),
            epsilons[1]
        ),
        "a larger radius should break more images: what is measured is the attack's failure, not the classifier's strength",
    ))
}

/// Accuracy above chance where the radius allows any image to be turned into anything.
pub fn huge_epsilon(attack: &str, epsilon: f32, accuracy: f64, classes: usize) -> Option<Warning> {
    let chance = 1.0 / classes as f64;
    if accuracy <= chance {
        return None;
    }
    Some(Warning::new(
        format!(
            "{attack} leaves an accuracy of {} at epsilon {epsilon:.3}, half the norm of the whole box; chance is {}",
            percent(accuracy),
            percent(chance)
        ),
        "nothing withstands such a radius, so the attack does not work on this classifier",
    ))
}

/// A minimum-norm attack that fails on many of the images that it is run on; `remedy` says what to do.
pub fn many_failures(attack: &str, failures: usize, images: usize, remedy: &str) -> Option<Warning> {
    let share = failures as f64 / images.max(1) as f64;
    if share <= FAILURES {
        return None;
    }
    Some(Warning::new(
        format!("{attack} fails on {failures} of {images} attacked images ({})", percent(share)),
        &format!(
            "its distances are those of the images that are easy to fool, so runs with different failures do not compare; \
             {remedy}"
        ),
    ))
}

/// A minimum-norm attack that fails, or ends noticeably further away, where `other` does not.
pub fn stronger_beside(
    attack: &str,
    other: &str,
    beaten: usize,
    images: usize,
    remedy: &str,
) -> Option<Warning> {
    let share = beaten as f64 / images.max(1) as f64;
    if share <= BEATEN || (beaten as f64) < SLACK_IMAGES {
        return None;
    }
    Some(Warning::new(
        format!(
            "{other} does better than {attack} on {beaten} of {images} attacked images ({}): it fools where {attack} \
             fails, or with a shorter perturbation",
            percent(share)
        ),
        &format!("the distances of {attack} overstate robustness; {remedy}"),
    ))
}

/// The accuracy that an attack within radius ε leaves against the share of images whose smallest known adversarial
/// perturbation is longer than ε: two measurements of one thing.
pub fn radius_against_distances(
    attack: &str,
    (accuracy, epsilon): (f64, f32),
    beyond: f64,
    images: usize,
) -> Option<Warning> {
    let allowed = DISAGREEMENT + SLACK_IMAGES / images.max(1) as f64;
    let figure = format!(
        "{attack} leaves an accuracy of {} at epsilon {epsilon}, but for {} of the images the smallest adversarial \
         perturbation found is longer than that",
        percent(accuracy),
        percent(beyond)
    );
    if accuracy > beyond + allowed {
        return Some(Warning::new(
            figure,
            "the attack at a fixed radius misses images that a smaller perturbation already fools, so its accuracy \
             overstates robustness",
        ));
    }
    if accuracy < beyond - allowed {
        return Some(Warning::new(
            figure,
            "the minimum-norm attacks miss shorter perturbations, so their distances overstate robustness; give them more \
             iterations",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(weaker: f64, stronger: f64) -> Pair {
        Pair { weaker, stronger, images: 1000 }
    }

    /// Asserts that a warning was given and that it shows its figures.
    fn fires(warning: Option<Warning>, figures: &[&str]) {
        let warning = warning.expect("a warning");
        for figure in figures {
            assert!(warning.figure.contains(figure), "{figure} in {}", warning.figure);
        }
        assert!(!warning.explanation.is_empty());
    }

    #[test]
    fn images_without_a_gradient_are_told_from_a_few_stray_ones() {
        fires(zero_gradients(0.2), &["20.0 %"]);
        assert_eq!(zero_gradients(0.005), None);
    }

    #[test]
    fn many_steps_must_not_do_less_than_one() {
        fires(weaker_than_one_step(["FGM", "MIM"], pair(0.3, 0.4)), &["MIM", "40.0 %", "30.0 %"]);
        assert_eq!(weaker_than_one_step(["FGM", "MIM"], pair(0.4, 0.3)), None);
        assert_eq!(weaker_than_one_step(["FGM", "MIM"], pair(0.4, 0.404)), None, "within the slack");
    }

    #[test]
    fn a_verdict_must_not_leave_more_than_the_attacks_beside_it() {
        fires(verdict_above_worst_case(pair(0.2, 0.6)), &["60.0 %", "20.0 %"]);
        assert_eq!(verdict_above_worst_case(pair(0.2, 0.2)), None);
        assert_eq!(verdict_above_worst_case(pair(0.6, 0.2)), None);
    }

    #[test]
    fn one_image_more_or_less_is_no_difference_in_a_small_set() {
        assert_eq!(
            weaker_than_one_step(["FGM", "PGD"], Pair { weaker: 0.3, stronger: 0.31, images: 100 }),
            None
        );
        fires(
            weaker_than_one_step(["FGM", "PGD"], Pair { weaker: 0.3, stronger: 0.32, images: 100 }),
            &["PGD"],
        );
    }

    #[test]
    fn strangers_must_not_do_better_than_who_knows_the_weights() {
        fires(black_box_stronger("FGM", pair(0.2, 0.5)), &["FGM", "20.0 %", "50.0 %"]);
        assert_eq!(black_box_stronger("FGM", pair(0.5, 0.2)), None);
    }

    #[test]
    fn a_relative_is_no_stranger() {
        fires(Some(same_seed("naive", 7)), &["naive", "7"]);
    }

    #[test]
    fn accuracy_that_rises_with_steps_is_named_and_accuracy_that_has_converged_is_not() {
        fires(more_steps("MIM", [50, 100], pair(0.3, 0.35)), &["50 steps", "after 100", "35.0 %"]);
        assert_eq!(more_steps("MIM", [50, 100], pair(0.3, 0.3)), None);
    }

    #[test]
    fn accuracy_that_a_larger_radius_leaves_as_it_is_is_named_unless_nothing_was_left() {
        fires(larger_epsilon("FGM", [0.5, 1.0], pair(0.3, 0.3)), &["0.5", "at 1", "30.0 %"]);
        fires(larger_epsilon("FGM", [0.5, 1.0], pair(0.3, 0.4)), &["40.0 %"]);
        assert_eq!(larger_epsilon("FGM", [0.5, 1.0], pair(0.3, 0.2)), None);
        assert_eq!(larger_epsilon("FGM", [0.5, 1.0], pair(0.0, 0.0)), None);
        assert_eq!(larger_epsilon("FGM", [0.5, 0.51], pair(0.3, 0.3)), None, "hardly larger");
        fires(larger_epsilon("FGM", [0.5, 0.51], pair(0.3, 0.4)), &["40.0 %"]);
    }

    #[test]
    fn a_huge_radius_must_leave_no_more_than_chance() {
        fires(huge_epsilon("PGD", 27.7, 0.3, 10), &["PGD", "27.7", "30.0 %", "10.0 %"]);
        assert_eq!(huge_epsilon("PGD", 27.7, 0.1, 10), None);
        assert_eq!(huge_epsilon("PGD", 27.7, 0.0, 10), None);
    }

    #[test]
    fn failures_are_named_unless_they_are_few() {
        let warning = many_failures("C&W", 61, 200, "raise `initial-c`");
        fires(warning.clone(), &["C&W", "61 of 200", "30.5 %"]);
        assert!(warning.unwrap().explanation.ends_with("raise `initial-c`"));
        assert_eq!(many_failures("C&W", 10, 200, ""), None);
        assert_eq!(many_failures("C&W", 0, 0, ""), None);
    }

    #[test]
    fn a_stronger_attack_beside_is_named_unless_it_is_so_on_a_few_images() {
        let of = |beaten, images| stronger_beside("C&W", "DeepFool", beaten, images, "raise `initial-c`");
        fires(of(30, 200), &["DeepFool does better than C&W", "30 of 200", "15.0 %"]);
        assert_eq!([of(10, 200), of(1, 3), of(0, 0)], [None, None, None]);
    }

    #[test]
    fn accuracy_at_a_radius_and_distances_must_tell_the_same_story() {
        let overstated = radius_against_distances("MIM", (0.6, 0.5), 0.4, 1000);
        fires(overstated.clone(), &["MIM", "60.0 %", "0.5", "40.0 %"]);
        assert!(overstated.unwrap().explanation.contains("fixed radius"));
        let too_long = radius_against_distances("MIM", (0.2, 0.5), 0.4, 1000);
        assert!(too_long.unwrap().explanation.contains("more iterations"));
        assert_eq!(radius_against_distances("MIM", (0.42, 0.5), 0.4, 1000), None);
    }
}
