//! Writes calls with what their twins made of them, for other compilers and drivers: `make portability` runs them through Dawn.
//!
//! With `PGN_RECORD_CALLS` naming a folder, every call that is judged becomes a file there, with all forms that can exist in browsers.
//! `forms.json` lists those of the whole registry, so that a form without a call is seen.

use pgn_wgpu::kernels::{self, Form, generate};
use pgn_wgpu::program::Call;
use pgn_wgpu::web::Packed;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

static FOLDER: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os("PGN_RECORD_CALLS")?);
    write(&folder, "forms.json", &json!(forms()));
    Some(folder)
});
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Every form that can exist in a browser.
fn forms() -> Vec<String> {
    let of = |kernel: &'static kernels::Kernel| {
        kernel.forms.iter().filter(|form| form.in_browsers()).map(move |form| name(kernel.name, form))
    };
    kernels::ALL.iter().flat_map(|kernel| of(kernel)).collect()
}

fn name(kernel: &str, form: &Form) -> String {
    format!("{kernel}, {}", form.name)
}

fn write(folder: &Path, name: &str, value: &serde_json::Value) {
    std::fs::write(folder.join(name), value.to_string())
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
}

/// Records a call: what it reads, what stands where it writes, what should stand there afterwards, and what that may differ by.
pub fn record(
    call: &Call,
    reads: &[Vec<f32>],
    before: &[Vec<f32>],
    expected: &[Vec<f32>],
    slack: &[Vec<f32>],
) {
    let Some(folder) = FOLDER.as_ref() else { return };
    let packed = |all: &[Vec<f32>]| -> Vec<Packed> { all.iter().map(|v| Packed::numbers(v)).collect() };
    let form = |form: &'static Form| {
        let generated = call.expression.as_ref().map(|e| generate::shader(form.source, e));
        let source = generated.as_deref().unwrap_or(form.source);
        let constants = form.constants(call);
        let declared = constants.iter().filter(|(name, _)| source.contains(&format!("override {name}:")));
        json!({
            "name": name(call.kernel.name, form),
            "source": source,
            "constants": declared.map(|&(name, value)| (name, value)).collect::<std::collections::BTreeMap<_, _>>(),
            "grid": (form.grid)(&call.params, &constants),
        })
    };
    let words = call.params.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let row = json!({
        "forms": call.forms_in_browsers().map(form).collect::<Vec<_>>(),
        "params": words.collect::<Vec<_>>(),
        "reads": packed(reads),
        "before": packed(before),
        "expected": packed(expected),
        "slack": packed(slack),
        "absolute": call.kernel.tolerance.absolute,
        "relative": call.kernel.tolerance.relative,
    });
    write(folder, &format!("call-{:05}.json", CALLS.fetch_add(1, Ordering::Relaxed)), &row);
}
