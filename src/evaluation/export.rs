//! One attack's outcome as files: safetensors that PyTorch reads, and per-image lines of CSV.

use crate::attacks::{AttackOptions, AttackOutcome, ImageVerdict};
use crate::csv::{self, Cell};
use crate::models::sealed;
use crate::nn::Problem;
use safetensors::tensor::{Dtype, TensorView, serialize};

/// Key of the options in the file's metadata.
pub const METADATA_KEY: &str = "pgn-wgpu.attack";

/// The bytes of a safetensors file: `images` and `adversarial` (`[n, c, h, w]`, f32 in [0, 1]), `labels`,
/// `clean_predictions` and `predictions` (i64), `l2` and `linf` (f32), `fooled` and `already_wrong` (bool; an image that is
/// neither withstood the attack). An attack that leads images to a class also writes `targets` (i64).
pub fn safetensors(outcome: &AttackOutcome, options: &AttackOptions) -> Vec<u8> {
    let n = outcome.len();
    let Problem { height, width, channels, .. } = outcome.problem;
    let classes = |values: &[usize]| -> Vec<u8> {
        values.iter().flat_map(|&value| (value as i64).to_le_bytes()).collect()
    };
    let numbers =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let pictures = |values: &[f32]| numbers(&channels_first(values, height * width, channels));
    let verdicts = |wanted: ImageVerdict| -> Vec<u8> {
        (0..n).map(|i| u8::from(outcome.verdict(i) == wanted)).collect()
    };
    let mut tensors: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = vec![
        ("images", Dtype::F32, vec![n, channels, height, width], pictures(&outcome.images)),
        ("adversarial", Dtype::F32, vec![n, channels, height, width], pictures(&outcome.adversarial)),
        ("labels", Dtype::I64, vec![n], classes(&outcome.labels)),
        ("clean_predictions", Dtype::I64, vec![n], classes(&outcome.clean_predictions)),
        ("predictions", Dtype::I64, vec![n], classes(&outcome.predictions)),
        ("l2", Dtype::F32, vec![n], numbers(&outcome.l2)),
        ("linf", Dtype::F32, vec![n], numbers(&outcome.linf)),
        ("fooled", Dtype::BOOL, vec![n], verdicts(ImageVerdict::Fooled)),
        ("already_wrong", Dtype::BOOL, vec![n], verdicts(ImageVerdict::AlreadyWrong)),
    ];
    if let Some(targets) = &outcome.targets {
        tensors.push(("targets", Dtype::I64, vec![n], classes(targets)));
    }
    let views = tensors.iter().map(|(name, dtype, extents, bytes)| {
        (*name, TensorView::new(*dtype, extents.clone(), bytes).expect("extents and values agree"))
    });
    let metadata = sealed::metadata(METADATA_KEY, options);
    sealed::seal(serialize(views, Some(metadata)).expect("plain tensors serialise"))
}

/// `[n, h, w, c]` to `[n, c, h, w]`; `positions` is h times w.
pub fn channels_first(values: &[f32], positions: usize, channels: usize) -> Vec<f32> {
    let image = positions * channels;
    (0..values.len())
        .map(|i| {
            let (n, c, position) = (i / image, i % image / positions, i % positions);
            values[n * image + position * channels + c]
        })
        .collect()
}

/// The columns of a CSV file for [`csv_lines`].
const CSV_COLUMNS: [&str; 14] = [
    "attack",
    "norm",
    "epsilon",
    "index",
    "label",
    "label_name",
    "clean_prediction",
    "prediction",
    "prediction_name",
    "l2",
    "linf",
    "verdict",
    "zero_gradient",
    "target",
];

/// The head of a CSV file for [`csv_lines`].
pub fn csv_head() -> String {
    csv::head(CSV_COLUMNS)
}

