//! The choice of a kernel's form for a shape. It is measured at first use and remembered on disk.
//!
//! A call with several forms is cut down to a [`problem::Problem`]. Every form is compared with the CPU twin on a few images, and
//! then timed ([`trial`]); on a GPU with as many images as a step has. The winner goes to the [`store`], under adapter, driver,
//! program version, kernel and shape. A form is timed only after its result was compared. A form with a wrong result is reported,
//! remembered as wrong and not used.
//!
//! Memory-bound calls are not timed. A form made for the adapter fetches less at every shape that it fits. Such calls come in too
//! many shapes for a short start, and a trial cannot repeat a call that works in place. The most specific form that fits runs them.
//!
//! Another form adds in another order, so a choice decides bits. Three rules keep choices stable: a choice stays while the cache
//! exists; a form must beat the default by a margin; and a run folder holds the choices of its run, which [`Tuner::pin`] takes over.

pub mod problem;
pub mod store;
mod trial;

use super::GpuError;
use super::device::{Checks, Gpu};
use crate::kernels::Form;
use crate::program::Program;
use problem::{Problem, Work};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use store::{Entry, Store};

/// How much is measured to choose the forms of kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Tune {
    /// Nothing; the most specific form runs
    Off,
    /// Shapes that are not known yet, for at most a few seconds
    #[default]
    Quick,
    /// Everything that was not measured so before, with more repetitions
    Full,
}

/// [`Tune::Quick`] begins no further trial after this time.
const QUICK_BUDGET: Duration = Duration::from_millis(2500);
/// The share of the default's time that another form must save to replace it.
const MARGIN: f64 = 0.05;
/// On a software adapter [`Tune::Quick`] does not try a form again that was this many times slower than the fastest at one shape of
/// the kernel. To compile and judge it would take most of a short start.
const BEATEN: f64 = 8.0;

impl Tune {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    fn rounds(self) -> usize {
        if self == Self::Full { 15 } else { 3 }
    }
}

/// The forms that a run uses on an adapter, by shape; its `config.toml` has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelChoices {
    /// The adapter and its driver; on another one these choices mean nothing.
    pub adapter: String,
    /// Form by kernel and shape.
    pub forms: BTreeMap<String, String>,
}

/// Why a form was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The adapter can run no other.
    OnlyOne,
    /// Measured now.
    Measured,
    /// Measured before, by this or another process.
    Remembered,
    /// The run folder says so.
    RunFolder,
    /// The most specific one, because the twin would take too long to judge the others.
    TooLarge,
    /// The most specific one: measuring is off, there was no time left, or the call is memory-bound.
    Default,
}

/// The result of a form in a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The form.
    pub form: String,
    /// Least time of one dispatch of the trial; absent if it was not timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microseconds: Option<f64>,
    /// The fault of its result, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// A choice and its reason.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// The kernel.
    pub kernel: &'static str,
    /// Kernel and shape of the trial; the kernel alone where there is no choice.
    pub shape: String,
    /// The form that runs.
    pub form: &'static str,
    /// Why.
    pub why: Why,
    /// All forms, where they were compared.
    pub candidates: Vec<Candidate>,
}

/// The form of one call, and the name of the shape if there was a choice.
pub struct Chosen {
    /// The form.
    pub form: &'static Form,
    /// See [`Problem::name`].
    pub shape: Option<String>,
}

/// Chooses, and remembers what it chose.
pub struct Tuner {
    tune: Tune,
    budget: Duration,
    state: Mutex<State>,
}

struct State {
    store: Store,
    decisions: BTreeMap<String, Decision>,
    pins: HashMap<String, String>,
    /// Kernels and their forms that were [`BEATEN`] in this process.
    beaten: HashSet<(&'static str, String)>,
    spent: Duration,
}

impl Tuner {
    /// Chooses as `tune` says and keeps what it finds in `store`.
    pub fn new(tune: Tune, store: Store) -> Self {
        let (decisions, pins, beaten) = Default::default();
        let state = State { store, decisions, pins, beaten, spent: Duration::ZERO };
        let budget = if tune == Tune::Quick { QUICK_BUDGET } else { Duration::MAX };
        Self { tune, budget, state: Mutex::new(state) }
    }

