//! Who is held out: a seeded, stratified choice that depends on the labels, the share and the seed alone.

use crate::random::{Random, Stream};

/// What images are held out for; two purposes of one seed choose independently.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Validation images, from the training images.
    Validation = 0,
    /// Test images of a folder that has no test folder.
    Test = 1,
}

/// Splits `0..labels.len()` into those kept and those held out, both ascending.
///
/// `round(share x images)` are held out in all, and of every class its share to within one image; where
/// classes are tiny, the last image of a class always stays.
pub(super) fn hold_out(
    labels: &[u16],
    classes: usize,
    share: f32,
    seed: u64,
    purpose: Purpose,
) -> (Vec<u32>, Vec<u32>) {
    let mut members = vec![Vec::new(); classes];
    for (i, &label) in labels.iter().enumerate() {
        members[label as usize].push(i as u32);
    }
    let random = Random::new(seed, Stream::Split);
    let mut held = vec![false; labels.len()];
    // Rounding the running total instead of each class keeps the overall share right with many small classes.
    let (mut seen, mut due) = (0usize, 0usize);
    for (class, members) in members.iter().enumerate() {
        seen += members.len();
        let due_now = (seen as f64 * f64::from(share)).round() as usize;
        let take = (due_now - due).min(members.len().saturating_sub(1));
        due = due_now;
        let order = random.permutation(members.len(), (purpose as u32) << 16 | class as u32);
        for &place in &order[..take] {
            held[members[place as usize] as usize] = true;
        }
    }
    (0..labels.len() as u32).partition(|&i| !held[i as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` images of each of `classes` classes, interleaved.
    fn labels(classes: u16, count: usize) -> Vec<u16> {
        (0..count).flat_map(|_| 0..classes).collect()
    }

    #[test]
    fn every_image_is_on_exactly_one_side_and_classes_keep_their_share() {
        let labels = labels(10, 50);
        let (kept, held) = hold_out(&labels, 10, 0.1, 3, Purpose::Validation);
        let mut all: Vec<u32> = kept.iter().chain(&held).copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..500));
        for class in 0..10 {
            assert_eq!(held.iter().filter(|&&i| labels[i as usize] == class).count(), 5);
        }
    }

    #[test]
    fn the_overall_share_holds_even_if_no_class_is_large_enough_for_one() {
        let (_, held) = hold_out(&labels(100, 4), 100, 0.05, 0, Purpose::Validation);
        assert_eq!(held.len(), 20);
    }

    #[test]
    fn the_choice_depends_on_the_seed_and_the_purpose_alone() {
        let labels = labels(4, 100);
        let held = |seed, purpose| hold_out(&labels, 4, 0.2, seed, purpose).1;
        assert_eq!(held(1, Purpose::Validation), held(1, Purpose::Validation));
        assert_ne!(held(1, Purpose::Validation), held(2, Purpose::Validation));
        assert_ne!(held(1, Purpose::Validation), held(1, Purpose::Test));
    }

    #[test]
    fn nothing_is_held_out_at_share_zero_and_the_last_image_of_a_class_stays() {
        assert!(hold_out(&labels(3, 9), 3, 0.0, 0, Purpose::Validation).1.is_empty());
        assert!(hold_out(&labels(3, 1), 3, 0.5, 0, Purpose::Validation).1.is_empty());
    }
}
