//! What came out: a row for each campaign, a line for each deviation.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

/// How a try ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// As it should.
    Expected,
    /// Damage was taken for good.
    Silent(String),
    /// A panic, an abort, or a signal.
    Broke(String),
    /// Anything else that should not be: no sentence, no end, too much memory, other bits.
    Wrong(String),
}

impl Verdict {
    fn index(&self) -> usize {
        match self {
            Self::Expected => 0,
            Self::Silent(_) => 1,
            Self::Broke(_) => 2,
            Self::Wrong(_) => 3,
        }
    }

    fn reason(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Expected => None,
            Self::Silent(reason) => Some(("SILENT", reason)),
            Self::Broke(reason) => Some(("BROKE", reason)),
            Self::Wrong(reason) => Some(("WRONG", reason)),
        }
    }
}

/// One try and what became of it.
#[derive(Clone, Debug)]
pub struct Try {
    /// The name by which it can be repeated.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The most memory of its processes, in bytes.
    pub peak: u64,
}

/// The tries of one group.
#[derive(Default)]
struct Row {
    counts: [usize; 4],
    peak: u64,
}

/// Everything that came out.
pub struct Report {
    seed: u64,
    /// Deviations of one kind in one group that are printed.
    shown: usize,
    order: Vec<String>,
    rows: BTreeMap<String, Row>,
    skipped: Vec<String>,
}

/// The same, unless all are asked for.
const SHOWN: usize = 5;

impl Report {
    /// Nothing tried yet.
    pub fn new(seed: u64, all: bool) -> Self {
        let shown = if all { usize::MAX } else { SHOWN };
        let (order, rows) = (Vec::new(), BTreeMap::new());
        Self { seed, shown, order, rows, skipped: Vec::new() }
    }

    /// Adds the tries of a group, and prints those that deviate.
    pub fn add(&mut self, group: &str, tries: impl IntoIterator<Item = Try>) {
        let mut tries = tries.into_iter().peekable();
        // Of a group that is not asked for there is nothing to say.
        if tries.peek().is_none() {
            return;
        }
        if !self.rows.contains_key(group) {
            self.order.push(group.to_string());
        }
        let row = self.rows.entry(group.to_string()).or_default();
        let mut left_out = [0; 4];
        for Try { name, verdict, peak } in tries {
            let kind = verdict.index();
            row.counts[kind] += 1;
            row.peak = row.peak.max(peak);
            let Some((word, reason)) = verdict.reason() else { continue };
            if row.counts[kind] > self.shown {
                left_out[kind] += 1;
                continue;
            }
            let seed = self.seed;
            println!("{word:6} {name}: {reason}");
            println!("       repeat: make torture TORTURE='--seed {seed} --only {name}'");
        }
        let left_out: usize = left_out.iter().sum();
        if left_out > 0 {
            println!("       {group}: {left_out} more deviations of the same kinds; --all prints them");
        }
    }

    /// Says that a part could not be run here.
    pub fn skip(&mut self, group: &str, reason: &str) {
        self.skipped.push(format!("SKIPPED {group}: {reason}"));
    }

    fn total(&self) -> [usize; 4] {
        let sum = |i: usize| self.rows.values().map(|row| row.counts[i]).sum();
        [sum(0), sum(1), sum(2), sum(3)]
    }

    /// 0 if everything went as expected, 1 if something did not, 3 if a part was skipped.
    pub fn exit_code(&self) -> ExitCode {
        let [_, silent, broke, wrong] = self.total();
        match (silent + broke + wrong, self.skipped.is_empty()) {
            (0, true) => ExitCode::SUCCESS,
            (0, false) => ExitCode::from(3),
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.skipped {
            writeln!(f, "{line}")?;
        }
        let head = ["tries", "expected", "silent", "broke", "wrong", "peak MB"];
        let widest = self.order.iter().map(String::len).max().unwrap_or(0).max("campaign".len());
        write!(f, "\n{:widest$}", "campaign")?;
        head.iter().try_for_each(|head| write!(f, "{head:>10}"))?;
        let all = self.order.iter().map(|group| (group.as_str(), &self.rows[group]));
        let peak = self.rows.values().map(|row| row.peak).max().unwrap_or(0);
        let total = Row { counts: self.total(), peak };
        for (group, Row { counts, peak }) in all.chain([("total", &total)]) {
            write!(f, "\n{group:widest$}{:>10}", counts.iter().sum::<usize>())?;
            counts.iter().try_for_each(|count| write!(f, "{count:>10}"))?;
            write!(f, "{:>10.0}", *peak as f64 / 1e6)?;
        }
        let silent = total.counts[1];
        writeln!(
            f,
            "\n\n{silent} silent acceptances, {} panics or aborts, {} other deviations",
            total.counts[2], total.counts[3]
        )
    }
}
