//! From values to positions along an axis: ends, ticks at round numbers that enclose the data, and their labels.

use super::page::Axis;

/// Values beyond this are as good as infinite; no tick could be labelled there.
const LARGEST: f64 = 1e100;
/// A logarithmic axis shorter than this many decades has ticks within them.
const FEW_DECADES: f64 = 2.5;

/// An axis with its ends and ticks.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Its ends, low and high.
    pub ends: [f64; 2],
    /// Rising, all within the ends.
    pub ticks: Vec<f64>,
    logarithmic: bool,
    percent: bool,
    decimals: usize,
}

/// Whether `value` has a place on `axis`.
pub fn drawable(axis: &Axis, value: f64) -> bool {
    value.is_finite() && value.abs() < LARGEST && (!axis.logarithmic || value > 0.0)
}

impl Scale {
    /// The axis for `values`, with about `wanted` ticks. Its ends are those that the axis names, or else the
    /// outermost ticks, between which all drawable values lie.
    pub fn new(axis: &Axis, values: &[f64], wanted: usize) -> Self {
        let drawn: Vec<f64> = values.iter().copied().filter(|&v| drawable(axis, v)).collect();
        let fixed =
            axis.range.filter(|[low, high]| low < high && drawable(axis, *low) && drawable(axis, *high));
        let whole = !axis.percent && !drawn.is_empty() && drawn.iter().all(|v| v.fract() == 0.0);
        let extremes = fixed.unwrap_or_else(|| extremes(axis, &drawn, whole));
        if axis.logarithmic {
            return Self::logarithmic(axis, extremes, fixed.is_some(), wanted);
        }
        let step = step(extremes, wanted, whole);
        let number = |v: f64, round: fn(f64) -> f64, slack: f64| round(v / step + slack) as i64;
        let (first, last) = match fixed {
            Some([low, high]) => (number(low, f64::ceil, -1e-9), number(high, f64::floor, 1e-9)),
            None => (number(extremes[0], f64::floor, 1e-9), number(extremes[1], f64::ceil, -1e-9)),
        };
        let ticks: Vec<f64> = (first..=last).map(|i| i as f64 * step).collect();
        let ends = fixed.unwrap_or([ticks[0], ticks[ticks.len() - 1]]);
        let shown = if axis.percent { 100.0 * step } else { step };
        let decimals = (-shown.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize;
        Self { ends, ticks, logarithmic: false, percent: axis.percent, decimals }
    }

    fn logarithmic(axis: &Axis, [low, high]: [f64; 2], fixed: bool, wanted: usize) -> Self {
        let decades = [low.log10().floor() as i32, high.log10().ceil() as i32];
        let factors: &[f64] = if (high / low).log10() < FEW_DECADES { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = ((decades[1] - decades[0]) as usize / wanted.max(1)).max(1);
        let all = (decades[0]..=decades[1]).step_by(stride);
        let candidates: Vec<f64> = all.flat_map(|d| factors.iter().map(move |f| f * 10f64.powi(d))).collect();
        let inside = |v: &f64| *v >= low * (1.0 - 1e-9) && *v <= high * (1.0 + 1e-9);
        let mut ticks: Vec<f64> = candidates.iter().copied().filter(inside).collect();
        if !fixed {
            let below = candidates.iter().copied().rfind(|v| *v < low * (1.0 - 1e-9));
            let above = candidates.iter().copied().find(|v| *v > high * (1.0 + 1e-9));
            ticks = match ticks.as_slice() {
                [first, .., last] if *first <= low * (1.0 + 1e-9) && *last >= high * (1.0 - 1e-9) => ticks,
                _ => below.into_iter().chain(ticks).chain(above).collect(),
            };
        }
        let ends = match (fixed, ticks.as_slice()) {
            (false, [first, .., last]) => [first.min(low), last.max(high)],
            _ => [low, high],
        };
        Self { ends, ticks, logarithmic: true, percent: axis.percent, decimals: 0 }
    }

    /// Where `value` lies between the ends: 0 at the low one, 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        let [low, high] = self.ends;
        if self.logarithmic {
            return (value / low).ln() / (high / low).ln();
        }
        (value - low) / (high - low)
    }

    /// As beside a tick.
    pub fn tick_label(&self, value: f64) -> String {
        let shown = if self.percent { 100.0 * value } else { value };
        let text = if shown != 0.0 && !(1e-4..1e6).contains(&shown.abs()) {
            format!("{shown:.1e}").replace(".0e", "e")
        } else if self.logarithmic {
            plain(shown)
        } else {
            format!("{shown:.*}", self.decimals)
        };
        let text = if text.trim_start_matches(['-', '0', '.']).is_empty() { "0".to_string() } else { text };
        format!("{}{}", text.replace('-', "−"), if self.percent { "\u{a0}%" } else { "" })
    }
}

/// A value as the pointer shows it: four significant digits, shares in per cent with two decimals.
pub fn shown(axis: &Axis, value: f64) -> String {
    if axis.percent {
        return format!("{:.2}\u{a0}%", 100.0 * value);
    }
    if value.fract() == 0.0 && value.abs() < 1e9 {
        return format!("{value}");
    }
    if !(1e-4..1e6).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 8) as usize;
    format!("{value:.digits$}")
}

