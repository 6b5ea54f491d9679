//! pgn-wgpu trains image classifiers to withstand adversarial attacks and measures how far they do, on any
//! GPU through wgpu and on a machine without one.
//!
//! Start reading here. A data point passes through the modules in this order:
//!
//! [`data`] makes batches; networks ([`nn`]), the paper's generator ([`pgn`]) and [`training`] write [`graph`]s over
//! them, and [`models`] are their files; a graph is compiled to a [`program`] of calls to [`kernels`], which an [`executor`] replays on the
//! [`gpu`] or the [`cpu`]. [`threat`] says what an attack may do to an image,
//! [`attacks`] are graphs over a trained model; [`evaluation`] says what became of it under them.
//! A [`sweep`] is many runs, [`reproduce`] the paper's experiments over sweeps and evaluations, a [`report`] the page about them.
//! A model becomes a page that computes in a browser in [`web`]. The program is `command_line`, from which
//! the package in `python/` takes its options too; [`interruption`] ends a computation from outside.
//!
//! `command_line` is a feature, which is on unless it is turned off. With `default-features = false` nothing of the command
//! line is built, clap and progress bars included; everything else is there.

// Commands name the library as any other program does.
extern crate self as pgn_wgpu;

pub mod attacks;
pub mod bench;
#[cfg(feature = "command-line")]
pub mod command_line;
#[cfg(feature = "command-line")]
mod commands;
pub mod cpu;
pub mod csv;
pub mod data;
pub mod evaluation;
pub mod executor;
#[cfg(all(test, feature = "command-line"))]
mod extension_tests;
pub mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gpu;
pub mod graph;
pub mod integrity;
pub mod interruption;
pub mod kernels;
pub mod lockstep;
pub mod memory;
pub mod models;
pub mod nn;
#[cfg(feature = "command-line")]
mod numbers;
pub mod pgn;
pub mod prelude;
pub mod program;
pub mod random;
pub mod report;
pub mod reproduce;
pub mod shard;
pub mod sweep;
pub mod threat;
pub mod training;
pub mod verdict;
pub mod verify;
pub mod web;
