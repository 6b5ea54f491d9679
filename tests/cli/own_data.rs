//! Data and models of one's own, from an empty folder: images of any size, arrays, corrupted images, normalisation that a
//! file lacks, and state dicts.

use super::{Scratch, assert_mentions, npy};
use pgn_wgpu::models::file::{export, to_bytes};
use pgn_wgpu::nn::{Init, Network, Plan, Problem};
use std::collections::HashMap;
use std::fs;

/// A picture of one class: bright on the left, or bright on the right.
fn shade(class: usize, x: usize, width: usize, i: usize) -> u8 {
    let bright = (x < width / 2) == (class == 0);
    (if bright { 220 } else { 30 }) + i as u8
}

/// Writes pictures of `height` x `width` of two classes, as files.
fn pictures(scratch: &Scratch, folder: &str, [height, width]: [usize; 2]) {
    for (class, name) in ["left", "right"].iter().enumerate() {
        fs::create_dir_all(scratch.path(&format!("{folder}/{name}"))).unwrap();
        for i in 0..6 {
            let pixel = |x: u32, _: u32| image::Luma([shade(class, x as usize, width, i)]);
            let picture = image::GrayImage::from_fn(width as u32, height as u32, pixel);
            picture.save(scratch.path(&format!("{folder}/{name}/{i}.png"))).unwrap();
        }
    }
}

/// The same pictures as arrays: `count` images in turns of both classes.
fn arrays(scratch: &Scratch, folder: &str, part: &str, count: usize) {
    fs::create_dir_all(scratch.path(folder)).unwrap();
    let pixels: Vec<u8> =
        (0..count).flat_map(|i| (0..96).map(move |p| shade(i % 2, p % 12, 12, i % 6))).collect();
    let labels: Vec<u8> = (0..count).map(|i| (i % 2) as u8).collect();
    fs::write(
        scratch.path(&format!("{folder}/x_{part}.npy")),
        npy("|u1", &format!("({count}, 8, 12)"), &pixels),
    )
    .unwrap();
    fs::write(scratch.path(&format!("{folder}/y_{part}.npy")), npy("|u1", &format!("({count},)"), &labels))
        .unwrap();
}

const NATURAL: [&str; 8] = ["--method", "natural", "--batch-size", "8", "--out", "run", "--augment", "none"];

/// Enough steps to tell two shades apart.
const LEARN: [&str; 6] = ["--max-steps", "150", "--epochs", "200", "--lr", "0.02"];

fn train(scratch: &Scratch, more: &[&str]) -> String {
    scratch.train(&[&NATURAL[..], more].concat())
}

fn attack<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["attack", "--adapter", "cpu", "--attack", "fgm", "--epsilon", "0.1", "--model"][..], more].concat()
}

#[test]
fn pictures_of_any_height_and_width_are_trained_on_and_attacked() {
    let scratch = Scratch::new();
    pictures(&scratch, "set", [10, 20]);
    let data = ["--dataset", "folder", "--data", "set", "--resize", "8x12"];
    let text = train(&scratch, &[&data[..], &LEARN].concat());
    assert_mentions(&text, &["set, 8x12x1, 2 classes"]);
    // The model's own size is taken, whatever the images have.
    pictures(&scratch, "large", [30, 50]);
    for more in [&["run"][..], &["run", "--data", "large"], &["run", "--data", "large", "--resize", "9"]] {
        assert_mentions(&scratch.succeed(attack(more)), &["benign accuracy 1.0000"]);
    }
    let refused = scratch.refuse(attack(&["run", "--data", "large", "--crop", "8"]));
    assert_mentions(&refused, &["8x12", "8x8", "--crop"]);
    let too_small = scratch.refuse_to_train(&["--dataset", "folder", "--data", "set", "--crop", "12"]);
    assert_mentions(&too_small, &["has 10x20 pixels, too few", "12x12"]);
    let resized =
        scratch.refuse_to_train(&["--dataset", "folder", "--data", "set", "--resize", "9", "--crop", "9x40"]);
    assert_mentions(&resized, &["has 9x18 pixels after it was resized, too few", "9x40"]);
    let generator = ["--dataset", "folder", "--data", "set", "--resize", "8x12", "--method", "pgn"];
    assert_mentions(&scratch.refuse_to_train(&generator), &["8x12", "square", "multiple of 4"]);
}

