//! What the engine's tests share: one adapter per test binary, repeatable numbers, and the comparison.
//!
//! The adapter is what `PGN_TEST_ADAPTER` names (any `--adapter` value). If that is unset, it is the first in the list,
//! software too, which `auto` would pass over: the shaders are what is tested. Where there is none, the tests run their
//! CPU half and say so once; with `PGN_REQUIRE_GPU=1` they fail instead.

pub mod epilogue;
pub mod judge;
pub mod record;

use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Session, Workspace};
use pgn_wgpu::gpu::adapter::{self, AdapterChoice, Listed};
use pgn_wgpu::gpu::device::{Checks, Forms, Gpu};
use pgn_wgpu::graph::{Graph, Shape};
use pgn_wgpu::kernels::difference::Allowed;
use pgn_wgpu::kernels::{Constants, Form, Kernel, Tolerance};
use pgn_wgpu::random::{Random, Stream};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, LazyLock};

static ADAPTER: LazyLock<Option<Listed>> = LazyLock::new(|| {
    let wanted = std::env::var("PGN_TEST_ADAPTER").unwrap_or_default();
    let found = match wanted.parse::<AdapterChoice>() {
        Ok(choice) => adapter::choose(&choice).unwrap_or_else(|e| panic!("PGN_TEST_ADAPTER={wanted}: {e}")),
        Err(_) => adapter::list().into_iter().next(),
    };
    if found.is_none() {
        skipped("there is no adapter");
    }
    found
});
static FULL: LazyLock<Option<Arc<Gpu>>> = LazyLock::new(|| open(Checks::Full, Forms::Best));
static TRUSTED: LazyLock<Option<Arc<Gpu>>> = LazyLock::new(|| open(Checks::Trusted, Forms::Best));
static PORTABLE: LazyLock<Option<Arc<Gpu>>> = LazyLock::new(|| open(Checks::Trusted, Forms::Portable));

fn skipped(reason: &str) {
    assert!(std::env::var("PGN_REQUIRE_GPU").as_deref() != Ok("1"), "PGN_REQUIRE_GPU=1, but {reason}");
    not_tested("the GPU half of these tests", reason);
}

/// Says that something is not tested here, and why.
pub fn not_tested(what: &str, reason: &str) {
    // Not eprintln!, which the test harness swallows when the test passes; one write, so that lines stay whole.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {what}, because {reason}\n").as_bytes());
}

/// The adapter, if there is one.
pub fn adapter() -> Option<&'static Listed> {
    ADAPTER.as_ref()
}

/// A device of its own on the shared adapter.
pub fn open(checks: Checks, forms: Forms) -> Option<Arc<Gpu>> {
    match Gpu::open(ADAPTER.as_ref()?, checks, forms) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            skipped(&error.to_string());
            None
        }
    }
}

/// The adapter opened with full and with trusted shaders, if there is one; both choose the best forms.
pub fn gpus() -> Vec<&'static Arc<Gpu>> {
    [&*FULL, &*TRUSTED].into_iter().flatten().collect()
}

/// Everything that programs run on, by name, the judge first.
pub fn devices() -> Vec<(&'static str, Device)> {
    let mut all =
        vec![("CPU reference", Device::Cpu(Mode::Reference)), ("CPU fast", Device::Cpu(Mode::Fast))];
    for (name, gpu) in [("adapter, portable forms", &*PORTABLE), ("adapter, best forms", &*TRUSTED)] {
        all.extend(gpu.iter().map(|gpu| (name, Device::Gpu(gpu.clone()))));
    }
    all
}

/// Everything that a form's own choice of tile says over many shapes.
pub fn tiles(kernel: &Kernel, form: &Form) -> BTreeSet<Constants> {
    const EXTENTS: [u32; 10] = [1, 3, 7, 8, 10, 16, 24, 32, 100, 1024];
    let mut tiles = BTreeSet::new();
    for even in EXTENTS {
        for odd in EXTENTS {
            // Channels of the two sides are neighbours among the parameters.
            let words = (0..kernel.layout.size / 4).map(|i| if i % 2 == 0 { even } else { odd });
            let params: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
            tiles.insert((form.tile)(&params));
        }
    }
    tiles
}

