//! Flags and configuration files with values that cannot be: the sentence has the value and what is possible.

use super::{Scratch, assert_mentions};
use std::fs;

#[test]
fn sizes_that_cannot_be_are_named_with_what_can() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--width", "0"], &["--width 0 is not possible", "0.03125 to 4"]),
        (&["--width", "nan"], &["--width nan", "0.03125 to 4"]),
        (&["--width", "1e9"], &["--width 1e9", "0.03125 to 4"]),
        (&["--width", "-1"], &["width", "-1", "0.03125 to 4"]),
        (&["--batch-size", "0"], &["--batch-size", "0", "1 to 65536"]),
        (&["--batch-size", "65537"], &["--batch-size", "65537", "1 to 65536"]),
        (&["--batch-size", "99999999999999999999"], &["--batch-size", "99999999999999999999", "1 to 65536"]),
        (&["--batch-size", "-3"], &["--batch-size -3 is not possible", "a whole number from 1 to 65536"]),
        (&["--epochs", "0"], &["--epochs", "0", "from 1"]),
        (&["--max-steps", "0"], &["--max-steps", "0", "from 1 on"]),
        (&["--lr", "0"], &["--lr", "0", "above 0"]),
        (&["--lr", "nan"], &["--lr", "nan", "above 0"]),
        (&["--lr", "inf"], &["--lr", "inf", "at most 10"]),
        (&["--lr", "-0.1"], &["--lr", "-0.1", "above 0"]),
        (&["--lr", "fast"], &["--lr fast", "above 0 and at most 10"]),
        (&["--generator-lr", "0"], &["--generator-lr", "0"]),
        (&["--ema-decay", "1"], &["--ema-decay", "1", "below 1"]),
        (&["--adv-coeff", "0"], &["--adv-coeff", "0", "above 0"]),
        (&["--adv-coeff", "1.5"], &["--adv-coeff", "1.5", "at most 1"]),
        (&["--beta", "-1"], &["--beta", "-1", "from 0"]),
        (&["--replays", "0"], &["--replays", "0", "1 to 100"]),
        (&["--awp", "2"], &["--awp", "from 0 to 1", "usual"]),
        (&["--method", "fgm", "--awp", "--through-attack"], &["--awp", "without --through-attack"]),
        (&["--awp-warm-up", "1"], &["--awp-warm-up has no effect", "belongs to --awp"]),
        (
            &["--awp", "--epochs", "4", "--awp-warm-up", "4"],
            &["--awp-warm-up 4", "below the number of epochs"],
        ),
        (&["--c-l", "-1"], &["--c-l", "-1", "from 0"]),
        (&["--c-l", "inf"], &["--c-l", "inf", "finite"]),
        (&["--generator-steps", "0"], &["--generator-steps", "0", "1 to 100"]),
        (&["--validation-share", "0.9"], &["--validation-share", "0.9", "0 to 0.5"]),
        (
            &["--method", "fast", "--validation-share", "0", "--robust-every", "1"],
            &["--robust-every 1", "no validation images"],
        ),
        (&["--seed", "-1"], &["--seed -1", "from 0 on"]),
        (&["--resize", "16"], &["digits", "fixed size", "folder"]),
        (&["--dataset", "folder", "--data", ".", "--resize", "3"], &["--resize", "4 to 4096"]),
        (
            &["--dataset", "folder", "--data", ".", "--resize", "32", "--crop", "40"],
            &["40x40", "--resize 32"],
        ),
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
        (&["summary", "--size", "3"], &["3", "4 to 1024"]),
        (&["summary", "--classes", "1"], &["1", "2 to 1000"]),
        (&["summary", "--channels", "5"], &["5", "1 to 4"]),
        (&["summary", "--batch-size", "0"], &["--batch-size", "0"]),
        (&["summary", "--width", "nan"], &["--width nan", "0.03125 to 4"]),
        (&["validate", "--adapter", "cpu", "--width", "9"], &["9", "0.03125 to 4"]),
        (&["validate", "--adapter", "cpu", "--steps", "0"], &["--steps 0", "from 1 to 10000"]),
        (&["validate", "--adapter", "cpu", "--batch-size", "0"], &["--batch-size 0", "from 1 to 65536"]),
        (&["validate", "--adapter", "quantum"], &["quantum", "cpu"]),
        (&["bench", "--seconds", "-1"], &["--seconds -1", "0.1 to 600"]),
        (&["report", "run", "--sheets", "--epsilon", "nan"], &["--epsilon"]),
        (&["sweep", "a.toml", "--shard", "9/8"], &["--shard", "9/8", "from 1 to n"]),
    ];
    for (arguments, expected) in cases {
        let scratch = Scratch::new();
        assert_mentions(&scratch.refuse(*arguments), expected);
        assert_eq!(scratch.run(*arguments).stdout, b"", "{arguments:?}");
    }
}

