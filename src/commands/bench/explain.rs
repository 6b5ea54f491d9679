//! `pgn-wgpu bench --explain`: the form of every kernel and shape, why it was chosen, and what the others took; and which
//! convolutions the kernels for the usual geometry do not serve.

use crate::commands::table;
use pgn_wgpu::executor::Device;
use pgn_wgpu::gpu::tuning::{Candidate, Decision, Why};

/// What was decided on a device; nothing on the CPU path, which has one fast form of each kernel.
pub fn decisions(device: &Device) -> Vec<Decision> {
    match device {
        Device::Gpu(gpu) => gpu.tuner().decisions(),
        Device::Cpu(_) => Vec::new(),
    }
}

/// A table of decisions.
pub fn text(decisions: &[Decision]) -> String {
    let mut rows = vec![vec!["kernel and shape of the trial".to_string(), "form".into(), "why".into()]];
    for decision in decisions {
        rows.push(vec![decision.shape.clone(), decision.form.to_string(), reason(decision.why).to_string()]);
    }
    let forms = decisions.iter().map(|d| d.candidates.iter().map(result).collect::<Vec<_>>().join(", "));
    // They go last and hang over, so that the columns before stay narrow.
    let forms = std::iter::once("µs of each form".to_string()).chain(forms);
    table(&rows)
        .lines()
        .zip(forms)
        .map(|(line, forms)| format!("{}\n", format!("{line}  {forms}").trim_end()))
        .collect()
}

/// The convolutions of a kind of step that the kernels for any geometry compute, one line each.
pub fn convolutions(step: &str, general: &[String]) -> String {
    if general.is_empty() {
        return format!("convolutions of a {step} step: the kernels for the usual geometry compute all\n");
    }
    let lines: String = general.iter().map(|line| format!("  {line}\n")).collect();
    format!("convolutions of a {step} step that the kernels for any geometry compute:\n{lines}")
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::OnlyOne => "only one",
        Why::Measured => "measured",
        Why::Remembered => "remembered",
        Why::RunFolder => "run folder",
        Why::TooLarge => "default, too large to measure",
        Why::Default => "default, not measured",
    }
}

fn result(candidate: &Candidate) -> String {
    match (&candidate.wrong, candidate.microseconds) {
        (Some(wrong), _) => format!("{} WRONG ({wrong})", candidate.form),
        (None, Some(time)) => format!("{} {time:.0}", candidate.form),
        (None, None) => format!("{} not timed", candidate.form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_convolution_of_the_general_path_has_a_line() {
        let lines = ["one: dilation".to_string(), "other: depthwise".to_string()];
        let text = convolutions("natural", &lines);
        assert!(text.ends_with(":\n  one: dilation\n  other: depthwise\n"), "{text}");
        assert!(convolutions("natural", &[]).ends_with("compute all\n"));
    }

    #[test]
    fn the_table_has_the_times_of_all_forms_and_says_which_one_is_wrong() {
        let candidate = |form: &str, microseconds, wrong: Option<&str>| Candidate {
            form: form.to_string(),
            microseconds,
            wrong: wrong.map(str::to_string),
        };
        let candidates = vec![
            candidate("portable", Some(812.4), None),
            candidate("fast", Some(101.6), None),
            candidate("faster", None, Some("3 of 8 values differ")),
        ];
        let shape = "conv2d 1x8x8, 4-4 channels".to_string();
        let one = Decision { kernel: "conv2d", shape, form: "fast", why: Why::Measured, candidates };
        let other = Decision {
            kernel: "adam",
            shape: "adam".to_string(),
            form: "portable",
            why: Why::OnlyOne,
            candidates: Vec::new(),
        };
        let text = text(&[one, other]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains("measured  portable 812, fast 102, faster WRONG (3 of 8 values differ)"),
            "{text}"
        );
        assert!(lines[2].starts_with("adam ") && lines[2].ends_with("only one"), "{text}");
    }
}
