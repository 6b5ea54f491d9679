//! Forms of kernels are chosen by measurement: a wrong one is never used, a choice stays what it was, and a run
//! repeats with the forms that it began with.

#[allow(dead_code, reason = "every test binary uses its own part of it")]
mod common;

use common::{labels, named, normals};
use pgn_wgpu::executor::{Device, ExecutionError, Workspace};
use pgn_wgpu::gpu::GpuError;
use pgn_wgpu::gpu::device::{Checks, Forms, Gpu, Options};
use pgn_wgpu::gpu::tuning::store::Store;
use pgn_wgpu::gpu::tuning::{Decision, KernelChoices, Tune, Tuner, Why};
use pgn_wgpu::graph::{Convolution, Graph};
use pgn_wgpu::kernels::{self, Form, Kernel};
use pgn_wgpu::program::precision::Precision;
use pgn_wgpu::program::{MemoryLimits, Program};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Held by whoever opens devices: where threads of one process opened, used and closed devices beside each other, NVIDIA's
/// driver (580.159.04) on a busy machine waited for itself forever in two runs of six, one after the other in none of six; and what
/// is timed beside other tests says little.
static DEVICES: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that has failed leaves nothing behind that the next one would notice.
    DEVICES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device that remembers in `cache`.
fn open(checks: Checks, tuner: Tuner) -> Option<Arc<Gpu>> {
    let options = Options { checks, forms: Forms::Best, precision: Precision::F32 };
    Some(Gpu::open_with(common::adapter()?, options, tuner).unwrap())
}

fn store(cache: &Path) -> Store {
    Store::open(cache, "these tests".to_string())
}

/// A convolution, its result's sum by columns, a kernel with one form, and by rows, one that memory limits.
fn program() -> Program {
    let mut graph = Graph::new();
    let image = graph.input("image", &[2, 8, 8, 8]).unwrap();
    let weight = graph.input("weight", &[3, 3, 8, 16]).unwrap();
    let how = Convolution::same(3, 1);
    let y = graph.convolve(how, image, weight).unwrap();
    let sum = graph.sum_rows(y, 16).unwrap();
    let sums = graph.sum_columns(y);
    graph.output("y", y);
    graph.output("sums", sums);
    graph.output("sum", sum);
    Program::compile(&graph, MemoryLimits::NONE).unwrap()
}

