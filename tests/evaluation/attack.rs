//! `pgn-wgpu attack`: its files, and who may overwrite them.

use crate::scale_last_layer;
use crate::{answers, assert_mentions, command, numbers, refuse, run_folder, succeed, trained};
use pgn_wgpu::models::file::Model;
use safetensors::SafeTensors;
use std::fs;
use std::path::Path;

const IMAGES: usize = 50;
const PIXELS: usize = 64;

fn classes(file: &Path, name: &str) -> Vec<usize> {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let values: Vec<i64> = bytemuck::pod_collect_to_vec(tensors.tensor(name).unwrap().data());
    values.into_iter().map(|value| value as usize).collect()
}

#[test]
fn the_reference_path_confirms_every_saved_image() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        ["attack", "--adapter", "cpu", "--model"].as_slice(),
        &[&trained("pgn"), "--attack", "fgm,pgd,mim", "--attack", "deepfool,cw,pgn", "--epsilon", "0.2,0.6"],
        &["--iterations", "20", "--limit", "50", "--save", "out.safetensors"],
    ];
    succeed(folder.path(), &arguments.concat());
    let model = Model::load(&run_folder("pgn").join("model.safetensors"), None).unwrap();
    let with_radius = ["fgm", "pgd", "mim"].into_iter().flat_map(|a| [(a, Some("0.2")), (a, Some("0.6"))]);
    for (attack, epsilon) in with_radius.chain(["deepfool", "cw", "pgn"].map(|a| (a, None))) {
        let part = epsilon.map_or(String::new(), |epsilon| format!("-{epsilon}"));
        let file = folder.path().join(format!("out-{attack}{part}.safetensors"));
        let (images, adversarial) = (numbers(&file, "images"), numbers(&file, "adversarial"));
        assert_eq!(adversarial.len(), IMAGES * PIXELS, "{attack}");
        assert!(adversarial.iter().all(|v| (0.0..=1.0).contains(v)), "{attack} leaves the box");
        // One channel, so the file's order is the model's.
        assert_eq!(answers(&model, &images), classes(&file, "clean_predictions"), "{attack}");
        assert_eq!(answers(&model, &adversarial), classes(&file, "predictions"), "{attack}");
        for (i, &l2) in numbers(&file, "l2").iter().enumerate() {
            let pairs = adversarial[i * PIXELS..][..PIXELS].iter().zip(&images[i * PIXELS..][..PIXELS]);
            let norm = pairs.map(|(a, x)| f64::from(a - x).powi(2)).sum::<f64>().sqrt();
            assert!((norm - f64::from(l2)).abs() < 1e-6, "{attack}, image {i}: {l2} for {norm}");
            let most = epsilon.map_or(f64::INFINITY, |epsilon| epsilon.parse().unwrap());
            assert!(norm <= most + 1e-5, "{attack}, image {i}: {norm} above {most}");
        }
    }
}