#[test]
fn labels_of_a_csv_and_the_order_of_a_class_index_are_kept() {
    let scratch = Scratch::new();
    pictures(&scratch, "set", [8, 8]);
    let lines: String = (0..6).map(|i| format!("left/{i}.png,l\nright/{i}.png,r\n")).collect();
    fs::write(scratch.path("set/labels.csv"), format!("file,class\n{lines}")).unwrap();
    fs::write(scratch.path("index.txt"), "r Right side\nl Left side\n").unwrap();
    let data = [
        "--dataset",
        "folder",
        "--data",
        "set",
        "--resize",
        "8",
        "--max-steps",
        "1",
        "--class-index",
        "index.txt",
    ];
    train(&scratch, &data);
    scratch.succeed(attack(&["run", "--csv", "out.csv"]));
    let csv = fs::read_to_string(scratch.path("out.csv")).unwrap();
    assert_mentions(&csv, &["Right side", "Left side"]);
    fs::write(scratch.path("set/labels.csv"), "name,label\n").unwrap();
    assert_mentions(&scratch.refuse(attack(&["run"])), &["labels.csv, line 1", "file,class"]);
    fs::remove_file(scratch.path("index.txt")).unwrap();
    assert_mentions(&scratch.refuse(attack(&["run"])), &["index.txt", "check"]);
}

#[test]
fn arrays_are_trained_on_attacked_and_refused_by_name() {
    let scratch = Scratch::new();
    arrays(&scratch, "set", "train", 24);
    arrays(&scratch, "set", "test", 10);
    let text = train(&scratch, &[&["--dataset", "npy", "--data", "set"][..], &LEARN].concat());
    assert_mentions(&text, &["set (NumPy), 8x12x1, 2 classes", "10 test"]);
    assert_mentions(&scratch.succeed(attack(&["run"])), &["benign accuracy 1.0000 on 10 test images"]);
    arrays(&scratch, "other", "test", 6);
    assert_mentions(&scratch.succeed(attack(&["run", "--data", "other"])), &["on 6 test images"]);
    let only_test = ["--dataset", "npy", "--data", "other", "--method", "natural"];
    assert_mentions(&scratch.refuse_to_train(&only_test), &["other", "no images for the training split"]);
    let hostile = |bytes: Vec<u8>, parts: &[&str]| {
        fs::write(scratch.path("other/x_test.npy"), bytes).unwrap();
        assert_mentions(
            &scratch.refuse(attack(&["run", "--data", "other"])),
            &[&["x_test.npy"][..], parts].concat(),
        );
    };
    hostile(npy("<f4", "(6, 8, 12)", &255.0_f32.to_le_bytes().repeat(576)), &["255", "uint8"]);
    hostile(npy("<f4", "(6, 8, 12)", &f32::NAN.to_le_bytes().repeat(576)), &["NaN"]);
    hostile(npy("|u1", "(7, 8, 12)", &[0; 672]), &["[7, 8, 12]", "6 labels"]);
    hostile(npy("|u1", "(6, 8, 12, 5)", &[0; 2880]), &["[6, 8, 12, 5]", "1 to 4 channels"]);
    hostile(npy("<f8", "(1000000000, 1024, 1024, 3)", &[0; 64]), &["1000000000", "cut short"]);
    hostile(b"\x93NUMPY\x02\0\xff\xff\xff\xff".to_vec(), &["numpy.save"]);
    hostile(npy("|O", "(6,)", &[0; 48]), &["|O", "float32"]);
    fs::write(scratch.path("other/x_test.npy"), npy("|u1", "(6, 8, 16)", &[0; 768])).unwrap();
    assert_mentions(&scratch.refuse(attack(&["run", "--data", "other"])), &["8x12", "8x16"]);
}