#[test]
fn flags_without_effect_are_refused_with_what_they_belong_to() {
    let train: &[(&[&str], &[&str])] = &[
        (
            &["--method", "natural", "--epsilon", "0.1"],
            &["--epsilon", "--method natural", "fgm, pgd, adversarial, trades, mart, fast, n-fgsm and free"],
        ),
        (
            &["--method", "fgm", "--iterations", "3"],
            &["--iterations", "--method fgm", "--method pgd", "leave it out"],
        ),
        (&["--method", "fgm", "--c-l", "3"], &["--c-l", "--method fgm", "--method pgn"]),
        (
            &["--norm", "linf"],
            &["--norm", "--method pgn", "fgm, pgd, adversarial, trades, mart, fast, n-fgsm and free"],
        ),
        (&["--method", "natural", "--through-attack"], &["--through-attack", "--method natural"]),
        (&["--freeze-classifier", "--no-ema-warmup"], &["--no-ema-warmup", "--freeze-classifier"]),
        (&["--tune", "off"], &["--tune", "--adapter cpu"]),
    ];
    for (flags, expected) in train {
        assert_mentions(&Scratch::new().refuse_to_train(flags), expected);
    }
    let others: &[(&[&str], &[&str])] = &[
        (&["train-generator", "--model", "m", "--method", "fgm"], &["--method", "always trained by pgn"]),
        (&["attack", "--model", "m", "--attack", "fgm", "--iterations", "3"], &["--iterations", "pgd, mim"]),
        (&["attack", "--model", "m", "--attack", "cw", "--norm", "l2"], &["--norm", "fgm, pgd, mim, "]),
        (&["attack", "--model", "m", "--attack", "fgm", "--sheet-images", "3"], &["without --sheet"]),
        (&["report", "run", "--adapter", "cpu"], &["--adapter", "without --sheets"]),
        (&["bench", "--targets", "--width", "1"], &["--width", "--targets"]),
        (&["bench", "--targets", "--steps-only"], &["--steps-only", "--targets"]),
        (&["verdict", "--merge", "d", "--tune", "full"], &["--tune", "with --merge"]),
        (&["predict", "m", "--images", "a.npy", "--resize", "64"], &["--resize", "--images a.npy"]),
    ];
    for (arguments, expected) in others {
        assert_mentions(&Scratch::new().refuse(*arguments), expected);
    }
}

#[test]
fn a_preset_beside_a_file_that_says_everything_is_refused() {
    let scratch = Scratch::new();
    let natural = ["--method", "natural", "--max-steps", "1"];
    scratch.train(&[&natural[..], &["--out", "run"]].concat());
    let whole = ["--config", "run/config.toml", "--preset", "paper", "--out", "other"];
    assert_mentions(&scratch.refuse_to_train(&whole), &["--preset", "--config run/config.toml", "leave one"]);
    // Of a file that says less the preset has the rest.
    fs::write(scratch.path("part.toml"), "c-l = 9.0\n").unwrap();
    scratch.train(&["--config", "part.toml", "--preset", "paper", "--max-steps", "1", "--dry-run"]);
}