    /// The same, with another limit on the time spent before the last trial begins.
    #[must_use]
    pub fn within(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// Takes over the choices of a run, for all programs that are prepared from now on.
    pub fn pin(&self, forms: &BTreeMap<String, String>) {
        let mut state = self.state.lock().expect("no thread panicked");
        for (shape, form) in forms {
            state.decisions.remove(shape);
            state.pins.insert(shape.clone(), form.clone());
        }
    }

    /// All choices so far.
    pub fn decisions(&self) -> Vec<Decision> {
        self.state.lock().expect("no thread panicked").decisions.values().cloned().collect()
    }

    /// A form for every call of `program`.
    pub fn choose(&self, gpu: &Gpu, program: &Program) -> Result<Vec<Chosen>, GpuError> {
        let mut state = self.state.lock().expect("no thread panicked");
        let work = Work::on(gpu.is_software());
        let (mut shapes, mut open) = (Vec::new(), Vec::<(u64, Problem)>::new());
        for call in &program.calls {
            let able = gpu.candidates(call);
            let problem = Problem::of(able.clone(), program, call, work);
            let name = problem.name();
            if !state.decisions.contains_key(&name) {
                match open.iter_mut().find(|(_, other)| other.name() == name) {
                    Some((flops, _)) => *flops += call.flops,
                    None => open.push((call.flops, problem)),
                }
            }
            shapes.push((name, able));
        }
        // The largest share of the work goes first, because there may not be time for all.
        open.sort_by_key(|(flops, _)| std::cmp::Reverse(*flops));
        let mut measured = false;
        for (_, problem) in open {
            let decision = self.decide(gpu, &mut state, &problem)?;
            measured |= decision.why == Why::Measured;
            state.decisions.insert(decision.shape.clone(), decision);
        }
        if measured {
            state.store.save();
        }
        let chosen = program.calls.iter().zip(shapes).map(|(call, (shape, able))| {
            let decision = &state.decisions[&shape];
            let form = call.kernel.forms.iter().find(|form| form.name == decision.form);
            let form = form.expect("chosen among them");
            // Calls on other numbers of images share a decision. A form for software adapters may need whole groups of them.
            let fits = form.needs.hardware || able.iter().any(|able| able.name == form.name);
            let shape = (decision.why != Why::OnlyOne).then_some(shape);
            Chosen { form: if fits { form } else { able[0] }, shape }
        });
        Ok(chosen.collect())
    }

    /// The forms of a problem that may yet win.
    fn worth_trying(&self, gpu: &Gpu, state: &State, problem: &Problem) -> Vec<&'static Form> {
        let kernel = problem.timed.call.kernel.name;
        let beaten = |form: &Form| state.beaten.contains(&(kernel, form.name.to_string()));
        let quick = self.tune == Tune::Quick && gpu.is_software();
        if let Some(&last) = problem.forms.last().filter(|form| quick && form.needs.alone) {
            return vec![last];
        }
        problem.forms.iter().copied().filter(|form| !quick || !beaten(form)).collect()
    }

    fn decide(&self, gpu: &Gpu, state: &mut State, problem: &Problem) -> Result<Decision, GpuError> {
        let known = state.store.get(&problem.key(), problem.fingerprint()).cloned();
        match self.decided_without_trial(gpu, state, problem, known.as_ref()) {
            Some(decision) => Ok(decision),
            None => self.decide_by_trial(gpu, state, problem, known),
        }
    }

    /// The decision that needs no trial. `known` is what earlier trials of the problem found.
    fn decided_without_trial(
        &self,
        gpu: &Gpu,
        state: &State,
        problem: &Problem,
        known: Option<&Entry>,
    ) -> Option<Decision> {
        let default = default(problem);
        if problem.forms.len() == 1 {
            return Some(decision(problem, default, Why::OnlyOne, Vec::new()));
        }
        let candidates = known.map_or(Vec::new(), |entry| entry.candidates.clone());
        let wrong = |form: &str| candidates.iter().any(|c| c.form == form && c.wrong.is_some());
        let pinned = state.pins.get(&problem.name()).and_then(|name| named(problem, name));
        if let Some(form) = pinned.filter(|form| !wrong(form.name)) {
            return Some(decision(problem, form, Why::RunFolder, candidates));
        }
        if self.tune == Tune::Off || !problem.computes() {
            return Some(decision(problem, default, Why::Default, Vec::new()));
        }
        if let Some(entry) = known.filter(|entry| entry.tune >= self.tune)
            && let Some(form) = named(problem, &entry.form)
        {
            return Some(decision(problem, form, Why::Remembered, candidates));
        }
        if problem.is_too_large() {
            return Some(decision(problem, default, Why::TooLarge, Vec::new()));
        }
        // Checked shaders have other times than the shaders of a usual run.
        if gpu.checks() == Checks::Full || state.spent >= self.budget {
            return Some(decision(problem, default, Why::Default, candidates));
        }
        None
    }

