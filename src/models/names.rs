//! What the tensors of a model file are called: wrappers of PyTorch taken off the names, two tensors of one name refused,
//! normalisers of pixels found under all names in use, and tensors that no layer takes told apart by what they probably
//! compute.

use super::container::shown;
use crate::nn::slot::unwrapped;
use safetensors::tensor::TensorInfo;
use std::collections::BTreeMap;

/// Networks in our own files.
const NETWORKS: [&str; 3] = ["classifier.", "classifier_ema.", "generator."];

/// What other repositories call the mean and the deviation that they normalise pixels by.
const NORMALISERS: [[&str; 2]; 6] = [
    ["mu", "sigma"],
    ["mean", "std"],
    ["normalize.mean", "normalize.std"],
    ["normalizer.mean", "normalizer.std"],
    ["normalise.mean", "normalise.std"],
    ["norm.mean", "norm.std"],
];

/// Our own names of them, in a classifier.
pub(super) const NORMALISER: [&str; 2] = ["classifier.normalise.mean", "classifier.normalise.std"];

/// A stage that the networks of TRADES have beside those that they compute with.
const UNUSED_STAGE: &str = "classifier.sub_block1.";

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

/// The index of each of `tensors` that may compute something, by our name for it; or what is wrong.
pub(super) fn by_name(tensors: &[(String, TensorInfo)]) -> Result<BTreeMap<String, usize>, String> {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let in_sequence = is_sequence(tensors);
    for (index, (name, _)) in tensors.iter().enumerate() {
        if name.rsplit('.').next() == Some(COUNTER) {
            continue;
        }
        let own = if in_sequence { ours(unwrapped(&unwrapped(name)[2..])) } else { ours(name) };
        if let Some(other) = known.insert(own, index) {
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

/// Whether the tensors are those of a `Sequential` of a normaliser and a network.
fn is_sequence(tensors: &[(String, TensorInfo)]) -> bool {
    let names = || tensors.iter().map(|(name, _)| unwrapped(name));
    let normalises = |name| NORMALISERS.iter().flatten().any(|part| *part == name);
    let mut first = names().filter_map(|name| name.strip_prefix("0.")).peekable();
    first.peek().is_some()
        && first.all(normalises)
        && names().all(|name| ["0.", "1."].iter().any(|n| name.starts_with(n)))
}

/// Gives the normaliser of a file of another program our names, if there is one: a mean and a deviation for each of
/// `channels`, `[c]`, `[c, 1, 1]` or `[1, c, 1, 1]`. They are `[c]` afterwards.
pub(super) fn rename_normaliser(known: &mut BTreeMap<String, usize>, tensors: &mut [(String, TensorInfo)]) {
    for pair in NORMALISERS {
        let names = pair.map(|name| format!("classifier.{name}"));
        let [Some(&mean), Some(&deviation)] = names.each_ref().map(|name| known.get(name)) else { continue };
        let channels = |index: usize| match tensors[index].1.shape[..] {
            [c] | [c, 1, 1] | [1, c, 1, 1] => Some(c),
            _ => None,
        };
        let Some(all) = channels(mean).filter(|all| channels(deviation) == Some(*all)) else { continue };
        for (name, (own, index)) in names.iter().zip(NORMALISER.into_iter().zip([mean, deviation])) {
            known.remove(name);
            known.insert(own.to_string(), index);
            tensors[index].1.shape = vec![all];
        }
        return;
    }
}

/// Gives the head of a VGG network of another program, which is called as networks are in our files, its whole name.
pub(super) fn rename_head(known: &mut BTreeMap<String, usize>) {
    if !known.contains_key("classifier.features.0.weight") {
        return;
    }
    let is_head = |name: &&String| {
        name.strip_prefix("classifier.").is_some_and(|rest| {
            ["weight", "bias"].contains(&rest) || rest.starts_with(|first: char| first.is_ascii_digit())
        })
    };
    for name in known.keys().filter(is_head).cloned().collect::<Vec<_>>() {
        if let Some(index) = known.remove(&name) {
            known.insert(format!("classifier.{name}"), index);
        }
    }
}

/// Leaves out the stage that the networks of TRADES have and do not compute with. Whether there was one.
pub(super) fn drop_unused_stage(known: &mut BTreeMap<String, usize>) -> bool {
    let all = known.len();
    known.retain(|name, _| !name.starts_with(UNUSED_STAGE));
    known.len() < all
}

/// Refuses `unused` tensors by name. `family` is the network that the others belong to.
pub(super) fn refusal(unused: &[&(String, TensorInfo)], family: &str) -> String {
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
    let remedy = "save the network without them, if it was trained so, or export it to ONNX";
    format!(
        "no layer takes {}: without them this would be another network, because by the names of its tensors the file is read \
         as {family}; {remedy}",
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
    fn a_normaliser_is_found_under_all_its_names_and_before_a_network_in_a_sequence() {
        for (names, shape) in [
            (["mu", "sigma"], vec![1, 3, 1, 1]),
            (["module.mean", "module.std"], vec![3]),
            (["0.mean", "0.std"], vec![3, 1, 1]),
            (["normalize.mean", "normalize.std"], vec![3]),
        ] {
            let weight = if names[0].starts_with('0') { "1.conv1.weight" } else { "conv1.weight" };
            let mut all =
                vec![tensor(names[0], &shape), tensor(names[1], &shape), tensor(weight, &[8, 3, 3, 3])];
            let mut known = by_name(&all).unwrap();
            rename_normaliser(&mut known, &mut all);
            let found: Vec<&str> = known.keys().map(String::as_str).collect();
            assert_eq!(found, ["classifier.conv1.weight", NORMALISER[0], NORMALISER[1]], "{names:?}");
            assert_eq!(all[0].1.shape, [3]);
        }
        // One half of it, and one of another number of channels, are none.
        for all in [vec![tensor("mu", &[3])], vec![tensor("mu", &[3]), tensor("sigma", &[1])]] {
            let (mut known, mut all) = (by_name(&all).unwrap(), all);
            rename_normaliser(&mut known, &mut all);
            assert!(known.contains_key("classifier.mu"));
        }
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
        let text = refusal(&all.iter().collect::<Vec<_>>(), "a network");
        for part in [
            "bns.0.weight [8], layer.1.running_var [8] (batch normalisation)",
            "normalize.mean [3] (a normaliser of images)",
            "fc.weight [10, 16], fc.bias [10] (a dense layer)",
            "downsample.0.weight [8, 8, 1, 1] (of an unknown layer)",
            "read as a network",
        ] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        let many: Vec<_> = (0..30).map(|i| tensor(&format!("x.{i}"), &[1, 1, 1])).collect();
        let text = refusal(&many.iter().collect::<Vec<_>>(), "a network");
        assert!(text.contains("x.7 [1, 1, 1] and 22 more"), "{text}");
    }
}
