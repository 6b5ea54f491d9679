//! Who is held out, and who is chosen where only some images are wanted: seeded, stratified choices that depend on the
//! labels, the number and the seed alone.

use crate::random::{Random, Stream};

/// What images are held out for; two purposes of one seed choose independently.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Validation images, from the training images.
    Validation = 0,
    /// Test images of a folder that has no test folder.
    Test = 1,
    /// A few images of a split.
    Few = 2,
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

/// `count` of the images with these labels, or all if there are fewer: of every class its share.
///
/// The choice is the beginning of an order of all images that depends on the labels and the seed alone. So fewer images
/// are always among more, and the beginning of a choice is a fair choice too. Of classes of equal size no one ever
/// has more than one image more than another.
pub fn stratified(labels: &[u16], count: usize, seed: u64) -> Vec<u32> {
    let classes = labels.iter().max().map_or(0, |&last| usize::from(last) + 1);
    let mut members = vec![Vec::new(); classes];
    for (i, &label) in labels.iter().enumerate() {
        members[usize::from(label)].push(i as u32);
    }
    let random = Random::new(seed, Stream::Split);
    let mut order: Vec<(f64, u32)> = Vec::with_capacity(labels.len());
    for (class, members) in members.iter().enumerate() {
        let major = (Purpose::Few as u32) << 16 | class as u32;
        // Each class is spread evenly over the order, from a start of its own.
        let start = f64::from(random.uniform(major, u32::MAX));
        let shuffled = random.permutation(members.len(), major);
        order.extend(shuffled.iter().enumerate().map(|(place, &member)| {
            ((place as f64 + start) / members.len() as f64, members[member as usize])
        }));
    }
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.into_iter().take(count).map(|(_, image)| image).collect()
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

    #[test]
    fn a_few_images_are_of_all_classes_alike_and_fewer_are_among_more() {
        // Class by class, as folders are read: the first so many would be of one class.
        let labels: Vec<u16> = (0..10).flat_map(|class| [class; 40]).collect();
        let all = stratified(&labels, 400, 0);
        for count in 1..=400 {
            let few = stratified(&labels, count, 0);
            assert_eq!(few, all[..count]);
            let of = |class| few.iter().filter(|&&i| labels[i as usize] == class).count();
            let counts: Vec<usize> = (0..10).map(of).collect();
            assert!(counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref(), "{counts:?}");
        }
        let mut sorted = all;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..400));
    }

    #[test]
    fn classes_of_unequal_size_keep_their_shares() {
        let labels = [vec![0; 900], vec![1; 90], vec![2; 10]].concat();
        for count in [10, 100, 500] {
            let few = stratified(&labels, count, 3);
            for (class, size) in [(0, 900), (1, 90), (2, 10)] {
                let chosen = few.iter().filter(|&&i| labels[i as usize] == class).count();
                let share = (count * size) as f64 / 1000.0;
                assert!((chosen as f64 - share).abs() <= 1.5, "{chosen} of class {class} among {count}");
            }
        }
    }

    #[test]
    fn which_few_images_depends_on_the_seed_and_more_than_there_are_is_all() {
        let labels = labels(4, 25);
        assert_eq!(stratified(&labels, 20, 1), stratified(&labels, 20, 1));
        assert_ne!(stratified(&labels, 20, 1), stratified(&labels, 20, 2));
        assert_eq!(stratified(&labels, 999, 1).len(), 100);
        assert!(stratified(&[], 5, 1).is_empty());
    }
}
