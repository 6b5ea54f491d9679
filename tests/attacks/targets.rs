//! Attacks that lead images to a class, and searches that start at an adversarial image.

use super::digits::{SUITABLE_RATE, digits_model, scaled};
use super::{WITHOUT_GENERATOR, as_seen, attack, best_devices, reached};
use pgn_wgpu::attacks::{Aim, AttackKind, AttackOptions, AttackOutcome, Attacker, ImageVerdict, Norm};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::{Images, Size};
use pgn_wgpu::executor::Device;
use pgn_wgpu::models::file::Model;

/// The digits' classifier with a softmax as sharp as after training. Initial weights make small logits, and the cross-entropy
/// towards a class then leads away from the mean of all others, not from the largest.
fn sharp_digits_model() -> (Model, Images) {
    let (model, images) = digits_model();
    (scaled(&model, 100.0), images)
}

/// Attacks that can lead images to a class, strong enough to reach some.
fn led_attacks(target: &Aim) -> Vec<AttackOptions> {
    let kinds = WITHOUT_GENERATOR.into_iter().chain([AttackKind::APGD_DLR]);
    let led = |kind| AttackOptions {
        epsilon: 3.0,
        iterations: 50,
        search_steps: 2,
        initial_c: 1.0,
        learning_rate: SUITABLE_RATE,
        target: target.clone(),
        ..AttackOptions::new(kind)
    };
    kinds.filter(|kind| kind.aims.is_some()).map(led).collect()
}

#[test]
fn an_attack_that_leads_to_a_class_succeeds_with_that_class_alone_and_spares_its_images() {
    let (model, images) = sharp_digits_model();
    let (images, target) = with_another_class(&model, &images);
    let own = (0..images.len()).filter(|&i| usize::from(images.label(i)) == target).count();
    assert!((1..images.len()).contains(&own), "{own} images of class {target}");
    for (name, device) in &best_devices() {
        let all = led_attacks(&Aim::Class(target));
        assert!(all.len() >= 8, "{} attacks can aim", all.len());
        for options in all {
            let outcome = attack(device, &model, &images, options.clone());
            let what = format!("{name}, {}", options.kind);
            assert_eq!(outcome.count(ImageVerdict::OfTarget), own, "{what}");
            for i in 0..images.len() {
                let image = i * 64..(i + 1) * 64;
                match outcome.verdict(i) {
                    ImageVerdict::OfTarget => {
                        assert_eq!(outcome.adversarial[image.clone()], outcome.images[image]);
                    }
                    ImageVerdict::Fooled => assert_eq!(outcome.predictions[i], target, "{what}, image {i}"),
                    _ => assert_ne!(outcome.predictions[i], target, "{what}, image {i}"),
                }
            }
            let reached = outcome.count(ImageVerdict::Fooled);
            assert!(reached > 0, "{what} leads no image to class {target}");
            assert!(outcome.targets.is_some_and(|all| all.iter().all(|&led| led == target)), "{what}");
        }
    }
}

/// The images, of which one is led far into another class than theirs; and that class.
fn with_another_class(model: &Model, images: &Images) -> (Images, usize) {
    let device = Device::Cpu(Mode::Fast);
    let target = attack(&device, model, images, AttackOptions::new(AttackKind::DEEPFOOL)).predictions[0];
    let led = AttackOptions {
        epsilon: 3.0,
        iterations: 50,
        target: Aim::Class(target),
        ..AttackOptions::new(AttackKind::PGD)
    };
    let moved = attack(&device, model, images, led);
    assert_eq!(moved.predictions[0], target, "PGD reaches the class that DeepFool has found");
    let mut pixels: Vec<u8> = (0..images.len()).flat_map(|i| images.image(i).to_vec()).collect();
    for (pixel, value) in pixels.iter_mut().zip(&moved.adversarial[..64]) {
        *pixel = (value * 255.0).round() as u8;
    }
    (as_seen(model, &Images::new(Size::square(8), 1, pixels, images.labels().to_vec())), target)
}

#[test]
fn trying_each_class_keeps_the_nearest_of_a_search_and_the_first_success_within_a_ball() {
    let (model, images) = sharp_digits_model();
    let device = Device::Cpu(Mode::Fast);
    let led = |kind, target| {
        let all = led_attacks(&target);
        all.into_iter().find(|options| options.kind == kind).unwrap()
    };
    let singles: Vec<AttackOutcome> = (0..10)
        .map(|class| attack(&device, &model, &images, led(AttackKind::FMN, Aim::Class(class))))
        .collect();
    let each = attack(&device, &model, &images, led(AttackKind::FMN, Aim::Each));
    for i in 0..images.len() {
        let fooled = singles.iter().filter(|single| single.verdict(i) == ImageVerdict::Fooled);
        let nearest = fooled.map(|single| single.l2[i]).fold(f32::INFINITY, f32::min);
        assert_eq!(each.verdict(i) == ImageVerdict::Fooled, nearest.is_finite(), "image {i}");
        assert!(!nearest.is_finite() || each.l2[i] == nearest, "image {i}: {} for {nearest}", each.l2[i]);
        if nearest.is_finite() {
            assert_eq!(each.targets.as_ref().unwrap()[i], each.predictions[i], "image {i}");
        }
    }
    let count =
        |target| attack(&device, &model, &images, led(AttackKind::PGD, target)).count(ImageVerdict::Fooled);
    let (each, least_likely) = (count(Aim::Each), count(Aim::LeastLikely));
    assert!(each >= least_likely && each >= count(Aim::RunnerUp(0)), "{each}");
}

#[test]
fn fmn_near_an_adversarial_image_ends_no_farther_than_that() {
    let (model, images) = sharp_digits_model();
    for (name, device) in &best_devices() {
        for norm in Norm::ALL {
            let rough = AttackOptions { norm, iterations: 10, ..AttackOptions::new(AttackKind::FMN) };
            let first = attack(device, &model, &images, rough);
            let near = AttackOptions { norm, started: true, ..AttackOptions::new(AttackKind::FMN) };
            let mut attacker = Attacker::new(device, &model, near, 5).unwrap();
            let places: Vec<usize> = (0..images.len()).collect();
            let second = attacker.run_from(&images, &places, &first.adversarial, &mut |_, _| {}).unwrap();
            let ((from, before), (to, after)) = (reached(&first, norm), reached(&second, norm));
            assert!(after >= before && to < from, "{name}, {}: {to} from {from}", norm.name());
        }
    }
    let pgd = AttackOptions { started: true, ..AttackOptions::new(AttackKind::PGD) };
    let refused = Attacker::new(&Device::Cpu(Mode::Fast), &model, pgd, 5).err().unwrap().to_string();
    assert!(refused.contains("pgd cannot start at images that are given"), "{refused}");
}