/// Six attacks on a model that gets many images wrong.
#[test]
fn table_csv_and_saved_images_agree_on_a_weak_model() {
    let folder = tempfile::tempdir().unwrap();
    let weak = ["train", "--adapter", "cpu", "--width", "0.0625", "--max-steps", "60", "--out", "weak"];
    succeed(folder.path(), &weak);
    let kinds = ["fgm", "pgd", "mim", "deepfool", "cw", "pgn"];
    let arguments = [
        ["attack", "--adapter", "cpu", "--model", "weak", "--attack"].as_slice(),
        &["fgm,pgd,mim,deepfool,cw,pgn", "--epsilon", "1/4", "--iterations", "20", "--limit", "200"],
        &["--save", "out.safetensors", "--csv", "a.csv"],
    ];
    let text = succeed(folder.path(), &arguments.concat());
    let csv = fs::read_to_string(folder.path().join("a.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|head| *head == name).unwrap();
    let model = Model::load(&folder.path().join("weak/model.safetensors"), None).unwrap();
    for kind in kinds {
        let part = if ["fgm", "pgd", "mim"].contains(&kind) { "-0.25" } else { "" };
        let file = folder.path().join(format!("out-{kind}{part}.safetensors"));
        let (images, adversarial) = (numbers(&file, "images"), numbers(&file, "adversarial"));
        let labels = classes(&file, "labels");
        let (clean, attacked) = (answers(&model, &images), answers(&model, &adversarial));
        let count = |holds: &dyn Fn(usize) -> bool| (0..labels.len()).filter(|&i| holds(i)).count();
        let wrong = count(&|i| clean[i] != labels[i]);
        assert!((40..160).contains(&wrong), "a weak model: {wrong} wrong of 200");
        // Whoever looks at the saved images alone finds the same accuracy: none was moved into its class.
        let accurate = count(&|i| attacked[i] == labels[i]);
        let right_before_too = count(&|i| clean[i] == labels[i] && attacked[i] == labels[i]);
        assert_eq!(accurate, right_before_too, "{kind}");
        let own: Vec<&Vec<&str>> = rows[1..].iter().filter(|row| row[0] == kind).collect();
        assert_eq!(own.len(), 200, "{kind}");
        let verdicts = |verdict: &str| own.iter().filter(|row| row[column("verdict")] == verdict).count();
        assert_eq!((verdicts("withstood"), verdicts("already wrong")), (accurate, wrong), "{kind}");
        let predicted = own.iter().filter(|row| row[column("prediction")] == row[column("label")]).count();
        assert_eq!(predicted, accurate, "{kind}");
        for i in (0..200).filter(|&i| clean[i] != labels[i]) {
            let image = i * PIXELS..(i + 1) * PIXELS;
            assert!(adversarial[image.clone()] == images[image], "{kind}: image {i} was moved");
        }
        let share = |count: usize, of: usize| format!("{:.4}", count as f64 / of as f64);
        let title = match kind {
            "deepfool" => "DeepFool".to_string(),
            "cw" => "C&W".to_string(),
            other => other.to_uppercase(),
        };
        let line = text.lines().find(|line| line.starts_with(&title)).unwrap_or_else(|| panic!("{text}"));
        let fooled = share(200 - wrong - accurate, 200 - wrong);
        assert_mentions(line, &[&share(accurate, 200), &fooled]);
        assert_mentions(&text, &[&format!("benign accuracy {}", share(200 - wrong, 200))]);
        assert_mentions(&text, &[&format!("{wrong} images are wrong without an attack")]);
    }
}

#[test]
fn a_target_is_said_in_table_and_csv_and_a_wrong_one_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained("naive");
    let with = |attack: &'static str, target: &'static str| {
        [
            "attack",
            "--adapter",
            "cpu",
            "--model",
            &run,
            "--limit",
            "40",
            "--attack",
            attack,
            "--target",
            target,
        ]
        .map(str::to_string)
    };
    let led = with("pgd", "7");
    let mut arguments: Vec<&str> = led.iter().map(String::as_str).collect();
    arguments.extend(["--epsilon", "2", "--csv", "led.csv", "--save", "led.safetensors"]);
    let text = succeed(folder.path(), &arguments);
    assert_mentions(
        &text,
        &["target of PGD", "the classifier answers with class 7", "images are of that class"],
    );
    let csv = fs::read_to_string(folder.path().join("led.csv")).unwrap();
    let column = |name: &str| csv.lines().next().unwrap().split(',').position(|head| head == name).unwrap();
    let (verdict, prediction, target) = (column("verdict"), column("prediction"), column("target"));
    let mut verdicts = std::collections::BTreeSet::new();
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[target], "7", "{line}");
        assert!(cells[verdict] != "fooled" || cells[prediction] == "7", "{line}");
        assert!(cells[verdict] != "withstood" || cells[prediction] != "7", "{line}");
        verdicts.insert(cells[verdict].to_string());
    }
    assert!(verdicts.contains("fooled") && verdicts.contains("of the target class"), "{verdicts:?}");
    assert_eq!(classes(&folder.path().join("led.safetensors"), "targets"), [7; 40]);
    for (attack, target, parts) in [
        ("pgd", "10", &["--target 10", "from 0 to 9"][..]),
        ("fgm", "horse", &["--target horse", "least-likely, random or each"]),
        ("fgm,deepfool", "3", &["--target 3 is not possible with --attack deepfool", "leave deepfool out"]),
        ("deepfool", "3", &["--target has no effect with --attack deepfool", "fgm", "fmn"]),
    ] {
        let arguments = with(attack, target);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_mentions(&refuse(folder.path(), &arguments), parts);
    }
}

