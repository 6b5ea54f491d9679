//! What the tensors of a model file are called: wrappers of PyTorch taken off the names, two tensors of one name refused,
//! and tensors that no layer takes told apart by what they probably compute.

use super::container::shown;
use safetensors::tensor::TensorInfo;
use std::collections::BTreeMap;

/// What `DataParallel`, `torch.compile` and modules of modules put before names.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// Networks in our own files.
const NETWORKS: [&str; 3] = ["classifier.", "classifier_ema.", "generator."];

/// Counts steps of training; computes nothing.
const COUNTER: &str = "num_batches_tracked";

/// Tensors that a message lists at most.
const LISTED: usize = 8;

/// A name of ours for a name of the file. PyTorch users often save a classifier's own state, without its prefix.
fn ours(name: &str) -> String {
    let rest = unwrapped(name);
    match NETWORKS.iter().find_map(|network| Some((network, rest.strip_prefix(network)?))) {
        Some((network, rest)) => format!("{network}{}", unwrapped(rest)),
        None => format!("classifier.{rest}"),
    }
}

fn unwrapped(mut name: &str) -> &str {
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = rest;
    }
    name
}

/// The index of each of `tensors` that may compute something, by our name for it; or what is wrong.
pub(super) fn by_name(tensors: &[(String, TensorInfo)]) -> Result<BTreeMap<String, usize>, String> {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (index, (name, _)) in tensors.iter().enumerate() {
        if name.rsplit('.').next() == Some(COUNTER) {
            continue;
        }
        if let Some(other) = known.insert(ours(name), index) {
            return Err(format!(
                "the tensors {} and {} are both {} without their prefixes, and one of them would be lost; remove one",
                shown(&tensors[other].0),
                shown(name),
                shown(&ours(name))
            ));
        }
    }
    Ok(known)
}

/// Refuses `unused` tensors by name.
pub(super) fn refusal(unused: &[&(String, TensorInfo)]) -> String {
    let list = |tensors: &[&&(String, TensorInfo)]| {
        let shape = |info: &TensorInfo| {
            let shape: Vec<String> = info.shape.iter().take(LISTED).map(ToString::to_string).collect();
            shape.join(", ")
        };
        let shown =
            tensors.iter().take(LISTED).map(|(name, info)| format!("{} [{}]", shown(name), shape(info)));
        let more = tensors.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        shown.collect::<Vec<_>>().join(", ") + &more
    };
    let kinds: Vec<String> = Kind::ALL
        .iter()
        .filter_map(|&kind| {
            let own: Vec<_> = unused.iter().filter(|(name, info)| Kind::of(name, info) == kind).collect();
            (!own.is_empty()).then(|| format!("{} ({})", list(&own), kind.text()))
        })
        .collect();
    let fold = unused.iter().any(|(name, info)| Kind::of(name, info) == Kind::BatchNorm);
    let remedy = match fold {
        true => "fold each batch normalisation into the convolution before it, and save that",
        false => "save the network without them, if it was trained so",
    };
    format!(
        "no layer takes {}: without them this would be another network, because a file without metadata of this program is \
         read as an all-convolutional network, which has convolutions with biases and nothing else; {remedy}",
        kinds.join("; ")
    )
}

/// What a tensor that no layer takes probably belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    BatchNorm,
    Normaliser,
    Dense,
    Other,
}

impl Kind {
    const ALL: [Self; 4] = [Self::BatchNorm, Self::Normaliser, Self::Dense, Self::Other];

    fn of(name: &str, info: &TensorInfo) -> Self {
        let parts: Vec<String> = name.to_lowercase().split('.').map(ToString::to_string).collect();
        let last = parts.last().map_or("", String::as_str);
        let module =
            |words: &[&str]| parts.iter().any(|part| words.iter().any(|word| part.starts_with(word)));
        let running = ["running_mean", "running_var"].contains(&last);
        if ["mean", "std", "var"].contains(&last) {
            Self::Normaliser
        } else if running || (info.shape.len() == 1 && module(&["bn", "batchnorm", "batch_norm", "norm"])) {
            Self::BatchNorm
        } else if info.shape.len() == 2 || module(&["fc", "linear", "head", "dense"]) {
            Self::Dense
        } else {
            Self::Other
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::BatchNorm => "batch normalisation",
            Self::Normaliser => "a normaliser of images",
            Self::Dense => "a dense layer",
            Self::Other => "of an unknown layer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::Dtype;

    fn tensor(name: &str, shape: &[usize]) -> (String, TensorInfo) {
        (name.to_string(), TensorInfo { dtype: Dtype::F32, shape: shape.to_vec(), data_offsets: (0, 0) })
    }

    #[test]
    fn wrappers_in_any_order_and_number_come_off() {
        for name in [
            "convs.0.bias",
            "module.convs.0.bias",
            "_orig_mod.module.convs.0.bias",
            "model.model.convs.0.bias",
        ] {
            assert_eq!(ours(name), "classifier.convs.0.bias");
        }
        assert_eq!(ours("module.classifier._orig_mod.convs.0.bias"), "classifier.convs.0.bias");
        assert_eq!(ours("generator.fc1.weight"), "generator.fc1.weight");
        // Only whole parts of a name.
        assert_eq!(ours("mymodule.convs.0.bias"), "classifier.mymodule.convs.0.bias");
    }

    #[test]
    fn two_names_for_one_tensor_are_refused_and_counters_are_no_tensors() {
        let counter = tensor("bns.0.num_batches_tracked", &[]);
        let found = by_name(&[tensor("a.bias", &[1]), counter]).unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), ["classifier.a.bias"]);
        let error = by_name(&[tensor("a.bias", &[1]), tensor("module.a.bias", &[1])]).unwrap_err();
        assert!(error.contains("a.bias and module.a.bias are both classifier.a.bias"), "{error}");
    }

    #[test]
    fn unused_tensors_are_grouped_by_what_they_probably_compute() {
        let all = [
            tensor("bns.0.weight", &[8]),
            tensor("layer.1.running_var", &[8]),
            tensor("normalize.mean", &[3]),
            tensor("fc.weight", &[10, 16]),
            tensor("fc.bias", &[10]),
            tensor("downsample.0.weight", &[8, 8, 1, 1]),
        ];
        let text = refusal(&all.iter().collect::<Vec<_>>());
        for part in [
            "bns.0.weight [8], layer.1.running_var [8] (batch normalisation)",
            "normalize.mean [3] (a normaliser of images)",
            "fc.weight [10, 16], fc.bias [10] (a dense layer)",
            "downsample.0.weight [8, 8, 1, 1] (of an unknown layer)",
            "fold each batch normalisation",
        ] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        let many: Vec<_> = (0..30).map(|i| tensor(&format!("x.{i}"), &[1, 1, 1])).collect();
        let text = refusal(&many.iter().collect::<Vec<_>>());
        assert!(text.contains("x.7 [1, 1, 1] and 22 more"), "{text}");
    }
}