/// A kernel like `conv2d` with portable forms alone, each of them with a text replaced in its shader.
fn tampered(changes: &[(&'static str, [&str; 2])]) -> &'static Kernel {
    let portable = &kernels::conv2d.forms[0];
    let forms: Vec<Form> = changes
        .iter()
        .map(|&(name, [from, to])| {
            assert!(portable.source.contains(from), "{from} is not in the shader");
            let source: &'static str = String::leak(portable.source.replace(from, to));
            Form { name, source, ..*portable }
        })
        .collect();
    let name = String::leak(format!("conv2d tampered {}", changes.len()));
    Box::leak(Box::new(Kernel { name, forms: Vec::leak(forms), ..kernels::conv2d }))
}

const AS_IT_IS: [&str; 2] = ["sum0 += pixels.x * weights", "sum0 += weights * pixels.x"];
const WRONG: [&str; 2] = ["sum0 += pixels.x * weights", "sum0 += 1.001 * pixels.x * weights"];
const NOT_WGSL: [&str; 2] = ["sum0 += pixels.x * weights", "sum0 += pixels.x * nothing"];
const UNWRITTEN: [&str; 2] = ["    store(pixel + 3u, channel, sum3);", ""];

/// Prepares the program with another kernel in place of `conv2d`, and returns what was decided about it.
fn decide(gpu: &Arc<Gpu>, kernel: &'static Kernel) -> Result<Decision, ExecutionError> {
    let mut program = program();
    program.calls[0].kernel = kernel;
    Workspace::new(Device::Gpu(gpu.clone())).bind(Arc::new(program))?;
    let all = gpu.tuner().decisions();
    Ok(all.into_iter().find(|d| d.kernel == kernel.name).expect("prepared"))
}

#[test]
fn a_wrong_form_is_compared_and_not_used_however_it_is_wrong() {
    let _alone = alone();
    for wrong in [WRONG, UNWRITTEN, NOT_WGSL] {
        let cache = tempfile::tempdir().unwrap();
        // The form at fault comes last, where the usual choice would take it.
        let kernel = tampered(&[("right", AS_IT_IS), ("wrong", wrong)]);
        for why in [Why::Measured, Why::Remembered] {
            let Some(gpu) = open(Checks::Trusted, Tuner::new(Tune::Quick, store(cache.path()))) else {
                return;
            };
            let decision = decide(&gpu, kernel).unwrap();
            assert_eq!((decision.form, decision.why), ("right", why));
            let [right, wrong] = &decision.candidates[..] else { panic!("{decision:?}") };
            assert!(right.wrong.is_none() && right.microseconds.is_some_and(|t| t > 0.0), "{right:?}");
            assert!(wrong.wrong.is_some() && wrong.microseconds.is_none(), "timed though wrong: {wrong:?}");
        }
    }
}

/// On a software adapter, whose start waits for every pipeline.
#[test]
fn a_form_that_a_call_is_made_for_is_tried_alone_unless_it_is_wrong() {
    let _alone = alone();
    for (change, form, tried) in [(AS_IT_IS, "own", 1), (WRONG, "other", 2)] {
        let kernel = tampered(&[("other", AS_IT_IS), ("own", change)]);
        let mut forms: Vec<Form> = kernel.forms.iter().map(clone).collect();
        forms[1].needs.alone = true;
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel { forms: Vec::leak(forms), ..*kernel }));
        let cache = tempfile::tempdir().unwrap();
        let Some(gpu) = open(Checks::Trusted, Tuner::new(Tune::Quick, store(cache.path()))) else { return };
        let decision = decide(&gpu, kernel).unwrap();
        let tried = if gpu.is_software() { tried } else { 2 };
        assert_eq!((decision.candidates.len(), decision.why), (tried, Why::Measured), "{decision:?}");
        assert!(decision.form == form || !gpu.is_software(), "{decision:?}");
    }
}

#[test]
fn a_remembered_form_that_no_longer_exists_is_measured_again() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let kernel = tampered(&[("one", AS_IT_IS), ("other", AS_IT_IS)]);
    let decided = || {
        let gpu = open(Checks::Trusted, Tuner::new(Tune::Quick, store(cache.path())))?;
        Some(decide(&gpu, kernel).unwrap())
    };
    let Some(first) = decided() else { return };
    let file = cache.path().join("tuning-1.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let renamed = text.replace(&format!("\"form\": \"{}\"", first.form), "\"form\": \"wide8\"");
    assert_ne!(text, renamed);
    std::fs::write(&file, renamed).unwrap();
    let again = decided().unwrap();
    assert_eq!(again.why, Why::Measured, "{again:?}");
    assert!(["one", "other"].contains(&again.form), "{again:?}");
}

#[test]
fn calls_of_one_shape_that_have_other_forms_are_remembered_beside_each_other() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let all = tampered(&[("one", AS_IT_IS), ("two", AS_IT_IS), ("three", AS_IT_IS)]);
    let fewer: &'static Kernel = Box::leak(Box::new(Kernel { forms: &all.forms[..2], ..*all }));
    for why in [Why::Measured, Why::Remembered] {
        for kernel in [all, fewer] {
            let tuner = Tuner::new(Tune::Quick, store(cache.path()));
            let Some(gpu) = open(Checks::Trusted, tuner) else { return };
            let decision = decide(&gpu, kernel).unwrap();
            assert_eq!((decision.why, decision.candidates.len()), (why, kernel.forms.len()), "{decision:?}");
        }
    }
}

#[test]
fn where_every_form_is_wrong_nothing_runs() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let kernel = tampered(&[("wrong", WRONG), ("too", UNWRITTEN), ("and this", WRONG)]);
    let Some(gpu) = open(Checks::Trusted, Tuner::new(Tune::Quick, store(cache.path()))) else { return };
    let error = decide(&gpu, kernel).unwrap_err();
    assert!(matches!(&error, ExecutionError::Gpu(GpuError::NoRightForm { .. })), "{error}");
    assert!(error.to_string().contains("`adapter` cpu"), "{error}");
}