#[test]
fn corrupted_images_have_an_accuracy_for_each_severity() {
    let scratch = Scratch::new();
    arrays(&scratch, "set", "train", 24);
    arrays(&scratch, "set", "test", 10);
    train(&scratch, &[&["--dataset", "npy", "--data", "set"][..], &LEARN].concat());
    fs::create_dir(scratch.path("corrupted")).unwrap();
    // At severity 5, sides are swapped.
    let pixel =
        |image: usize, p: usize| shade((image % 10 % 2) ^ usize::from(image / 10 == 4), p % 12, 12, 0);
    let pixels: Vec<u8> = (0..50).flat_map(|image| (0..96).map(move |p| pixel(image, p))).collect();
    fs::write(scratch.path("corrupted/mirror.npy"), npy("|u1", "(50, 8, 12, 1)", &pixels)).unwrap();
    let labels: Vec<u8> = (0..10).map(|i| i % 2).collect();
    fs::write(scratch.path("corrupted/labels.npy"), npy("|u1", "(10,)", &labels)).unwrap();
    let line = ["evaluate", "run", "--adapter", "cpu", "--attack", "fgm", "--corruptions", "corrupted"];
    let text = scratch.succeed(line);
    assert_mentions(&text, &["run, 10 images at each severity", "mean corruption accuracy"]);
    let row: Vec<&str> =
        text.lines().find(|row| row.starts_with("mirror")).unwrap().split_whitespace().collect();
    assert_eq!(row, ["mirror", "1.0000", "1.0000", "1.0000", "1.0000", "0.0000", "0.8000"]);
    let csv = fs::read_to_string(scratch.path("run/corruptions.csv")).unwrap();
    assert_mentions(&csv, &["run,natural,mirror,5,0,10"]);
    let json = fs::read_to_string(scratch.path("run/evaluation.json")).unwrap();
    assert_mentions(&json, &["mean-corruption-accuracy", "\"mirror\""]);
    let refused = |parts: &[&str]| {
        let output = scratch.run(line);
        assert!(!output.status.success());
        assert_mentions(&String::from_utf8_lossy(&output.stderr), parts);
    };
    fs::write(scratch.path("corrupted/labels.npy"), npy("|u1", "(9,)", &labels[..9])).unwrap();
    refused(&["mirror.npy", "50 images", "labels for 9"]);
    fs::remove_file(scratch.path("corrupted/labels.npy")).unwrap();
    refused(&["corrupted", "no labels.npy"]);
}

/// The weights of a residual network as PyTorch saves them, in `m.safetensors`.
fn state_dict(scratch: &Scratch) {
    let network: Network = "resnet18".parse().unwrap();
    let net =
        network.build(Plan::new(Problem { height: 8, width: 12, channels: 1, classes: 2 }, 0.03125)).unwrap();
    let mut tensors = Vec::new();
    export(&net.slots, &net.initial(Init::He, 3), "classifier", &mut tensors);
    for (name, ..) in &mut tensors {
        *name = name.replace("classifier.", "module.");
    }
    fs::write(scratch.path("m.safetensors"), to_bytes(&tensors, HashMap::new())).unwrap();
}

