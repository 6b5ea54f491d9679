//! Variants of the generator from the command line: trained, kept in the model file, used by `attack`, and refused where
//! they have no effect.

use super::{Scratch, assert_mentions};

/// Every flag of a variant with a value.
const FLAGS: [&[&str]; 9] = [
    &["--generator-rounds", "2"],
    &["--fixed-radius"],
    &["--generator-objective", "margin"],
    &["--generator-noise"],
    &["--generators", "2"],
    &["--generator-width", "0.0625"],
    &["--generator-depth", "1"],
    &["--generator-batch-norm"],
    &["--gradient-of", "dlr"],
];

const SHORT: [&str; 4] = ["--max-steps", "2", "--validation-share", "0"];

#[test]
fn every_variant_trains_two_steps_and_is_refused_without_a_generator() {
    for (i, flags) in FLAGS.iter().enumerate() {
        let scratch = Scratch::new();
        let text = scratch.train(&[flags, &SHORT[..], &["--out", &format!("run{i}")]].concat());
        assert_mentions(&text, &["mean L2 of the perturbation"]);
        let sentence = scratch.refuse_to_train(&[flags, &SHORT[..], &["--method", "fgm"]].concat());
        assert_mentions(&sentence, &[flags[0], "has no effect with --method fgm", "--method pgn"]);
    }
}

#[test]
fn a_model_keeps_its_variant_for_attacks_and_another_generator_starts_anew() {
    let scratch = Scratch::new();
    let every: Vec<&str> = FLAGS.concat();
    let fixed = ["--epsilon", "0.3", "--norm", "l2", "--out", "run"];
    let text = scratch.train(&[&every[..], &SHORT[..], &fixed[..]].concat());
    assert_mentions(&text, &["pgn within L2 epsilon 0.3"]);
    let attack = ["attack", "--adapter", "cpu", "--model", "run", "--attack", "pgn", "--limit", "20"];
    assert_mentions(&scratch.succeed(attack), &["PGN", "20 test images"]);
    let text = scratch.succeed([
        "train-generator",
        "--adapter",
        "cpu",
        "--model",
        "run",
        "--max-steps",
        "2",
        "--generator-depth",
        "2",
        "--out",
        "deeper",
    ]);
    assert!(text.contains("deeper"), "{text}");
    let refused = |more: &[&str]| scratch.refuse_to_train(more);
    assert_mentions(
        &refused(&["--fixed-radius", "--c-l", "1"]),
        &["--c-l has no effect with --fixed-radius"],
    );
    assert_mentions(&refused(&["--epsilon", "0.1"]), &["--method pgn without --fixed-radius"]);
    assert_mentions(&refused(&["--generators", "9"]), &["--generators", "9"]);
}