/// Work that the adapter has to do several times: the fast form must be told from the slow one.
const SLOW: [&str; 2] = [
    "for (var first_step = 0u; first_step < steps; first_step += DEPTH) {",
    "for (var again = 0u; again < 24u; again++) { sum0 = vec4<f32>(); sum1 = sum0; sum2 = sum0; sum3 = sum0;\n\
     for (var first_step = 0u; first_step < steps; first_step += DEPTH) {",
];

#[test]
fn the_fastest_form_wins_and_stays_chosen() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let kernel = tampered(&[("fast", AS_IT_IS), ("slow", AS_IT_IS)]);
    // The loop's end is the last closing brace before the stores.
    let source = kernel.forms[1].source.replace(SLOW[0], SLOW[1]).replace(
        "    let pixel = first_pixel + 4u * local.y;",
        "    }\n    let pixel = first_pixel + 4u * local.y;",
    );
    let forms = vec![
        Form { name: "fast", ..clone(&kernel.forms[0]) },
        Form { name: "slow", source: String::leak(source), ..clone(&kernel.forms[1]) },
    ];
    let kernel: &'static Kernel =
        Box::leak(Box::new(Kernel { name: "conv2d twice", forms: Vec::leak(forms), ..kernels::conv2d }));
    for (tune, why) in [
        (Tune::Quick, Why::Measured),
        (Tune::Quick, Why::Remembered),
        (Tune::Full, Why::Measured),
        (Tune::Full, Why::Remembered),
        (Tune::Quick, Why::Remembered),
    ] {
        let Some(gpu) = open(Checks::Trusted, Tuner::new(tune, store(cache.path()))) else { return };
        let decision = decide(&gpu, kernel).unwrap();
        assert_eq!((decision.form, decision.why), ("fast", why), "{tune:?}: {decision:?}");
        assert!(decision.candidates.iter().all(|c| c.wrong.is_none() && c.microseconds.is_some()));
    }
}

#[test]
fn a_form_made_for_gpus_is_tried_on_gpus_alone() {
    let _alone = alone();
    let Some(gpu) = open(Checks::Trusted, Tuner::new(Tune::Off, Store::none())) else { return };
    let call = &program().calls[0];
    let made_for_gpus = |forms: Vec<&'static Form>| forms.iter().any(|form| form.needs.hardware);
    assert!(made_for_gpus(gpu.able(call)), "the tests judge it everywhere");
    assert_eq!(made_for_gpus(gpu.candidates(call)), !gpu.is_software());
}

fn clone(form: &Form) -> Form {
    Form { ..*form }
}

#[test]
fn without_time_or_leave_to_measure_the_most_specific_form_runs_and_nothing_is_remembered() {
    let _alone = alone();
    let kernel =
        tampered(&[("first", AS_IT_IS), ("second", AS_IT_IS), ("third", AS_IT_IS), ("last", AS_IT_IS)]);
    let cache = tempfile::tempdir().unwrap();
    for (checks, tuner) in [
        (Checks::Trusted, Tuner::new(Tune::Off, store(cache.path()))),
        (Checks::Full, Tuner::new(Tune::Quick, store(cache.path()))),
        (Checks::Trusted, Tuner::new(Tune::Quick, store(cache.path())).within(Duration::ZERO)),
    ] {
        let Some(gpu) = open(checks, tuner) else { return };
        let decision = decide(&gpu, kernel).unwrap();
        assert_eq!((decision.form, decision.why), ("last", Why::Default));
        assert!(std::fs::read_dir(cache.path()).unwrap().next().is_none(), "something was written");
    }
}

#[test]
fn a_kernel_of_one_form_or_that_memory_limits_is_not_measured() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let Some(gpu) = open(Checks::Trusted, Tuner::new(Tune::Full, store(cache.path()))) else { return };
    decide(&gpu, &kernels::conv2d).unwrap();
    let all = gpu.tuner().decisions();
    let of = |kernel: &Kernel| all.iter().find(|d| d.kernel == kernel.name).unwrap();
    let one = of(&kernels::sum_columns);
    assert_eq!((one.form, one.why, one.candidates.len()), ("portable", Why::OnlyOne, 0));
    let memory = of(&kernels::sum_rows);
    let forms: Vec<_> = kernels::sum_rows.forms.iter().filter(|form| gpu.supports(form)).collect();
    let why = if forms.len() == 1 { Why::OnlyOne } else { Why::Default };
    assert_eq!((memory.form, memory.why), (forms[forms.len() - 1].name, why));
    assert!(memory.candidates.is_empty());
}

