//! Slots for images: how many an attack takes, and that nothing depends on which images share them.

use super::digits::digits_model;
use super::{WITHOUT_GENERATOR, attack, best_devices, common, on_every_device};
use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker, ImageVerdict};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::Images;
use pgn_wgpu::executor::Device;

#[test]
fn an_attack_takes_no_more_slots_than_its_images_fill_and_makes_the_same_images() {
    let kinds = WITHOUT_GENERATOR;
    let (model, digits) = digits_model();
    let few = digits.subset(&[0, 1, 2, 3, 4]);
    for (name, device) in common::devices().iter().skip(1) {
        for kind in kinds {
            let options = AttackOptions {
                iterations: 10,
                targets: 2,
                queries: 30,
                search_steps: 2,
                initial_c: 1.0,
                ..AttackOptions::new(kind)
            };
            let run = |images: &Images, expected: usize, slots: usize| {
                let mut attacker = Attacker::new(device, &model, options.clone(), expected).unwrap();
                assert_eq!(attacker.slots(), slots, "{kind:?}");
                attacker.run(images, &mut |_, _| {}).unwrap().adversarial
            };
            let stacked = kind == AttackKind::DEEPFOOL;
            let narrow = run(&few, 5, if stacked { 64 } else { 5 });
            let wide = run(&few, 128, 128);
            // 24 images through 5 slots.
            let all = run(&digits, 5, if stacked { 64 } else { 5 });
            for (image, own) in narrow.chunks(64).enumerate() {
                assert!(
                    own == &wide[image * 64..][..64],
                    "{name}, {kind:?}: image {image} among 5 and 128 slots"
                );
                assert!(
                    own == &all[image * 64..][..64],
                    "{name}, {kind:?}: image {image} alone and before others"
                );
            }
        }
    }
}

#[test]
fn two_batches_that_are_not_full_become_two_smaller_ones() {
    let (model, _) = digits_model();
    let slots = |images| {
        let options = AttackOptions::new(AttackKind::FGM);
        Attacker::new(&Device::Cpu(Mode::Fast), &model, options, images).unwrap().slots()
    };
    assert_eq!([0, 1, 128, 129, 200, 1000].map(slots), [1, 1, 128, 65, 100, 125]);
}

#[test]
fn carlini_wagner_does_not_depend_on_which_images_share_the_batch() {
    on_every_device(|device, model, images, _| {
        let options = || AttackOptions {
            iterations: 20,
            search_steps: 3,
            initial_c: 1.0,
            ..AttackOptions::new(AttackKind::CW)
        };
        let all = attack(device, model, images, options());
        let one = attack(device, model, &images.subset(&[69]), options());
        assert_eq!(all.adversarial[69 * 64..], one.adversarial[..], "image 69 alone and after 69 others");
    });
}

#[test]
fn images_that_most_others_have_left_behind_go_on_in_fewer_slots_as_if_alone() {
    let (model, digits) = digits_model();
    for (name, device) in &best_devices() {
        // A radius that reaches across the boundary for about half of the images.
        let mut distances = attack(device, &model, &digits, AttackOptions::new(AttackKind::DEEPFOOL)).l2;
        distances.sort_by(f32::total_cmp);
        for kind in [AttackKind::APGD_CE, AttackKind::APGD_T, AttackKind::CW] {
            let options = AttackOptions {
                iterations: 40,
                epsilon: distances[12],
                targets: 2,
                search_steps: 3,
                initial_c: 1.0,
                ..AttackOptions::new(kind)
            };
            let all = attack(device, &model, &digits, options.clone());
            let stand: Vec<u32> =
                (0..24).filter(|&i| all.verdict(i as usize) != ImageVerdict::Fooled).collect();
            if kind.has_radius() {
                assert!((3..19).contains(&stand.len()), "{name}, {kind}: {} images stand", stand.len());
            }
            for i in stand.first().into_iter().chain(stand.last()).copied().chain([23]) {
                let mut alone = Attacker::new(device, &model, options.clone(), 1).unwrap();
                let alone = alone.run_at(&digits.subset(&[i]), &[i as usize], &mut |_, _| {}).unwrap();
                let own = &all.adversarial[i as usize * 64..][..64];
                assert_eq!(own, &alone.adversarial[..], "{name}, {kind}: image {i}");
            }
        }
    }
}
