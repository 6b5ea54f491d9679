//! Runs and files under torture: kills, failing system calls, flipped bits, mixed-up runs, hostile files, little memory.
//!
//! `make torture` runs it; `cargo test` does not, because it takes minutes: without `--run` it does nothing. It knows
//! the program only from outside, as the binary; of the library it takes the checksums that hostile files need. Every
//! try has a name and a seed, so that each line of the report can be repeated alone; `tests/torture/README.md` says how.
//! The exit code is 0 if everything went as expected, 1 if something did not, and 3 if a part could not be run here.

#[cfg(unix)]
#[path = "torture/calls.rs"]
mod calls;
#[cfg(unix)]
#[path = "torture/child.rs"]
mod child;
#[cfg(unix)]
#[path = "torture/flips.rs"]
mod flips;
#[cfg(unix)]
#[path = "torture/hostile/mod.rs"]
mod hostile;
#[cfg(unix)]
#[path = "torture/kills.rs"]
mod kills;
#[cfg(unix)]
#[path = "torture/memory.rs"]
mod memory;
#[cfg(unix)]
#[path = "torture/mixups.rs"]
mod mixups;
#[cfg(unix)]
#[path = "torture/readers.rs"]
mod readers;
#[cfg(unix)]
#[path = "torture/runs.rs"]
mod runs;
#[cfg(unix)]
#[path = "torture/seeds.rs"]
mod seeds;
#[cfg(unix)]
#[path = "torture/settings.rs"]
mod settings;
#[cfg(unix)]
#[path = "torture/tally.rs"]
mod tally;

use std::process::ExitCode;

#[cfg(not(unix))]
fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--run") {
        eprintln!(
            "the torture campaign needs signals and named pipes, which this system lacks; run it on Linux"
        );
        return ExitCode::from(3);
    }
    ExitCode::SUCCESS
}

#[cfg(unix)]
fn main() -> ExitCode {
    // Whatever else `cargo test` passes, `--list` among it, is for another kind of test.
    if !std::env::args().any(|argument| argument == "--run") {
        return ExitCode::SUCCESS;
    }
    match settings::Settings::from_arguments(std::env::args().skip(1)) {
        Ok(settings) => match &settings.seeds {
            Some(corpus) => match seeds::write(corpus) {
                Ok(()) => ExitCode::SUCCESS,
                Err(sentence) => {
                    eprintln!("error: {sentence}");
                    ExitCode::FAILURE
                }
            },
            None => run(&settings),
        },
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::from(2)
        }
    }
}

#[cfg(unix)]
fn run(settings: &settings::Settings) -> ExitCode {
    type Campaign = fn(&runs::Fixture, &mut tally::Report);
    let campaigns: [(&str, Campaign); 6] = [
        ("kills", kills::run),
        ("calls", calls::run),
        ("flips", flips::run),
        ("mixups", mixups::run),
        ("hostile", hostile::run),
        ("memory", memory::run),
    ];
    let started = std::time::Instant::now();
    let fixture = match runs::Fixture::new(settings) {
        Ok(fixture) => fixture,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = tally::Report::new(settings.seed, settings.all);
    for (name, campaign) in campaigns {
        if settings.wants(name) {
            eprintln!("[{:4.0} s] {name}", started.elapsed().as_secs_f64());
            campaign(&fixture, &mut report);
        }
    }
    print!("{report}");
    println!("\nseed {}, {:.0} s", settings.seed, started.elapsed().as_secs_f64());
    report.exit_code()
}