#[test]
fn the_choices_of_a_run_are_taken_over_on_the_same_adapter_and_driver_alone() {
    let _alone = alone();
    let program = Arc::new(program());
    let inputs = [named("image", normals(1, 2 * 8 * 8 * 8)), named("weight", labels(2, 9 * 8 * 16, 3))];
    let results = |gpu: &Arc<Gpu>, pins: Option<&KernelChoices>| {
        if let Some(pins) = pins {
            gpu.pin(pins);
        }
        let mut workspace = Workspace::new(Device::Gpu(gpu.clone()));
        let mut session = workspace.bind(program.clone()).unwrap();
        for (name, values) in &inputs {
            session.write(name, values).unwrap();
        }
        session.compute().unwrap();
        workspace.choices().unwrap().clone()
    };
    let fresh = || open(Checks::Trusted, Tuner::new(Tune::Off, Store::none()));
    let Some(gpu) = fresh() else { return };
    let usual = results(&gpu, None);
    let mut portable = usual.clone();
    portable.forms.values_mut().for_each(|form| *form = "portable".to_string());
    assert_eq!(results(&gpu, Some(&portable)), portable, "also where something else was chosen before");
    assert_eq!(results(&fresh().unwrap(), Some(&portable)), portable);
    let elsewhere = KernelChoices { adapter: "another card".to_string(), ..portable.clone() };
    assert_eq!(results(&fresh().unwrap(), Some(&elsewhere)), usual);
    let mut unknown = portable;
    unknown.forms.values_mut().for_each(|form| *form = "of a later version".to_string());
    assert_eq!(results(&fresh().unwrap(), Some(&unknown)), usual);
}

#[test]
fn a_software_driver_compiles_on_a_second_device_what_a_program_will_need() {
    let _alone = alone();
    let Some(adapter) = common::adapter() else { return };
    let options = |forms| Options { checks: Checks::Trusted, forms, precision: Precision::F32 };
    let open = |forms| {
        let tuner = Tuner::new(Tune::Off, Store::none());
        Device::Gpu(Gpu::open_with(adapter, options(forms), tuner).unwrap())
    };
    let mut graph = Graph::new();
    let x = graph.input("x", &[32, 8]).unwrap();
    let soft = graph.softmax(x);
    let best = graph.arg_max(soft);
    let rows = graph.gather_rows(soft, best);
    let (by_row, by_column) = (graph.sum_columns(rows), graph.sum_rows(rows, 8).unwrap());
    let labels = graph.one_hot(best, 8);
    for (name, tensor) in [("by row", by_row), ("by column", by_column), ("labels", labels)] {
        graph.output(name, tensor);
    }
    let program = Arc::new(Program::compile(&graph, MemoryLimits::NONE).unwrap());
    let results = |device: &Device| {
        let mut session = Workspace::new(device.clone()).bind(program.clone()).unwrap();
        session.write("x", &normals(1, 32 * 8)).unwrap();
        let results = session.compute().unwrap();
        ["by row", "by column", "labels"].map(|name| results.get(name).to_vec())
    };
    let (device, other) = (open(Forms::Measured(Tune::Off)), open(Forms::Best));
    assert_eq!(results(&device), results(&other));
    let (Device::Gpu(gpu), Device::Gpu(other)) = (&device, &other) else { unreachable!("opened as such") };
    assert_eq!(other.compiled_ahead(), 0);
    // Six kernels, of which the first four are left to the device itself.
    let expected =
        if gpu.is_software() && std::thread::available_parallelism().unwrap().get() > 1 { 2 } else { 0 };
    let begun = std::time::Instant::now();
    while gpu.compiled_ahead() != expected {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{} of {expected} pipelines",
            gpu.compiled_ahead()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
