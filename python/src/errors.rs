//! Errors of the library as exceptions of Python.

use pgn_wgpu::command_line::options::{CallError, by_name};
use pyo3::PyErr;
use pyo3::exceptions::{PyRuntimeError, PyValueError};

pyo3::create_exception!(
    pgn_wgpu,
    Error,
    PyRuntimeError,
    "What the library could not do: a file, a device, an attack; one sentence says why and what to do."
);

/// A sentence with options by their names.
pub fn failed(error: impl std::fmt::Display) -> PyErr {
    Error::new_err(by_name(&error.to_string()))
}

/// A wrong option is a `ValueError`.
pub fn refused(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(by_name(&error.to_string()))
}

/// The error of a call whose options may be wrong.
pub fn of_call(error: CallError) -> PyErr {
    match error {
        CallError::Option(sentence) => refused(sentence),
        CallError::Work(sentence) => failed(sentence),
    }
}

/// The same where the radius is called `eps`.
pub fn with_eps(error: CallError) -> PyErr {
    match error {
        CallError::Option(sentence) => refused(eps(&sentence)),
        CallError::Work(sentence) => failed(eps(&sentence)),
    }
}

/// A sentence in which the radius has Python's name.
pub fn eps(sentence: &str) -> String {
    sentence.replace("`epsilon`", "eps")
}
