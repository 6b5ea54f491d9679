//! One program on a device and on the CPU reference, call by call: so that the first wrong kernel is named and
//! not the last wrong number.
//!
//! Before each call the device is given the reference's values, so errors do not pile up and every kernel is
//! judged on equal inputs by the tolerance of its registry line. From a hand-over call on, the device goes on
//! with its own results instead: a wrong number that only appears then is made by what was handed over.

use crate::cpu::Mode;
use crate::executor::{Device, ExecutionError, Session, Workspace};
use crate::graph::Graph;
use crate::kernels::Tolerance;
use crate::kernels::allowance::allowance;
use crate::kernels::difference::worst;
use crate::program::{Program, RootKind, TensorId};
use serde::Serialize;
use std::sync::Arc;

/// Errors that pile up over a whole program, in units of a tensor's largest value, before a device that runs
/// on its own results counts as wrong.
const PILED_UP: f32 = 2e-2;

/// The worst of all calls of one kernel.
#[derive(Clone, Debug, Serialize)]
pub struct KernelReport {
    /// The kernel.
    pub kernel: &'static str,
    /// The form that ran.
    pub form: &'static str,
    /// Tensors compared; a call may write several.
    pub tensors: usize,
    /// Largest |Δ|.
    pub absolute: f32,
    /// Largest |Δ| in units of the tensor's largest value.
    pub relative: f32,
    /// Tensor in which the largest was.
    pub tensor: String,
    /// Index into it.
    pub index: usize,
    /// The device's value there.
    pub device: f32,
    /// The reference's.
    pub reference: f32,
    /// Values outside the tolerance.
    pub outside: usize,
    /// Whether all were inside.
    pub pass: bool,
}

/// A program with what it starts from.
pub struct Case<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// States by name.
    pub states: &'a [(String, Vec<f32>)],
    /// Inputs by name.
    pub inputs: &'a [(String, Vec<f32>)],
    /// Runs one after the other, on the states that the ones before left.
    pub runs: usize,
}

/// Compares `device` with the reference. With `until`, the device runs on its own results from the first call
/// of that kernel on.
pub fn compare(
    device: &Device,
    case: &Case,
    until: Option<&str>,
) -> Result<Vec<KernelReport>, ExecutionError> {
    let program = Arc::new(Program::compile(case.graph, device.memory_limits())?);
    let (mut reference_space, mut device_space) =
        (Workspace::new(Device::Cpu(Mode::Reference)), Workspace::new(device.clone()));
    for (name, values) in case.states {
        reference_space.write(name, values)?;
        device_space.write(name, values)?;
    }
    let mut sides = Sides {
        reference: reference_space.bind(program.clone())?,
        device: device_space.bind(program.clone())?,
    };
    let handover = until
        .and_then(|name| program.calls.iter().position(|c| c.kernel.name == name))
        .unwrap_or(program.calls.len());
    let mut reports: Vec<KernelReport> = Vec::new();
    for _ in 0..case.runs {
        for (name, values) in case.inputs {
            sides.reference.write(name, values)?;
            sides.device.write(name, values)?;
        }
        sides.reference.begin();
        sides.device.begin();
        for index in 0..program.calls.len() {
            let fed = index < handover;
            let slack = sides.call(&program, index, fed)?;
            let form = form_name(&sides.device, device, index);
            sides.judge(&program, index, (fed, &slack), form, &mut reports)?;
        }
        sides.reference.end();
        sides.device.end();
    }
    Ok(reports)
}

fn form_name(device: &Session, mode: &Device, index: usize) -> &'static str {
    match (device, mode) {
        (Session::Gpu(session), _) => session.form(index).name,
        (Session::Cpu(session), Device::Cpu(Mode::Fast))
            if session.program().calls[index].kernel.fast.is_some() =>
        {
            "fast"
        }
        (Session::Cpu(_), _) => "twin",
    }
}

struct Sides {
    reference: Session,
    device: Session,
}

impl Sides {
    /// Runs a call on both sides; returns what rounding inside it allows, per written tensor.
    fn call(&mut self, program: &Program, index: usize, fed: bool) -> Result<Vec<Vec<f32>>, ExecutionError> {
        let call = &program.calls[index];
        self.reference.allocate(index)?;
        self.device.allocate(index)?;
        // What a call writes is given too: some write a part of a tensor and leave the rest, which at its first
        // call is whatever lay there before.
        let first = |id: &TensorId| {
            let root = &program.roots[program.tensor(*id).root];
            root.kind == RootKind::Computed && root.first == index
        };
        let given = call.reads.iter().filter(|_| fed).chain(call.writes.iter().filter(|id| fed || first(id)));
        for &id in given {
            let values = self.reference.read(id)?;
            self.device.write_tensor(id, &values);
            if program.is_half(id) {
                // The kernel is judged by what it was given.
                let rounded = self.device.read(id)?;
                self.reference.write_tensor(id, &rounded);
            }
        }
        let slack = self.slack(program, index)?;
        self.reference.call_keeping(index)?;
        self.device.call_keeping(index)?;
        Ok(slack)
    }