#[test]
fn a_normalisation_that_a_file_lacks_is_put_in_front_by_every_command() {
    let scratch = Scratch::new();
    arrays(&scratch, "set", "train", 24);
    arrays(&scratch, "set", "test", 10);
    state_dict(&scratch);
    let images: Vec<u8> = (0..192).map(|i| (37 * i % 256) as u8).collect();
    fs::write(scratch.path("x.npy"), npy("|u1", "(2, 1, 8, 12)", &images)).unwrap();
    // What the flags stand for, done by hand.
    let by_hand: Vec<u8> =
        images.iter().flat_map(|&v| ((f32::from(v) / 255.0 - 0.25) / 0.5).to_le_bytes()).collect();
    fs::write(scratch.path("z.npy"), npy("<f4", "(2, 1, 8, 12)", &by_hand)).unwrap();
    let predict = |images: &str, save: &str, more: &[&str]| {
        let line = ["predict", "m.safetensors", "--adapter", "cpu", "--images", images, "--save", save];
        scratch.succeed([&line[..], more].concat());
        let bytes = fs::read(scratch.path(save)).unwrap();
        let numbers = bytes[bytes.len() - 16..].chunks_exact(4);
        numbers.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f32>>()
    };
    fs::write(scratch.path("names"), "n01 tench\nn02 crane\n").unwrap();
    let line = ["predict", "m.safetensors", "--adapter", "cpu", "--images", "x.npy", "--class-index"];
    let printed = scratch.succeed([&line[..], &["names"]].concat());
    assert!(printed.contains("tench") && printed.contains("crane"), "{printed}");
    fs::write(scratch.path("more"), "n01\nn02\nn03\n").unwrap();
    assert_mentions(&scratch.refuse([&line[..], &["more"]].concat()), &["more names 3 classes", "has 2"]);
    fs::write(scratch.path("x.npz"), []).unwrap();
    let several = scratch.refuse(["predict", "m.safetensors", "--adapter", "cpu", "--images", "x.npz"]);
    assert_mentions(&several, &["x.npz may hold several arrays", "numpy.save"]);
    let flags = ["--mean", "0.25", "--std", "0.5"];
    let (flagged, hand) = (predict("x.npy", "a.npy", &flags), predict("z.npy", "b.npy", &[]));
    let plain = predict("x.npy", "c.npy", &[]);
    let scaled = predict("x.npy", "d.npy", &["--mean", "0.25", "--scale", "2"]);
    for i in 0..4 {
        assert!((flagged[i] - hand[i]).abs() <= 1e-5 * hand[i].abs().max(1.0), "{flagged:?} {hand:?}");
        assert!((flagged[i] - scaled[i]).abs() <= 1e-5 * hand[i].abs().max(1.0), "{flagged:?} {scaled:?}");
    }
    assert_ne!(flagged, plain);
    let data = ["--dataset", "npy", "--data", "set"];
    let given = [&data[..], &flags].concat();
    for command in [
        attack(&["m.safetensors"]),
        vec!["evaluate", "m.safetensors", "--adapter", "cpu", "--attack", "fgm"],
        vec!["verdict", "m.safetensors", "--adapter", "cpu", "--limit", "4"],
    ] {
        scratch.succeed([&command[..], &given[..]].concat());
    }
    // A run from it has the normalisation, is continued, and starts another one.
    let network = ["--from", "m.safetensors", "--network", "resnet18", "--max-steps", "2"];
    train(&scratch, &[&given[..], &network].concat());
    scratch.succeed(["train", "--adapter", "cpu", "--resume", "run", "--max-steps", "3"]);
    let refused = scratch.refuse([&attack(&["run"])[..], &flags].concat());
    assert_mentions(&refused, &["normalises pixels itself", "0.25", "0.5", "leave"]);
    let again = [
        "--from",
        "run/model.safetensors",
        "--network",
        "resnet18",
        "--max-steps",
        "1",
        "--method",
        "natural",
    ];
    scratch.train(&[&given[..], &again, &["--out", "again"]].concat());
    // Its file tells the network, its width and the normalisation.
    let unnamed = ["train", "--adapter", "cpu", "--from", "run/model.safetensors", "--method", "natural"];
    scratch.succeed([&unnamed[..], &data, &["--max-steps", "1", "--out", "unnamed"]].concat());
    train_published(&scratch, &data);
}

