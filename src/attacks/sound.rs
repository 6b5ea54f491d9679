//! Whether numbers can be trusted before an attack begins: a model whose logits or gradients leave f32 is at fault itself,
//! and mixed precision is at fault where f16 changes what the model computes. Only what remains is the adapter's fault.

use super::attacker::AttackError;
use super::target::Target;
use crate::cpu::Mode;
use crate::executor::{Device, ExecutionError, Outputs};
use crate::program::precision::Precision;

/// Logits and gradients beyond this leave f32 when attacks square and multiply them: `ball::unit` multiplies each value by 1e6,
/// squares it and adds the squares. Of a gradient the sum of |values| is looked at, so the sum of the squares stays below 1e36.
const LARGEST: f32 = 1e12;

/// How far logits of mixed precision may be off, in units of their spread: some ten times what rounding does.
const LOGITS_OFF: f64 = 0.1;
/// The same of the gradients' sizes.
const GRADIENTS_OFF: f64 = 0.2;

/// Outputs that a session needs for a judgement.
pub const LOGITS: &str = "logits";
/// Sum of |gradient| per image.
pub const GRADIENT: &str = "gradient";

/// The first number of an output that attacks cannot compute with, and which image it is of.
fn unusable(outputs: &Outputs, real: usize) -> Option<(&'static str, usize, f32)> {
    [("logits", LOGITS), ("gradient", GRADIENT)].into_iter().find_map(|(what, name)| {
        let values = outputs.get(name);
        // NaN is beyond too.
        let at = values.iter().position(|v| v.is_nan() || v.abs() > LARGEST);
        at.map(|at| (what, at / (values.len() / images(outputs)), values[at]))
            .filter(|(_, image, _)| *image < real)
    })
}

fn images(outputs: &Outputs) -> usize {
    outputs.get(GRADIENT).len()
}

/// Refuses a batch whose logits or gradients cannot be computed with. `places` are those of its images, `first` says
/// whether it is the first batch. `in_f32` computes the same outputs without f16.
pub fn judge(
    target: &Target,
    outputs: &Outputs,
    (places, first): (&[usize], bool),
    in_f32: impl FnOnce() -> Result<Outputs, ExecutionError>,
) -> Result<(), AttackError> {
    let real = places.len();
    let mixed = target.workspace.device().precision() == Precision::Mixed;
    let refuse = |text: String| Err(AttackError::Unsuitable(text));
    if let Some((what, image, value)) = unusable(outputs, real) {
        let image = places[image];
        if mixed && unusable(&in_f32()?, real).is_none() {
            return refuse(format!(
                "with `precision` mixed the model's {what} for image {image} are not numbers, although in f32 they are: its \
                 activations are beyond 65504, the largest number of f16; use `precision` f32"
            ));
        }
        let (tensor, index, weight) = target.largest_weight()?;
        let problem = match value.is_finite() {
            true => format!("are as large as {value:e}, too large to compute with"),
            false => "are not numbers".to_string(),
        };
        return refuse(format!(
            "the model's {what} for image {image} {problem}: its largest weight is {tensor} with {weight:e} at index {index}; \
             its training has diverged or it was scaled wrongly, use another model"
        ));
    }
    // One batch tells: what is too small or too large for f16 is so in all.
    if !mixed || !first {
        return Ok(());
    }
    let exact = in_f32()?;
    let classes = exact.get(LOGITS).len() / images(&exact);
    let off = [
        ("logits", spread_off(outputs.get(LOGITS), exact.get(LOGITS), classes, real), LOGITS_OFF),
        ("gradients", size_off(outputs.get(GRADIENT), exact.get(GRADIENT), real), GRADIENTS_OFF),
    ];
    match off.into_iter().find(|(_, off, most)| off > most) {
        None => Ok(()),
        Some((what, off, _)) => refuse(format!(
            "with `precision` mixed the model's {what} differ by {:.0} % from those in f32: its activations are too small or \
             too far apart for f16, whose numbers go from 6e-8 to 65504; use `precision` f32",
            100.0 * off
        )),
    }
}

/// Length of the difference of logits, in units of how far each image's logits are apart.
fn spread_off(own: &[f32], exact: &[f32], classes: usize, images: usize) -> f64 {
    let (mut difference, mut spread) = (0.0, 0.0);
    for (own, exact) in own.chunks(classes).zip(exact.chunks(classes)).take(images) {
        let mean = exact.iter().map(|&v| f64::from(v)).sum::<f64>() / classes as f64;
        for (&own, &exact) in own.iter().zip(exact) {
            difference += (f64::from(own) - f64::from(exact)).powi(2);
            spread += (f64::from(exact) - mean).powi(2);
        }
    }
    ratio(difference, spread).sqrt()
}

fn size_off(own: &[f32], exact: &[f32], images: usize) -> f64 {
    let pairs = own.iter().zip(exact).take(images).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let (difference, size) = pairs.fold((0.0, 0.0), |(d, s), (a, b)| (d + (a - b).abs(), s + b.abs()));
    ratio(difference, size)
}

/// Nothing in units of nothing is nothing.
fn ratio(difference: f64, whole: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / whole }
}

impl Target {
    /// The same classifier on the CPU path, which computes in f32.
    pub(super) fn in_f32(&self) -> Result<Self, ExecutionError> {
        self.on(Device::Cpu(Mode::Fast))
    }

    /// The tensor with the largest weight or bias, the index in it as files have it, and the value.
    fn largest_weight(&self) -> Result<(String, usize, f32), ExecutionError> {
        let (values, mut largest) = (self.values()?, (String::new(), 0, 0.0f32));
        for (at, slot) in self.net.slots.all.iter().enumerate() {
            let own = slot.to_file_order(self.net.slots.get(&values, at));
            for (index, &value) in own.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                if value.abs() > largest.2.abs() {
                    largest = (format!("classifier.{}", slot.name), index, value);
                }
            }
        }
        Ok(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_measured_by_the_spread_and_the_size() {
        // A spread of 2 around 100, and a difference of an eighth of it; the third row is no image.
        let exact = [98.0, 102.0, 98.0, 102.0, 0.0, 0.0];
        let own = [98.25, 102.25, 97.75, 101.75, f32::NAN, 7.0];
        assert_eq!(spread_off(&own, &exact, 2, 2), 0.125);
        assert!((size_off(&[0.5, 1.0, 9.0], &[1.0, 1.0, 0.0], 2) - 0.25).abs() < 1e-12);
        assert_eq!(size_off(&[0.0], &[0.0], 1), 0.0);
        // All of it flushed.
        assert_eq!(size_off(&[0.0, 0.0], &[1.0, 1e-9], 2), 1.0);
        assert_eq!(spread_off(&[0.0, 0.0], &[1.0, -1.0], 2, 1), 1.0);
    }
}
