//! One attack's outcome as files: safetensors that PyTorch reads, and per-image lines of CSV.

use super::report::csv_field;
use crate::attacks::{AttackKind, AttackOptions, AttackOutcome};
use crate::models::sealed;
use safetensors::tensor::{Dtype, TensorView, serialize};

/// Key of the options in the file's metadata.
pub const METADATA_KEY: &str = "pgn-wgpu.attack";

/// The bytes of a safetensors file: `images` and `adversarial` (`[n, c, h, w]`, f32 in [0, 1]), `labels`,
/// `clean_predictions` and `predictions` (i64), `l2` and `linf` (f32), `success` (bool).
pub fn safetensors(outcome: &AttackOutcome, options: &AttackOptions) -> Vec<u8> {
    let n = outcome.len();
    let (side, channels) = (outcome.problem.side, outcome.problem.channels);
    let classes = |values: &[usize]| -> Vec<u8> {
        values.iter().flat_map(|&value| (value as i64).to_le_bytes()).collect()
    };
    let numbers =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let pictures = |values: &[f32]| numbers(&channels_first(values, side * side, channels));
    let tensors: [(&str, Dtype, Vec<usize>, Vec<u8>); 8] = [
        ("images", Dtype::F32, vec![n, channels, side, side], pictures(&outcome.images)),
        ("adversarial", Dtype::F32, vec![n, channels, side, side], pictures(&outcome.adversarial)),
        ("labels", Dtype::I64, vec![n], classes(&outcome.labels)),
        ("clean_predictions", Dtype::I64, vec![n], classes(&outcome.clean_predictions)),
        ("predictions", Dtype::I64, vec![n], classes(&outcome.predictions)),
        ("l2", Dtype::F32, vec![n], numbers(&outcome.l2)),
        ("linf", Dtype::F32, vec![n], numbers(&outcome.linf)),
        ("success", Dtype::BOOL, vec![n], outcome.success.iter().map(|&s| u8::from(s)).collect()),
    ];
    let views = tensors.iter().map(|(name, dtype, extents, bytes)| {
        (*name, TensorView::new(*dtype, extents.clone(), bytes).expect("extents and values agree"))
    });
    let metadata = sealed::metadata(METADATA_KEY, options);
    sealed::seal(serialize(views, Some(metadata)).expect("plain tensors serialise"))
}

/// `[n, h, w, c]` to `[n, c, h, w]`; `positions` is h times w.
fn channels_first(values: &[f32], positions: usize, channels: usize) -> Vec<f32> {
    let image = positions * channels;
    (0..values.len())
        .map(|i| {
            let (n, c, position) = (i / image, i % image / positions, i % positions);
            values[n * image + position * channels + c]
        })
        .collect()
}

/// The head of a CSV file for [`csv_lines`].
pub const CSV_HEAD: &str = "attack,epsilon,index,label,label_name,clean_prediction,prediction,prediction_name,l2,linf,\
                            success,zero_gradient\n";

/// One line per image; `class_names` may be empty. Epsilon is empty for attacks without a radius.
pub fn csv_lines(outcome: &AttackOutcome, options: &AttackOptions, class_names: &[String]) -> String {
    let name = |class: usize| class_names.get(class).map_or(String::new(), |name| csv_field(name));
    let epsilon = radius(options).map_or(String::new(), |epsilon| epsilon.to_string());
    let attack = options.kind.name();
    (0..outcome.len())
        .map(|i| {
            let (label, prediction) = (outcome.labels[i], outcome.predictions[i]);
            format!(
                "{attack},{epsilon},{i},{label},{},{},{prediction},{},{},{},{},{}\n",
                name(label),
                outcome.clean_predictions[i],
                name(prediction),
                outcome.l2[i],
                outcome.linf[i],
                outcome.success[i],
                outcome.zero_gradient[i]
            )
        })
        .collect()
}

/// The radius that an attack was told to keep to.
pub fn radius(options: &AttackOptions) -> Option<f32> {
    match options.kind {
        AttackKind::Pgn => options.radius,
        kind => kind.has_radius().then_some(options.epsilon),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::models::Problem;
    use safetensors::SafeTensors;

    /// Two images of 2x2 with three channels; the first is moved by 0.5 in one value and fools.
    pub fn outcome() -> AttackOutcome {
        let images: Vec<f32> = (0..24_u8).map(|v| f32::from(v) / 64.0).collect();
        let mut adversarial = images.clone();
        adversarial[4] += 0.5;
        AttackOutcome {
            problem: Problem { side: 2, channels: 3, classes: 3 },
            images,
            adversarial,
            labels: vec![0, 2],
            clean_predictions: vec![0, 2],
            predictions: vec![1, 2],
            l2: vec![0.5, 0.0],
            linf: vec![0.5, 0.0],
            success: vec![true, false],
            zero_gradient: vec![false, true],
            seconds: 2.0,
        }
    }

    #[test]
    fn a_saved_file_has_channels_first_and_every_tensor_by_name() {
        let bytes = safetensors(&outcome(), &AttackOptions::new(AttackKind::Fgm));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let adversarial = file.tensor("adversarial").unwrap();
        assert_eq!(adversarial.shape(), [2, 3, 2, 2]);
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(adversarial.data());
        // Value 4 of the pixel-first order is channel 1 of position 1.
        assert_eq!(values[4 + 1], 4.0 / 64.0 + 0.5);
        assert_eq!(values[..4], [0.0, 3.0, 6.0, 9.0].map(|v| v / 64.0));
        let predictions: Vec<i64> = bytemuck::pod_collect_to_vec(file.tensor("predictions").unwrap().data());
        assert_eq!(predictions, [1, 2]);
        let success = file.tensor("success").unwrap();
        assert_eq!((success.dtype(), success.data()), (Dtype::BOOL, &[1, 0][..]));
        for name in ["images", "labels", "clean_predictions", "l2"] {
            assert!(file.tensor(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn csv_has_a_line_per_image_with_names_quoted_where_needed() {
        let names = ["cat, small", "dog", "ship"].map(str::to_string);
        let lines = csv_lines(&outcome(), &AttackOptions::new(AttackKind::Fgm), &names);
        assert_eq!(
            lines,
            "fgm,0.5,0,0,\"cat, small\",0,1,dog,0.5,0.5,true,false\n\
             fgm,0.5,1,2,ship,2,2,ship,0,0,false,true\n"
        );
        let columns = CSV_HEAD.split(',').count();
        assert_eq!(lines.lines().nth(1).unwrap().split(',').count(), columns);
    }

    #[test]
    fn an_attack_without_a_radius_claims_none() {
        let lines = csv_lines(&outcome(), &AttackOptions::new(AttackKind::Cw), &[]);
        assert!(lines.starts_with("cw,,0,0,,0,1,,"), "{lines}");
    }
}