/// A run with the published numbers of a data set, and what is refused beside them.
fn train_published(scratch: &Scratch, data: &[&str]) {
    let published = ["--normalise", "mnist", "--method", "natural", "--max-steps", "1", "--out", "published"];
    scratch.train(&[data, &published].concat());
    let refused = scratch.refuse([&attack(&["published"])[..], &["--mean", "0.5"]].concat());
    assert_mentions(&refused, &["normalises pixels itself", "0.1307", "0.3081"]);
    let both = ["--normalise", "mnist", "--mean", "0.5", "--method", "natural"];
    assert_mentions(&scratch.refuse_to_train(&[data, &both].concat()), &["--normalise", "given alone"]);
    let colour = ["--normalise", "cifar10", "--method", "natural"];
    assert_mentions(&scratch.refuse_to_train(&[data, &colour].concat()), &["3 means", "1 channels"]);
    let plain = ["--method", "natural", "--max-steps", "1", "--out", "plain"];
    scratch.train(&[data, &plain].concat());
    let refused = scratch.refuse([&attack(&["plain"])[..], &["--mean", "0.5"]].concat());
    assert_mentions(&refused, &["trained by this program", "leave"]);
    let refused = scratch.refuse(["evaluate", "plain", "--adapter", "cpu", "--scale", "255"]);
    assert_mentions(&refused, &["all of these are runs"]);
}

#[test]
fn more_pictures_than_are_read_at_a_time_are_answered_in_their_order() {
    let scratch = Scratch::new();
    scratch.train(&["--method", "natural", "--max-steps", "1", "--out", "run"]);
    // 150 pictures of one grey each: two batches of 64, and a part of one.
    fs::create_dir(scratch.path("set")).unwrap();
    let mut pixels = Vec::new();
    for i in 0..150_u8 {
        let picture = image::GrayImage::from_pixel(8, 8, image::Luma([i]));
        picture.save(scratch.path(&format!("set/{i:03}.png"))).unwrap();
        pixels.extend([i; 64]);
    }
    fs::write(scratch.path("x.npy"), npy("|u1", "(150, 8, 8, 1)", &pixels)).unwrap();
    let line = |images, save| ["predict", "run", "--adapter", "cpu", "--images", images, "--save", save];
    let text = scratch.succeed(line("set", "a.npy"));
    assert_mentions(&text, &["000.png", "and 50 more"]);
    scratch.succeed(line("x.npy", "b.npy"));
    assert_eq!(fs::read(scratch.path("a.npy")).unwrap(), fs::read(scratch.path("b.npy")).unwrap());
    // A damaged one is named before anything is computed.
    fs::write(scratch.path("set/149.png"), b"no picture").unwrap();
    assert_mentions(&scratch.refuse(line("set", "c.npy")), &["149.png"]);
}

#[test]
fn a_guess_about_the_size_of_pictures_is_said() {
    let scratch = Scratch::new();
    state_dict(&scratch);
    pictures(&scratch, "set/test", [8, 12]);
    let guess = "the weights do not tell the size of images, so pictures are brought to 32x32; --resize and --crop say otherwise";
    let attack = attack(&["m.safetensors", "--dataset", "folder", "--data", "set"]);
    let predict = ["predict", "m.safetensors", "--adapter", "cpu", "--images", "set/test/left"];
    let notes = |line: &[&str]| {
        let output = scratch.run(line);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for line in [&attack[..], &predict[..]] {
        assert_mentions(&notes(line), &[guess]);
        let asked = notes(&[line, &["--resize", "8x12"]].concat());
        assert!(!asked.contains("do not tell the size"), "{asked}");
    }
    // A file that is written says a size from then on.
    let export = ["export", "m.safetensors", "--onnx", "m.onnx", "--force"];
    assert_mentions(&notes(&export), &["so what is written takes 32x32; --size says otherwise"]);
    let asked = notes(&[&export[..], &["--size", "8x12"]].concat());
    assert!(!asked.contains("do not tell the size"), "{asked}");
    let problem = pgn_wgpu::nn::onnx::read(&scratch.path("m.onnx")).unwrap().net.problem;
    assert_eq!((problem.height, problem.width), (8, 12));
    assert_mentions(
        &scratch.refuse(["export", "m.onnx", "--onnx", "n.onnx", "--size", "9"]),
        &["8x12", "leave --size out"],
    );
}