/// A power of ten times 1, 2 or 5 without the rounding of binary numbers.
fn plain(value: f64) -> String {
    let decimals = (-value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

/// Lowest and highest; apart, even if there is one value or none.
fn extremes(axis: &Axis, values: &[f64], whole: bool) -> [f64; 2] {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return if axis.logarithmic { [0.1, 10.0] } else { [0.0, 1.0] };
    }
    if axis.logarithmic {
        return if high > low * 1.001 { [low, high] } else { [low / 2.0, high * 2.0] };
    }
    if high - low > 1e-9 * low.abs().max(high.abs()) {
        return [low, high];
    }
    let margin = match low.abs() {
        _ if whole => 1.0,
        0.0 => 0.5,
        size if axis.percent => (0.1 * size).max(0.01),
        size => 0.1 * size,
    };
    [low - margin, high + margin]
}

/// 1, 2 or 5 times a power of ten, so that about `wanted` of them make up the range.
fn step([low, high]: [f64; 2], wanted: usize, whole: bool) -> f64 {
    let rough = (high - low) / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
    let step = factor * power;
    if whole { step.max(1.0) } else { step }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis, values: &[f64]) -> Vec<String> {
        let scale = Scale::new(axis, values, 5);
        scale.ticks.iter().map(|&tick| scale.tick_label(tick)).collect()
    }

    fn logarithmic() -> Axis {
        Axis { logarithmic: true, ..Axis::new("norm") }
    }

    #[test]
    fn ticks_rise_at_round_numbers_and_enclose_whatever_the_data_are() {
        let sets: [&[f64]; 9] = [
            &[0.42, 0.97],
            &[-3.0, 1e-3],
            &[1e-12, 3e-12],
            &[1e9, 1.1e9],
            &[0.5],
            &[0.0, 0.0],
            &[1.0, f64::NAN, 80.0, f64::INFINITY],
            &[0.3, 0.3 + 1e-13],
            &[],
        ];
        for axis in [Axis::new("a"), Axis::percent("b"), logarithmic()] {
            for values in sets {
                let scale = Scale::new(&axis, values, 5);
                assert!(scale.ticks.is_sorted_by(|a, b| a < b), "{values:?}: {:?}", scale.ticks);
                assert!((2..=12).contains(&scale.ticks.len()), "{values:?}: {:?}", scale.ticks);
                for value in values.iter().copied().filter(|&v| drawable(&axis, v)) {
                    assert!((-1e-9..=1.0 + 1e-9).contains(&scale.place(value)), "{value} in {scale:?}");
                }
                let labels: Vec<String> = scale.ticks.iter().map(|&t| scale.tick_label(t)).collect();
                assert!(labels.windows(2).all(|pair| pair[0] != pair[1]) || values.len() == 2, "{labels:?}");
            }
        }
    }

    #[test]
    fn labels_have_the_decimals_that_the_step_needs() {
        assert_eq!(ticks(&Axis::new("loss"), &[0.93, 1.71]), ["0.8", "1.0", "1.2", "1.4", "1.6", "1.8"]);
        assert_eq!(
            ticks(&Axis::percent("accuracy"), &[0.1, 0.86]),
            ["0", "20", "40", "60", "80", "100"].map(|t| format!("{t}\u{a0}%"))
        );
        assert_eq!(ticks(&Axis::new("change"), &[-0.1, 0.1]), ["−0.10", "−0.05", "0", "0.05", "0.10"]);
        assert_eq!(ticks(&logarithmic(), &[0.02, 40.0]), ["0.01", "0.1", "1", "10", "100"]);
        assert_eq!(ticks(&logarithmic(), &[0.3, 3.0]), ["0.2", "0.5", "1", "2", "5"]);
    }

    #[test]
    fn epochs_are_counted_in_whole_numbers() {
        assert_eq!(ticks(&Axis::new("epoch"), &[1.0]), ["0", "1", "2"]);
        assert_eq!(ticks(&Axis::new("epoch"), &[1.0, 2.0]), ["1", "2"]);
        assert_eq!(ticks(&Axis::new("epoch"), &[1.0, 6.0]), ["1", "2", "3", "4", "5", "6"]);
    }

    #[test]
    fn ends_that_are_given_are_kept_and_have_ticks_inside() {
        let axis = Axis { range: Some([0.05, 0.95]), ..Axis::percent("accuracy") };
        let scale = Scale::new(&axis, &[0.5], 5);
        assert_eq!(scale.ends, [0.05, 0.95]);
        assert_eq!(scale.ticks.len(), 4);
        // Ends that make no axis are passed over.
        let axis = Axis { range: Some([1.0, 1.0]), ..Axis::new("x") };
        assert_eq!(Scale::new(&axis, &[0.0, 10.0], 5).ends, [0.0, 10.0]);
    }

    #[test]
    fn a_value_is_shown_with_four_digits() {
        let number = Axis::new("x");
        assert_eq!(shown(&number, 0.123_456), "0.1235");
        assert_eq!(shown(&number, 123.456), "123.5");
        assert_eq!(shown(&number, 12.0), "12");
        assert_eq!(shown(&Axis::percent("x"), 0.8875), "88.75\u{a0}%");
    }
}
