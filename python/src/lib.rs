//! The extension module `pgn_wgpu._core`: the library as the Python files of `pgn_wgpu` need it. They check arrays and
//! name things for people; here arrays become images, options become those of the command, and errors become exceptions.
//!
//! The command `pgn-wgpu` comes out of this module too ([`command`]), so a wheel holds one build of the library. Two other
//! ways were weighed. A binary beside the module (maturin's `data` folder) is a second link of the whole library with its own
//! copy of shaders and data: twice the size and twice the build. A module that starts such a binary for everything needs files
//! for every array. The price of this way is the start of an interpreter, a tenth of a second. Signals, exit codes and child
//! processes are those of the binary: [`command`] ends the process itself, before the interpreter looks at signals.

mod command;
mod conversion;
mod errors;
mod interrupt;
mod model;
mod training;

use pgn_wgpu::attacks::AttackKind;
use pgn_wgpu::attacks::options::Setting;
use pyo3::prelude::*;
use serde_json::{Map, Value, json};

/// The attacks that there are, as JSON: of each its name, what it is, its norms, and its options with their defaults.
#[pyfunction]
fn attacks() -> String {
    let all = AttackKind::all().into_iter().map(|kind| {
        let norms: Vec<&str> = kind.norms.iter().map(|norm| norm.flag()).collect();
        let defaults = pgn_wgpu::attacks::AttackOptions::new(kind);
        let options: Map<String, Value> =
            defaults.own().map(|(name, setting)| (named(name), value(&setting))).collect();
        (kind.name().to_string(), json!({ "about": kind.about, "norms": norms, "options": options }))
    });
    Value::Object(all.collect()).to_string()
}

/// An option's name in Python; the radius is `eps` there, as in other packages.
fn named(option: &str) -> String {
    match option {
        "epsilon" => "eps".to_string(),
        other => other.replace('-', "_"),
    }
}

/// A default; null where the attack has a rule of its own.
fn value(setting: &Setting) -> Value {
    match setting {
        Setting::Usual => Value::Null,
        Setting::Count(count) => json!(count),
        // With the digits that the number has in f32.
        Setting::Number(number) => json!(number.to_string().parse::<f64>().ok()),
        Setting::Switch(given) => json!(given),
        Setting::Word(word) => json!(word),
        Setting::Aim(aim) => json!(aim.to_string()),
    }
}

/// The functions and classes of the module.
#[pymodule(name = "_core")]
fn core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", module.py().get_type::<errors::Error>())?;
    module.add_class::<model::Model>()?;
    module.add_function(wrap_pyfunction!(attacks, module)?)?;
    module.add_function(wrap_pyfunction!(model::digits, module)?)?;
    module.add_function(wrap_pyfunction!(training::train, module)?)?;
    module.add_function(wrap_pyfunction!(training::run, module)?)?;
    module.add_function(wrap_pyfunction!(command::command, module)?)
}
