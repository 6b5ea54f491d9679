//! Restarts: every round starts at a point of its own, and one that fools an image is enough.

use super::{IMAGES, affine_model, attack, images};
use pgn_wgpu::attacks::{AttackKind, AttackOptions, AttackOutcome, ImageVerdict};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::Device;

/// An attack within this radius that hardly moves from where it starts: PGD by steps without length, Square by one query.
fn standing(kind: AttackKind, epsilon: f32) -> AttackOptions {
    AttackOptions { epsilon, iterations: 1, step_size: Some(0.0), queries: 1, ..AttackOptions::new(kind) }
}

/// What so many rounds of it do to the affine model.
fn after(restarts: usize, options: &AttackOptions) -> AttackOutcome {
    let model = affine_model();
    let (images, _) = images(&model);
    attack(&Device::Cpu(Mode::Fast), &model, &images, AttackOptions { restarts, ..options.clone() })
}

/// The attacked image at a place.
fn image(outcome: &AttackOutcome, place: usize) -> &[f32] {
    &outcome.adversarial[place * 64..][..64]
}

#[test]
fn an_image_that_withstands_every_round_comes_back_from_the_start_of_the_last_one() {
    // No image is so near the boundary.
    const EPSILON: f32 = 1e-3;
    for kind in [AttackKind::PGD, AttackKind::APGD_CE, AttackKind::SQUARE] {
        let outcomes = [1, 2, 3].map(|restarts| after(restarts, &standing(kind, EPSILON)));
        assert!(outcomes.iter().all(|outcome| outcome.count(ImageVerdict::Withstood) == IMAGES), "{kind}");
        for place in 0..IMAGES {
            let [first, second, third] = outcomes.each_ref().map(|outcome| image(outcome, place));
            let apart = first != second && second != third && third != first;
            assert!(apart, "{kind}: two rounds start at the same point near image {place}");
            for outcome in &outcomes[1..] {
                let share = outcome.l2[place] / EPSILON;
                assert!((0.9..1.001).contains(&share), "{kind}, image {place}: {share} of the radius");
            }
        }
    }
    // PGD starts at random in every round but the first, and in that too where it is told so.
    let pgd = standing(AttackKind::PGD, EPSILON);
    let usual = after(1, &pgd);
    assert!(usual.adversarial == usual.images);
    let random = after(1, &AttackOptions { random_start: true, ..pgd });
    assert!(random.l2.iter().all(|&l2| l2 > 0.9 * EPSILON));
}

#[test]
fn an_image_is_fooled_if_one_round_fools_it_and_later_rounds_leave_it_alone() {
    for kind in [AttackKind::PGD, AttackKind::SQUARE] {
        // A random point at this distance fools an image in about every fifth round.
        let [few, many] = [2, 6].map(|restarts| after(restarts, &standing(kind, 1.5)));
        let counts = [&few, &many].map(|outcome| outcome.count(ImageVerdict::Fooled));
        assert!(0 < counts[0] && counts[0] < counts[1], "{kind}: {counts:?} images");
        for place in (0..IMAGES).filter(|&place| few.verdict(place) == ImageVerdict::Fooled) {
            assert_eq!(many.verdict(place), ImageVerdict::Fooled, "{kind}: image {place}");
            assert!(image(&few, place) == image(&many, place), "{kind}: image {place} went on");
        }
    }
}