#[test]
fn keys_that_no_run_of_a_file_uses_are_refused() {
    let scratch = Scratch::new();
    fs::write(scratch.path("mine.toml"), "method = \"natural\"\nc-l = 9.0\n").unwrap();
    let sentence = scratch.refuse_to_train(&["--config", "mine.toml"]);
    assert_mentions(&sentence, &["mine.toml", "c-l has no effect with --method natural", "--method pgn"]);
    // With this method the key counts, and a default says nothing wrong.
    scratch.train(&["--config", "mine.toml", "--method", "pgn", "--max-steps", "1", "--out", "used"]);
    fs::write(scratch.path("mine.toml"), "method = \"natural\"\nc-l = 3.0\n").unwrap();
    scratch.train(&["--config", "mine.toml", "--max-steps", "1", "--out", "default"]);
    fs::write(scratch.path("sweep.toml"), "c-l = 9.0\n[grid]\nmethod = [\"natural\", \"fgm\"]\n").unwrap();
    let sentence = scratch.refuse(["sweep", "sweep.toml", "--dry-run"]);
    assert_mentions(&sentence, &["sweep.toml", "c-l has no effect"]);
    fs::write(scratch.path("sweep.toml"), "c-l = 9.0\n[grid]\nmethod = [\"natural\", \"pgn\"]\n").unwrap();
    scratch.succeed(["sweep", "sweep.toml", "--dry-run"]);
}

#[test]
fn a_file_says_nothing_else_than_what_training_a_generator_sets() {
    let scratch = Scratch::new();
    scratch.train(&["--method", "natural", "--max-steps", "1", "--out", "run"]);
    let train = [
        "train-generator",
        "--adapter",
        "cpu",
        "--model",
        "run",
        "--max-steps",
        "1",
        "--config",
        "mine.toml",
    ];
    let cases: &[(&str, &[&str])] = &[
        ("method = \"fgm\"\n", &["method has no effect", "always trained by pgn"]),
        ("width = 0.25\n", &["width has no effect", "as wide as the classifier"]),
        ("network = \"resnet18\"\n", &["network has no effect", "--model holds the whole network"]),
        ("freeze-classifier = false\n", &["freeze-classifier has no effect"]),
        ("from = \"other.safetensors\"\n", &["from has no effect", "--model"]),
    ];
    for (text, expected) in cases {
        fs::write(scratch.path("mine.toml"), text).unwrap();
        let sentence = scratch.refuse(train);
        assert_mentions(&sentence, &["mine.toml", "train-generator"]);
        assert_mentions(&sentence, expected);
    }
    // What it says of itself may be repeated.
    let own = "method = \"pgn\"\nnetwork = \"all-convolutional\"\nwidth = 0.03125\nc-l = 2.0\n";
    fs::write(scratch.path("mine.toml"), own).unwrap();
    scratch.succeed(train.iter().chain(&["--out", "generator"]));
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
        ("\n\nlr = \"fast\"\n", &["line 3: lr: ", "fast"]),
        ("epochs = \n", &["line 1"]),
        ("seed = 1\nmethod = \"magic\"\n", &["line 2", "magic", "natural"]),
        ("batch-size = -4\n", &["line 1: batch-size: ", "-4", "a whole number from 0 on"]),
        ("seed = 99999999999999999999\n", &["line 1: seed: ", "99999999999999999999", "a whole number"]),
        ("epochs = 4294967296\n", &["line 1: epochs: ", "4294967296", "from 0 to 4294967295"]),
        ("width = true\n", &["line 1: width: ", "\"true\"", "a number"]),
        ("seed = 1\nwithout = [\"imagine\"]\n", &["line 2: without: ", "imagine"]),
        ("method = \"\\u0000\"\n", &["line 1: method: ", "\\u{0}"]),
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
    let beyond: &[(&str, &[&str])] = &[
        ("epochs = 0", &["--epochs 0"]),
        ("validation-share = nan", &["--validation-share NaN", "from 0 to 0.5"]),
        ("crop = 2", &["crop", "2 is not possible", "from 4 to 1024"]),
        ("resize = 8", &["--resize", "fixed size"]),
    ];
    for (text, expected) in beyond {
        let scratch = Scratch::new();
        fs::write(scratch.path("mine.toml"), text).unwrap();
        assert_mentions(&scratch.refuse_to_train(&["--config", "mine.toml"]), expected);
    }
}