/// Named tensors as the host writes them.
pub type Values = Vec<(String, Vec<f32>)>;

/// A graph bound to a workspace of its own on `device`, with its inputs and states written.
pub fn session(device: &Device, graph: &Graph, inputs: &Values, states: &Values) -> (Workspace, Session) {
    let mut workspace = Workspace::new(device.clone());
    for (name, values) in states {
        workspace.write(name, values).unwrap();
    }
    let mut session = workspace.prepare(graph).unwrap();
    for (name, values) in inputs {
        session.write(name, values).unwrap();
    }
    (workspace, session)
}

/// Standard normal numbers that are multiples of 2^-10, so that a step of a power of two away from one is exact.
pub fn normals(seed: u32, count: usize) -> Vec<f32> {
    let random = Random::new(u64::from(seed), Stream::Attack);
    (0..count as u32).map(|i| (random.normal(0, i) * 1024.0).round() / 1024.0).collect()
}

/// Class indices below `classes`.
pub fn labels(seed: u32, count: usize, classes: usize) -> Vec<f32> {
    let random = Random::new(u64::from(seed), Stream::Shuffle);
    (0..count as u32).map(|i| (random.bits(1, i)[0] % classes as u32) as f32).collect()
}

/// `name` with its values, for [`Values`].
pub fn named(name: &str, values: Vec<f32>) -> (String, Vec<f32>) {
    (name.to_string(), values)
}

/// The largest finite magnitude.
pub fn largest(values: &[f32]) -> f32 {
    pgn_wgpu::kernels::difference::largest(values)
}

/// The largest difference; infinite if one is no number or the lengths differ.
pub fn worst(own: &[f32], expected: &[f32]) -> f32 {
    if own.len() != expected.len() {
        return f32::INFINITY;
    }
    own.iter().zip(expected).fold(0.0, |most, (a, b)| {
        let apart = (a - b).abs();
        // `max` alone would drop it.
        if apart.is_nan() { f32::INFINITY } else { most.max(apart) }
    })
}

/// Checks `|Δ| ≤ absolute · max|expected| + relative · |expected|` for every value; infinities and NaN must be the
/// same, and numbers below the smallest normal one may be flushed to zero.
///
/// # Errors
/// The first few values that differ, with their index in the tensor.
pub fn compare(actual: &[f32], expected: &[f32], shape: &Shape, allowed: Tolerance) -> Result<(), String> {
    compare_with(actual, expected, shape, allowed, &[])
}

/// As [`compare`], with `slack` more for each value; none if it is empty.
///
/// # Errors
/// The first few values that differ.
pub fn compare_with(
    actual: &[f32],
    expected: &[f32],
    shape: &Shape,
    allowed: Tolerance,
    slack: &[f32],
) -> Result<(), String> {
    assert_eq!(actual.len(), expected.len(), "lengths");
    let allowed = Allowed::new(expected, allowed, slack);
    let wrong: Vec<usize> =
        (0..actual.len()).filter(|&i| !allowed.allows(i, actual[i], expected[i])).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let lines = wrong.iter().take(5).map(|&i| {
        let (a, e) = (actual[i], expected[i]);
        format!("\n  at {:?}: {a:e}, but should be {e:e} (difference {:e})", index(i, shape), a - e)
    });
    Err(format!(
        "{} of {} values of shape {shape} differ:{}",
        wrong.len(),
        actual.len(),
        lines.collect::<String>()
    ))
}

/// The index of value `flat` in a tensor.
fn index(flat: usize, shape: &Shape) -> Vec<usize> {
    let mut rest = flat;
    let mut index: Vec<usize> = shape
        .extents()
        .iter()
        .rev()
        .map(|&extent| {
            let at = rest % extent;
            rest /= extent;
            at
        })
        .collect();
    index.reverse();
    index
}
