//! Attacks on a classifier of the embedded digits, which is not affine: what is wrong from the start, logits of any scale,
//! and the same images on every device.

use super::common::{devices, worst};
use super::{WITHOUT_GENERATOR, as_seen, attack, best_devices, reached, relabelled};
use pgn_wgpu::attacks::{AttackKind, AttackOptions, AttackOutcome, Attacker, ImageVerdict, Norm};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::{self, DataOptions, Images};
use pgn_wgpu::executor::Device;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::{Init, Network, Plan, Problem};

/// A classifier of the embedded digits with initial weights: not affine, and no attack is easy to predict.
pub fn digits_model() -> (Model, Images) {
    let data = data::open(&DataOptions::default()).unwrap();
    let problem = Problem { height: 8, width: 8, channels: 1, classes: 10 };
    let classifier = Network::default().build(Plan::new(problem, 0.125)).unwrap();
    let live = classifier.initial(Init::He, 2);
    let model = Model::new(classifier, live);
    let images = as_seen(&model, &data.test.subset(&(0..24).collect::<Vec<_>>()));
    (model, images)
}

/// The model with logits times `scale`: the last layer is a convolution with leaky ReLU and the logits are means of it.
pub fn scaled(model: &Model, scale: f32) -> Model {
    let mut scaled = model.clone();
    let slots = scaled.classifier.slots.clone();
    for slot in [slots.all.len() - 2, slots.all.len() - 1] {
        slots.get_mut(&mut scaled.average, slot).iter_mut().for_each(|value| *value *= scale);
    }
    scaled
}

/// A constant of C&W that suits the small logits of initial weights.
const SUITABLE_C: f32 = 1000.0;
/// A learning rate of C&W that moves pixels at exactly 0 or 1 within a few iterations; they lie far out in tanh space.
pub const SUITABLE_RATE: f32 = 0.5;

/// All attacks that need no generator, short ones.
fn short_attacks() -> Vec<AttackOptions> {
    let short = |kind| AttackOptions {
        epsilon: 2.0,
        iterations: if kind == AttackKind::CW { 50 } else { 10 },
        search_steps: 2,
        initial_c: SUITABLE_C,
        learning_rate: SUITABLE_RATE,
        targets: 2,
        ..AttackOptions::new(kind)
    };
    let random = AttackOptions { random_start: true, ..short(AttackKind::PGD) };
    let linf = AttackOptions { norm: Norm::Linf, epsilon: 0.4, ..short(AttackKind::MIM) };
    let restarts = AttackOptions { norm: Norm::Linf, targets: 2, restarts: 2, ..short(AttackKind::FAB_T) };
    WITHOUT_GENERATOR.map(short).into_iter().chain([random, linf, restarts]).collect()
}

#[test]
fn careful_searches_end_no_farther_than_deepfool() {
    let (model, images) = digits_model();
    // Initial weights make small logits; DDN aims at the nearest class only where the softmax is as sharp as after training.
    let model = scaled(&model, 100.0);
    let device = Device::Cpu(Mode::Fast);
    let run = |kind| reached(&attack(&device, &model, &images, AttackOptions::new(kind)), Norm::L2);
    let (deepfool, all) = run(AttackKind::DEEPFOOL);
    assert_eq!(all, images.len());
    for kind in [AttackKind::FAB_T, AttackKind::DDN, AttackKind::FMN] {
        let (found, fooled) = run(kind);
        assert_eq!(fooled, images.len(), "{kind}");
        assert!(found <= deepfool, "{kind}: {found} for {deepfool}");
    }
}

#[test]
fn images_that_are_wrong_from_the_start_come_back_bit_for_bit_and_change_nothing_for_the_others() {
    let (model, seen) = digits_model();
    let wrong = |i: usize| i.is_multiple_of(3);
    let mixed = relabelled(&seen, |i| (seen.label(i) + u16::from(wrong(i))) % 10);
    for (name, device) in &best_devices() {
        for options in short_attacks() {
            // Five slots, so that batches differ.
            let run = |images: &Images, options: &AttackOptions| {
                let mut attacker = Attacker::new(device, &model, options.clone(), 5).unwrap();
                attacker.run(images, &mut |_, _| {}).unwrap()
            };
            let (all, some) = (run(&seen, &options), run(&mixed, &options));
            let what = format!("{name}, {:?}, random start {}", options.kind, options.random_start);
            assert_eq!(some.count(ImageVerdict::AlreadyWrong), 8, "{what}");
            assert!(some.l2.iter().any(|&l2| l2 > 0.0), "{what}: no image was moved");
            for i in 0..mixed.len() {
                let image = i * 64..(i + 1) * 64;
                if wrong(i) {
                    assert_eq!(some.verdict(i), ImageVerdict::AlreadyWrong, "{what}: image {i}");
                    assert_eq!(some.adversarial[image.clone()], some.images[image], "{what}: image {i}");
                    assert_eq!((some.l2[i], some.linf[i]), (0.0, 0.0), "{what}: image {i}");
                    assert_eq!(some.predictions[i], some.clean_predictions[i], "{what}: image {i}");
                } else {
                    assert!(some.adversarial[image.clone()] == all.adversarial[image], "{what}: image {i}");
                    assert_eq!(some.verdict(i), all.verdict(i), "{what}: image {i}");
                }
            }
        }
    }
}