    fn decide_by_trial(
        &self,
        gpu: &Gpu,
        state: &mut State,
        problem: &Problem,
        known: Option<Entry>,
    ) -> Result<Decision, GpuError> {
        let default = default(problem);
        let started = Instant::now();
        let forms = self.worth_trying(gpu, state, problem);
        let mut measured = trial::measure(gpu, problem, &forms, self.tune.rounds());
        let none_right = |all: &Vec<Candidate>| all.iter().all(|c| c.wrong.is_some());
        if forms.len() < problem.forms.len() && matches!(&measured, Ok(Some(all)) if none_right(all)) {
            measured = trial::measure(gpu, problem, &problem.forms, self.tune.rounds());
        }
        state.spent += started.elapsed();
        let Some(candidates) = measured? else {
            let earlier = known.map_or(Vec::new(), |entry| entry.candidates);
            return Ok(decision(problem, default, Why::Default, earlier));
        };
        let shape = problem.name();
        report_wrong(gpu, &shape, &candidates);
        let kernel = problem.timed.call.kernel.name;
        state.beaten.extend(beaten(&candidates).map(|form| (kernel, form)));
        let Some(form) = winner(&candidates, default.name) else {
            return Err(GpuError::NoRightForm { adapter: gpu.info.name.clone(), shape });
        };
        let form = named(problem, &form).expect("a candidate is a form");
        let entry = Entry {
            form: form.name.to_string(),
            tune: self.tune,
            sources: problem.fingerprint(),
            candidates: candidates.clone(),
        };
        state.store.insert(&problem.key(), entry);
        Ok(decision(problem, form, Why::Measured, candidates))
    }
}

/// The form that runs where nothing is known.
fn default(problem: &Problem) -> &'static Form {
    problem.forms.last().expect("the portable form is always usable")
}

fn named(problem: &Problem, name: &str) -> Option<&'static Form> {
    problem.forms.iter().copied().find(|form| form.name == name)
}

fn decision(problem: &Problem, form: &'static Form, why: Why, candidates: Vec<Candidate>) -> Decision {
    let kernel = problem.timed.call.kernel.name;
    Decision { kernel, shape: problem.name(), form: form.name, why, candidates }
}

/// Forms far slower than the fastest right one.
fn beaten(candidates: &[Candidate]) -> impl Iterator<Item = String> {
    let right = candidates.iter().filter(|c| c.wrong.is_none());
    let times = right.filter_map(|c| Some((&c.form, c.microseconds?)));
    let least = times.clone().map(|(_, time)| time).fold(f64::INFINITY, f64::min);
    times.filter(move |(_, time)| *time > BEATEN * least).map(|(form, _)| form.clone())
}

/// The fastest right form, unless the default is nearly as fast.
fn winner(candidates: &[Candidate], default: &str) -> Option<String> {
    let timed = |c: &Candidate| c.microseconds.filter(|_| c.wrong.is_none());
    let usual = candidates.iter().find(|c| c.form == default).and_then(timed);
    let (best, least) =
        candidates.iter().filter_map(|c| Some((c, timed(c)?))).min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    match usual {
        Some(usual) if least > (1.0 - MARGIN) * usual => Some(default.to_string()),
        _ => Some(best.form.clone()),
    }
}

fn report_wrong(gpu: &Gpu, shape: &str, candidates: &[Candidate]) {
    for candidate in candidates {
        if let Some(wrong) = &candidate.wrong {
            let _ = writeln!(
                std::io::stderr(),
                "warning: the {} form of a kernel is wrong on {} and is not used: {shape}: {wrong}; please report this, \
                 with the output of `pgn-wgpu validate --json`",
                candidate.form,
                gpu.identity()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(form: &str, microseconds: Option<f64>, wrong: bool) -> Candidate {
        Candidate { form: form.to_string(), microseconds, wrong: wrong.then(|| "NaN".to_string()) }
    }

    #[test]
    fn another_form_has_to_win_by_a_margin_and_a_wrong_one_never_does() {
        let of = |usual, other, wrong| {
            winner(&[candidate("usual", Some(usual), false), candidate("other", Some(other), wrong)], "usual")
        };
        assert_eq!(of(100.0, 98.0, false).as_deref(), Some("usual"));
        assert_eq!(of(100.0, 90.0, false).as_deref(), Some("other"));
        assert_eq!(of(100.0, 10.0, true).as_deref(), Some("usual"));
    }

    #[test]
    fn a_form_far_behind_is_beaten_and_a_wrong_one_beats_none() {
        let all = [
            candidate("usual", Some(100.0), false),
            candidate("slow", Some(700.0), false),
            candidate("hopeless", Some(900.0), false),
            candidate("wrong", Some(1.0), true),
        ];
        assert_eq!(beaten(&all).collect::<Vec<_>>(), ["hopeless"]);
    }

    #[test]
    fn where_the_usual_form_is_wrong_the_next_one_wins_and_where_all_are_none_does() {
        let usual = candidate("usual", None, true);
        assert_eq!(
            winner(&[usual.clone(), candidate("slow", Some(9e9), false)], "usual").as_deref(),
            Some("slow")
        );
        assert_eq!(winner(&[usual], "usual"), None);
    }
}
