//! Digests of tensors, which files hold in place of long lists of numbers, and the values that networks have in the files.
//!
//! A digest is the L2 norm, the sum, the sum of `v_i cos(i)`, and the first four values, in PyTorch's order.

use pgn_wgpu::nn::{Init, Net, Values};
use serde_json::Value;

/// A list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// He's initial weights of a seed, and batch normalisations with statistics that are not 0 and 1.
pub fn known_values(net: &Net, seed: u64) -> Values {
    let mut values = net.initial(Init::He, seed);
    for (index, slot) in net.slots.all.iter().enumerate().filter(|(_, slot)| slot.extents.len() == 1) {
        let part = slot.name.rsplit('.').next().unwrap();
        for (c, value) in net.slots.get_mut(&mut values, index).iter_mut().enumerate() {
            let c = c as f64;
            *value = match part {
                "weight" => 1.0 + 0.3 * (c + 1.0).sin(),
                "bias" => 0.2 * (2.0 * c).cos(),
                "running_mean" => 0.1 * (3.0 * c).sin(),
                _ => 1.0 + 0.4 * c.cos().powi(2),
            } as f32;
        }
    }
    values
}

/// The digest of a tensor in PyTorch's order.
pub fn digest(values: &[f32]) -> Vec<f64> {
    let all = || values.iter().map(|&v| f64::from(v));
    let norm = all().map(|v| v * v).sum::<f64>().sqrt();
    let waved = all().enumerate().map(|(i, v)| v * (i as f64).cos()).sum();
    [norm, all().sum(), waved].into_iter().chain(all().take(4)).collect()
}

/// Fails unless two lists of numbers differ by `limit` at most.
#[track_caller]
pub fn close(what: &str, actual: &[f64], expected: &[f64], limit: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= limit, "{what}: number {i} is {a:e}, PyTorch has {e:e} ({limit:e} allowed)");
    }
}

/// Compares the slots that `expected` names with the file. A sum over n values may differ by as much as the root of n
/// values of the tensor's size, and no tensor counts as smaller than a hundredth of the largest.
#[track_caller]
pub fn slots_agree(what: &str, net: &Net, values: &Values, expected: &Value, tolerance: f64) {
    let expected = expected.as_object().unwrap();
    let largest = expected.values().map(|digest| numbers(digest)[0]).fold(0.0, f64::max);
    let mut compared = 0;
    for (index, slot) in net.slots.all.iter().enumerate() {
        let Some(wanted) = expected.get(&slot.name) else { continue };
        let (own, wanted) = (digest(&slot.to_file_order(net.slots.get(values, index))), numbers(wanted));
        let limit = tolerance * wanted[0].max(largest / 100.0);
        let name = format!("{what}, {}", slot.name);
        close(&name, &own[..1], &wanted[..1], limit);
        close(&name, &own[1..3], &wanted[1..3], limit * (slot.len() as f64).sqrt());
        close(&name, &own[3..], &wanted[3..], limit);
        compared += 1;
    }
    assert_eq!(compared, expected.len(), "{what}: every tensor of the file is compared");
}