#[test]
fn images_for_another_classifier_are_attacked_whatever_this_one_says() {
    let (model, seen) = digits_model();
    let mixed = relabelled(&seen, |i| (seen.label(i) + u16::from(i == 0)) % 10);
    let mut attacker =
        Attacker::new(&Device::Cpu(Mode::Fast), &model, AttackOptions::new(AttackKind::FGM), 24).unwrap();
    let made = attacker.run_for_others(&mixed, &mut |_, _| {}).unwrap();
    assert!(made.l2.iter().all(|&l2| l2 > 0.1), "{:?}", made.l2);
}

#[test]
fn distances_of_deepfool_do_not_depend_on_the_scale_of_the_logits() {
    let (model, images) = digits_model();
    for (name, device) in &best_devices() {
        let run = |model: &Model| attack(device, model, &images, AttackOptions::new(AttackKind::DEEPFOOL));
        let usual = run(&model);
        assert_eq!(usual.count(ImageVerdict::Fooled), images.len());
        for scale in [1e-6, 1e-3, 1e3, 1e6, 1e12] {
            let other = run(&scaled(&model, scale));
            for (i, (&l2, &expected)) in other.l2.iter().zip(&usual.l2).enumerate() {
                let off = (l2 - expected).abs();
                assert!(off < 1e-3 * expected, "{name}, logits x{scale}, image {i}: {l2} for {expected}");
            }
        }
    }
}

#[test]
fn attacks_that_follow_the_margin_do_not_depend_on_the_scale_of_the_logits() {
    let (model, images) = digits_model();
    // A power of two, so that every number is rounded as before.
    let sharp = scaled(&model, 2_f32.powi(40));
    let device = Device::Cpu(Mode::Fast);
    for options in [
        AttackOptions {
            norm: Norm::Linf,
            epsilon: 0.1,
            queries: 100,
            ..AttackOptions::new(AttackKind::SQUARE)
        },
        AttackOptions { iterations: 20, ..AttackOptions::new(AttackKind::FMN) },
    ] {
        let [usual, other] = [&model, &sharp].map(|model| attack(&device, model, &images, options.clone()));
        assert!(usual.l2.iter().any(|&l2| l2 > 0.0), "{}", options.kind);
        assert!(usual.adversarial == other.adversarial, "{}", options.kind);
        assert!(other.zero_gradient.iter().all(|zero| !zero), "{}", options.kind);
    }
}

#[test]
fn the_adapter_and_the_cpu_path_make_the_same_images() {
    let (model, images) = digits_model();
    let devices = devices();
    let (_, reference) = devices.iter().find(|(_, d)| matches!(d, Device::Cpu(Mode::Fast))).unwrap();
    for (name, device) in devices.iter().filter(|(name, _)| name.ends_with("best forms")) {
        for kind in [AttackKind::FGM, AttackKind::PGD, AttackKind::MIM] {
            let options = || AttackOptions { iterations: 10, ..AttackOptions::new(kind) };
            let ours = attack(device, &model, &images, options());
            let theirs = attack(reference, &model, &images, options());
            let apart = worst(&ours.adversarial, &theirs.adversarial);
            assert!(apart < 1e-3, "{name}, {kind:?}: {apart}");
        }
        for kind in WITHOUT_GENERATOR.into_iter().filter(|kind| kind.is_smallest()) {
            let options = || AttackOptions {
                iterations: 50,
                targets: 2,
                search_steps: 2,
                initial_c: SUITABLE_C,
                learning_rate: SUITABLE_RATE,
                ..AttackOptions::new(kind)
            };
            let mean = |outcome: AttackOutcome| outcome.l2.iter().map(|&v| f64::from(v)).sum::<f64>();
            let (ours, theirs) = (
                mean(attack(device, &model, &images, options())),
                mean(attack(reference, &model, &images, options())),
            );
            assert!(theirs > 1.0, "{kind:?} has moved images: {theirs}");
            assert!((ours - theirs).abs() < 0.01 * theirs, "{name}, {kind:?}: {ours} and {theirs}");
        }
    }
}

#[test]
fn misclassified_images_flat_classifiers_and_single_images_are_attacked_without_harm() {
    let (model, images) = digits_model();
    let mut flat = model.clone();
    flat.average.weights.fill(0.0);
    let device = Device::Cpu(Mode::Fast);
    for kind in WITHOUT_GENERATOR {
        let options = || AttackOptions { iterations: 10, search_steps: 2, ..AttackOptions::new(kind) };
        // With equal logits everything is class 0 and no gradient points anywhere.
        let still = attack(&device, &flat, &images, options());
        assert!(still.adversarial.iter().all(|v| v.is_finite()), "{kind:?}");
        assert!(still.zero_gradient.iter().all(|&zero| zero), "{kind:?}");
        let one = attack(&device, &model, &images.subset(&[3]), options());
        assert_eq!((one.len(), one.benign_accuracy()), (1, 1.0));
    }
}