/// One line per image; `class_names` may be empty. `indices` are the images' places in their split. Epsilon is empty for
/// attacks without a radius; the norm is the one that they keep to or minimise. The target is the class that the image was
/// led to, and empty where any other would do.
pub fn csv_lines(
    outcome: &AttackOutcome,
    options: &AttackOptions,
    indices: &[u32],
    class_names: &[String],
) -> String {
    let name = |class: usize| class_names.get(class).map_or_else(Cell::empty, |name| Cell::text(name));
    let line = |i: usize| {
        let (label, prediction) = (outcome.labels[i], outcome.predictions[i]);
        csv::line([
            Cell::text(options.kind.name()),
            Cell::text(options.norm.name()),
            Cell::optional(radius(options)),
            Cell::number(indices[i]),
            Cell::number(label),
            name(label),
            Cell::number(outcome.clean_predictions[i]),
            Cell::number(prediction),
            name(prediction),
            Cell::number(outcome.l2[i]),
            Cell::number(outcome.linf[i]),
            Cell::text(outcome.verdict(i).name()),
            Cell::number(outcome.zero_gradient[i]),
            Cell::optional(outcome.targets.as_ref().map(|targets| targets[i])),
        ])
    };
    (0..outcome.len()).map(line).collect()
}

/// The radius that an attack was told to keep to.
pub fn radius(options: &AttackOptions) -> Option<f32> {
    options.ball().map(|ball| ball.epsilon)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::attacks::AttackKind;
    use crate::nn::Problem;
    use safetensors::SafeTensors;

    /// Two images of 2x2 with three channels; the first is moved by 0.5 in one value and fools.
    pub fn outcome() -> AttackOutcome {
        let images: Vec<f32> = (0..24_u8).map(|v| f32::from(v) / 64.0).collect();
        let mut adversarial = images.clone();
        adversarial[4] += 0.5;
        AttackOutcome {
            problem: Problem { height: 2, width: 2, channels: 3, classes: 3 },
            images,
            adversarial,
            labels: vec![0, 2],
            clean_predictions: vec![0, 2],
            predictions: vec![1, 2],
            targets: None,
            l2: vec![0.5, 0.0],
            linf: vec![0.5, 0.0],
            zero_gradient: vec![false, true],
            seconds: 2.0,
        }
    }

    #[test]
    fn a_saved_file_has_channels_first_and_every_tensor_by_name() {
        let bytes = safetensors(&outcome(), &AttackOptions::new(AttackKind::FGM));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let adversarial = file.tensor("adversarial").unwrap();
        assert_eq!(adversarial.shape(), [2, 3, 2, 2]);
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(adversarial.data());
        // Value 4 of the pixel-first order is channel 1 of position 1.
        assert_eq!(values[4 + 1], 4.0 / 64.0 + 0.5);
        assert_eq!(values[..4], [0.0, 3.0, 6.0, 9.0].map(|v| v / 64.0));
        let predictions: Vec<i64> = bytemuck::pod_collect_to_vec(file.tensor("predictions").unwrap().data());
        assert_eq!(predictions, [1, 2]);
        for (name, expected) in [("fooled", [1, 0]), ("already_wrong", [0, 0])] {
            let verdicts = file.tensor(name).unwrap();
            assert_eq!((verdicts.dtype(), verdicts.data()), (Dtype::BOOL, &expected[..]), "{name}");
        }
        for name in ["images", "labels", "clean_predictions", "l2"] {
            assert!(file.tensor(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn csv_has_a_line_per_image_with_names_quoted_where_needed() {
        let names = ["cat, small", "dog", "=ship"].map(str::to_string);
        let lines = csv_lines(&outcome(), &AttackOptions::new(AttackKind::FGM), &[0, 1, 2], &names);
        assert_eq!(
            lines,
            "fgm,L2,0.5,0,0,\"cat, small\",0,1,dog,0.5,0.5,fooled,false,\n\
             fgm,L2,0.5,1,2,'=ship,2,2,'=ship,0,0,withstood,true,\n"
        );
        let columns = csv_head().split(',').count();
        assert_eq!(lines.lines().nth(1).unwrap().split(',').count(), columns);
    }

    #[test]
    fn an_attack_without_a_radius_claims_none() {
        let lines = csv_lines(&outcome(), &AttackOptions::new(AttackKind::CW), &[0, 1, 2], &[]);
        assert!(lines.starts_with("cw,L2,,0,0,,0,1,,"), "{lines}");
    }
}
