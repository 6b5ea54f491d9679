//! Flags and configuration files with values that cannot be: the sentence has the value and what is possible.

use super::{Scratch, assert_mentions};
use std::fs;

#[test]
fn sizes_that_cannot_be_are_named_with_what_can() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--width", "0"], &["width", "0", "0.03125 to 4"]),
        (&["--width", "nan"], &["width", "NaN", "0.03125 to 4"]),
        (&["--width", "1e9"], &["width", "1000000000", "0.03125 to 4"]),
        (&["--width", "-1"], &["width", "-1", "0.03125 to 4"]),
        (&["--batch-size", "0"], &["--batch-size", "0", "1 to 65536"]),
        (&["--batch-size", "65537"], &["--batch-size", "65537", "1 to 65536"]),
        (&["--batch-size", "99999999999999999999"], &["--batch-size", "99999999999999999999"]),
        (&["--batch-size", "-3"], &["--batch-size", "-3"]),
        (&["--epochs", "0"], &["--epochs", "0", "from 1"]),
        (&["--max-steps", "0"], &["--max-steps", "0", "at least 1"]),
        (&["--lr", "0"], &["--lr", "0", "above 0"]),
        (&["--lr", "nan"], &["--lr", "NaN", "above 0"]),
        (&["--lr", "inf"], &["--lr", "inf", "at most 10"]),
        (&["--lr", "-0.1"], &["--lr", "-0.1", "above 0"]),
        (&["--lr", "fast"], &["--lr", "fast"]),
        (&["--generator-lr", "0"], &["--generator-lr", "0"]),
        (&["--ema-decay", "1"], &["--ema-decay", "1", "below 1"]),
        (&["--adv-coeff", "0"], &["--adv-coeff", "0", "--method natural"]),
        (&["--adv-coeff", "1.5"], &["--adv-coeff", "1.5", "at most 1"]),
        (&["--c-l", "-1"], &["--c-l", "-1", "from 0"]),
        (&["--c-l", "inf"], &["--c-l", "inf", "finite"]),
        (&["--generator-steps", "0"], &["--generator-steps", "0", "1 to 100"]),
        (&["--validation-share", "0.9"], &["validation share", "0.9", "0 to 0.5"]),
        (&["--seed", "-1"], &["--seed", "-1"]),
        (&["--side", "16"], &["digits", "fixed size", "folder"]),
        (&["--dataset", "folder", "--data", ".", "--side", "30"], &["30x30", "divisible by 4"]),
        (&["--method", "magic"], &["--method", "magic"]),
        (&["--adapter", "quantum"], &["quantum", "cpu"]),
    ];
    for (flags, expected) in cases {
        // The last adapter wins, so it is not given twice.
        let arguments = match flags.contains(&"--adapter") {
            true => ["train", "--width", "0.03125"].iter().chain(*flags),
            false => ["train", "--adapter", "cpu"].iter().chain(*flags),
        };
        assert_mentions(&Scratch::new().refuse(arguments), expected);
    }
}

#[test]
fn a_summary_or_validation_of_an_impossible_model_prints_the_sentence_alone() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["summary", "--side", "30"], &["30", "multiple of 4"]),
        (&["summary", "--classes", "1"], &["1", "2 to 1000"]),
        (&["summary", "--channels", "2"], &["2", "1 (grey) or 3 (RGB)"]),
        (&["summary", "--batch-size", "0"], &["--batch-size", "0"]),
        (&["summary", "--width", "nan"], &["NaN", "0.03125 to 4"]),
        (&["validate", "--adapter", "cpu", "--width", "9"], &["9", "0.03125 to 4"]),
        (&["validate", "--adapter", "cpu", "--steps", "0"], &["--steps", "at least 1"]),
        (&["validate", "--adapter", "cpu", "--batch-size", "0"], &["--batch-size", "at least 1"]),
        (&["validate", "--adapter", "quantum"], &["quantum", "cpu"]),
    ];
    for (arguments, expected) in cases {
        let scratch = Scratch::new();
        assert_mentions(&scratch.refuse(*arguments), expected);
        assert_eq!(scratch.run(*arguments).stdout, b"", "{arguments:?}");
    }
}

#[test]
fn unknown_flags_and_commands_are_named() {
    let scratch = Scratch::new();
    assert_mentions(&scratch.refuse_to_train(&["--wdith", "1"]), &["--wdith"]);
    assert_mentions(&scratch.refuse(["trian"]), &["trian"]);
    assert_mentions(&scratch.refuse_to_train(&["--augment", "none", "--no-augment"]), &["--no-augment"]);
}

#[test]
fn mistakes_in_a_configuration_file_are_named_with_their_line() {
    let cases: &[(&str, &[&str])] = &[
        ("seed = 1\nwdith = 2.0\n", &["line 2", "wdith", "width"]),
        ("\n\nlr = \"fast\"\n", &["line 3", "fast"]),
        ("epochs = \n", &["line 1"]),
        ("seed = 1\nmethod = \"magic\"\n", &["line 2", "magic", "natural"]),
        ("batch-size = -4\n", &["line 1", "-4"]),
    ];
    for (text, expected) in cases {
        let scratch = Scratch::new();
        fs::write(scratch.path("mine.toml"), text).unwrap();
        let sentence = scratch.refuse_to_train(&["--config", "mine.toml"]);
        assert_mentions(&sentence, &["mine.toml"]);
        assert_mentions(&sentence, expected);
    }
    assert_mentions(
        &Scratch::new().refuse_to_train(&["--config", "none.toml"]),
        &["none.toml", "check the path"],
    );
    assert_mentions(&Scratch::new().refuse_to_train(&["--config", "."]), &["cannot read ."]);
    let scratch = Scratch::new();
    fs::write(scratch.path("mine.toml"), "epochs = 0").unwrap();
    assert_mentions(&scratch.refuse_to_train(&["--config", "mine.toml"]), &["--epochs 0"]);
}