#[test]
fn csv_on_standard_output_is_alone_there() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained("naive");
    let arguments =
        ["attack", "--adapter", "cpu", "--limit", "3", "--model", &model, "--attack", "fgm", "--csv", "-"];
    let output = command(folder.path(), arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (csv, people) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(csv.lines().count(), 1 + 3, "{csv}");
    assert!(csv.starts_with("attack,norm,epsilon,index,") && csv.contains("\nfgm,L2,0.5,"), "{csv}");
    assert_mentions(&people, &["benign accuracy", "FGM", "radius in L2"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no file of that name");
}

#[test]
fn a_radius_in_linf_is_a_fraction_and_named_with_its_norm() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained("naive");
    let usual = ["attack", "--adapter", "cpu", "--limit", "20", "--model", &model, "--norm", "linf"];
    let run =
        |more: &[&str]| succeed(folder.path(), &[&usual[..], &["--attack", "fgm,pgd,mim"], more].concat());
    let (given, default) = (run(&["--epsilon", "8/255", "--csv", "a.csv"]), run(&[]));
    let without_speed = |text: &str| -> Vec<String> {
        let line =
            |line: &str| line.rsplit_once("  ").map_or(line, |(numbers, _)| numbers).trim_end().to_string();
        text.lines().filter(|line| !line.starts_with("written")).map(line).collect()
    };
    assert_eq!(without_speed(&given), without_speed(&default), "8/255 is the default");
    assert_mentions(&given, &["radius in Linf", "0.03137255"]);
    let csv = fs::read_to_string(folder.path().join("a.csv")).unwrap();
    assert_eq!(csv.lines().filter(|line| line.contains(",Linf,0.03137255,")).count(), 3 * 20, "{csv}");
}

#[test]
fn an_evaluation_raises_the_same_doubts() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::load(&run_folder("naive").join("model.safetensors"), None).unwrap();
    // The same decisions by logits of a thousandth: C&W's constants do not suit them.
    scale_last_layer(&mut model, 1e-3);
    model.save(&folder.path().join("small.safetensors")).unwrap();
    let run = |more: &[&str]| {
        let usual = ["attack", "--adapter", "cpu", "--limit", "40", "--model", "small.safetensors"];
        succeed(folder.path(), &[&usual[..], more].concat())
    };
    let attacks = ["--attack", "deepfool,cw", "--iterations", "20"];
    let text = run(&attacks);
    let expected =
        ["warning: C&W fails on", "warning: DeepFool does better than C&W", "--initial-c", "--search-steps"];
    assert_mentions(&text, &expected);
    let evaluate = ["evaluate", "--adapter", "cpu", "--limit", "40", "--no-verdict", "small.safetensors"];
    let evaluation = succeed(folder.path(), &[&evaluate[..], &attacks].concat());
    let warnings = |text: &str, before: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(before)).map(str::to_string).collect()
    };
    let (own, evaluated) = (warnings(&text, "warning: "), warnings(&evaluation, "warning: small: "));
    assert!(own.len() >= 2 && own.iter().all(|warning| evaluated.contains(warning)), "{own:?} {evaluated:?}");
    assert!(
        !run(&["--attack", "deepfool", "--iterations", "20"]).contains("warning"),
        "DeepFool does not mind"
    );
    model.average.weights.fill(0.0);
    model.save(&folder.path().join("small.safetensors")).unwrap();
    assert_mentions(
        &run(&["--attack", "fgm"]),
        &["warning: 100.0 % of the attacked images have a gradient of exactly zero"],
    );
}

#[test]
fn a_sheet_is_a_picture_with_a_row_per_image() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained("naive");
    let usual =
        ["attack", "--adapter", "cpu", "--limit", "5", "--model", &model, "--attack", "fgm", "--force"];
    let sheet = |images: &str| {
        succeed(folder.path(), &[&usual[..], &["--sheet", "a.png", "--sheet-images", images]].concat());
        image::open(folder.path().join("a.png")).unwrap()
    };
    let (two, five) = (sheet("2"), sheet("9"));
    assert_eq!(two.width(), five.width());
    let row = (five.height() - two.height()) / 3;
    assert!(row >= 96, "{row}");
}

#[test]
fn a_file_that_exists_is_kept_unless_it_may_be_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out-mim-0.5.safetensors");
    fs::write(&path, b"precious").unwrap();
    let model = trained("naive");
    let arguments = [
        "attack",
        "--adapter",
        "cpu",
        "--limit",
        "3",
        "--model",
        &model,
        "--attack",
        "fgm,mim",
        "--save",
        "out.safetensors",
    ];
    assert_mentions(&refuse(folder.path(), &arguments), &["out-mim-0.5.safetensors exists", "--force"]);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "refused before anything was written");
    succeed(folder.path(), &[&arguments[..], &["--force"]].concat());
    assert_eq!(classes(&path, "labels").len(), 3);
}