    /// Per written tensor, what rounding inside a fused call allows; nothing for others.
    fn slack(&self, program: &Program, index: usize) -> Result<Vec<Vec<f32>>, ExecutionError> {
        let call = &program.calls[index];
        if call.expression.is_none() {
            return Ok(vec![Vec::new(); call.writes.len()]);
        }
        let values = |ids: &[TensorId]| -> Result<Vec<Vec<f32>>, ExecutionError> {
            ids.iter().map(|&id| self.reference.read(id)).collect()
        };
        let (reads, mut writes) = (values(&call.reads)?, values(&call.writes)?);
        let reads: Vec<&[f32]> = reads.iter().map(Vec::as_slice).collect();
        let mut writes: Vec<&mut [f32]> = writes.iter_mut().map(Vec::as_mut_slice).collect();
        Ok(allowance(&call.arguments(&reads, &mut writes)))
    }

    fn judge(
        &mut self,
        program: &Program,
        index: usize,
        (fed, slack): (bool, &[Vec<f32>]),
        form: &'static str,
        reports: &mut Vec<KernelReport>,
    ) -> Result<(), ExecutionError> {
        let call = &program.calls[index];
        let tolerance = match fed {
            true => call.kernel.tolerance,
            false => Tolerance { absolute: PILED_UP, relative: PILED_UP },
        };
        for (&id, slack) in call.writes.iter().zip(slack) {
            let (own, expected) = (self.device.read(id)?, self.reference.read(id)?);
            let worst = worst(&own, &expected, tolerance.stored(program.is_half(id)), slack);
            let at = reports.iter().position(|r| r.kernel == call.kernel.name && r.form == form);
            let label = format!("call {index}: {}", program.tensor(id).label);
            let report = match at {
                Some(at) => &mut reports[at],
                None => {
                    reports.push(KernelReport::new(call.kernel.name, form));
                    reports.last_mut().expect("just pushed")
                }
            };
            report.tensors += 1;
            report.outside += worst.outside;
            report.pass &= worst.outside == 0;
            if worst.relative >= report.relative {
                report.relative = worst.relative;
                report.absolute = worst.absolute;
                (report.tensor, report.index) = (label, worst.index);
                (report.device, report.reference) = (own[worst.index], expected[worst.index]);
            }
        }
        self.reference.release(index);
        self.device.release(index);
        Ok(())
    }
}

impl KernelReport {
    fn new(kernel: &'static str, form: &'static str) -> Self {
        let (tensor, pass) = (String::new(), true);
        let zero = 0.0;
        Self {
            kernel,
            form,
            tensors: 0,
            absolute: zero,
            relative: zero,
            tensor,
            index: 0,
            device: zero,
            reference: zero,
            outside: 0,
            pass,
        }
    }
}

/// What a device's own rounding makes of a whole run, all calls together.
#[derive(Clone, Debug, Serialize)]
pub struct Effect {
    /// An output, or the state of a network.
    pub tensor: String,
    /// Length of the difference from the CPU path's in units of the length of the CPU path's.
    pub relative: f64,
}

/// Runs `case` on `device` and on the CPU path, each on its own results, and compares outputs and states that change.
pub fn effects(device: &Device, case: &Case) -> Result<Vec<Effect>, ExecutionError> {
    let run = |device: &Device| -> Result<Vec<(String, Vec<f32>)>, ExecutionError> {
        let mut space = Workspace::new(device.clone());
        for (name, values) in case.states {
            space.write(name, values)?;
        }
        let mut session = space.prepare(case.graph)?;
        // The memory of an input serves others once it has been read, so every run needs it again.
        let mut compute = || {
            for (name, values) in case.inputs {
                session.write(name, values)?;
            }
            session.compute()
        };
        let mut outputs = compute()?;
        for _ in 1..case.runs {
            outputs = compute()?;
        }
        let program = session.program().clone();
        let mut all: Vec<_> =
            program.outputs.iter().map(|(name, _)| (name.clone(), outputs.get(name).to_vec())).collect();
        for root in &program.roots {
            if let RootKind::State(name) = &root.kind
                && !case.states.iter().any(|(given, _)| given == name)
            {
                all.push((name.clone(), space.read(name)?));
            }
        }
        Ok(all)
    };
    let both = run(device)?.into_iter().zip(run(&Device::Cpu(Mode::Fast))?);
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let effects = both.map(|((tensor, own), (_, expected))| {
        let differences = &mut own.iter().zip(&expected).map(|(a, b)| f64::from(*a) - f64::from(*b));
        let whole = length(&mut expected.iter().map(|v| f64::from(*v)));
        Effect { tensor, relative: length(differences) / whole.max(f64::MIN_POSITIVE) }
    });
    Ok(effects.collect())
}
