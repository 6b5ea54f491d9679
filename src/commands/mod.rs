//! One file per subcommand, and what they share: opening the chosen device and printing tables.

pub mod adapters;
pub mod attack;
pub mod attack_flags;
pub mod bench;
pub mod completions;
pub mod effects;
pub mod evaluate;
pub mod export;
pub mod loudness;
pub mod predict;
mod progress;
pub mod report;
pub mod reproduce;
pub mod signals;
pub mod summary;
pub mod sweep;
pub mod train;
pub mod train_generator;
pub mod validate;
pub mod verdict;
pub mod verify;

use crate::command_line::settings::with_flags;
use pgn_wgpu::evaluation::warnings::Warning;
use pgn_wgpu::executor::Device;
use pgn_wgpu::executor::Opening;
use pgn_wgpu::gpu::GpuError;
use pgn_wgpu::gpu::adapter::{AdapterChoice, hidden_gpu, why_the_cpu_path};
use pgn_wgpu::gpu::tuning::Tune;
use pgn_wgpu::program::precision::Precision;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

/// What every subcommand returns: an exit code, or an error whose text is one sentence.
pub type CommandResult = Result<ExitCode, Box<dyn std::error::Error>>;

/// How errors end that mean a closed pipe: on Unix, and the two of Windows.
const NOBODY_READS: [&str; 3] = ["(os error 32)", "(os error 109)", "(os error 232)"];

/// Makes print! end the program instead of panicking when its output cannot be written: silently when the reader
/// has left, as in `pgn-wgpu summary | head`, otherwise with the reason.
pub fn end_with_the_output() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let reason = panic
            .payload()
            .downcast_ref::<String>()
            .and_then(|text| text.strip_prefix("failed printing to stdout: "));
        match reason {
            None => usual(panic),
            // The terminal is gone, as it is after a hang-up.
            Some(_) if signals::code().is_some() => leave(signals::code().unwrap_or_default()),
            Some(reason) if NOBODY_READS.iter().any(|code| reason.ends_with(code)) => leave(0),
            Some(reason) => {
                eprintln!("error: cannot write to the standard output: {reason}");
                leave(1)
            }
        }
    }));
}

/// How this process was started.
struct Started {
    /// What starts the program again, without arguments.
    itself: Vec<OsString>,
    /// The arguments after its name.
    arguments: Vec<String>,
}

static STARTED: OnceLock<Started> = OnceLock::new();

/// Keeps how this process was started: what starts it again, and its command line.
pub fn started_as(itself: Vec<OsString>, line: &[OsString]) {
    let arguments = line.iter().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let _ = STARTED.set(Started { itself, arguments });
}

/// This program, to be started once more; `None` if nobody knows its file.
pub fn this_program() -> Option<Command> {
    let (first, rest) = STARTED.get()?.itself.split_first()?;
    let mut command = Command::new(first);
    command.args(rest);
    Some(command)
}

/// The arguments of the command line, without the program's name.
pub fn own_arguments() -> &'static [String] {
    STARTED.get().map_or(&[], |started| &started.arguments)
}

/// A sentence as an error.
pub fn fail<T>(sentence: impl Into<String>) -> Result<T, Box<dyn std::error::Error>> {
    Err(sentence.into().into())
}

/// What a user should know about how the data were read, on standard error.
pub fn print_notes(notes: &[String]) {
    for note in notes {
        eprintln!("note: {}", with_flags(note));
    }
}

/// A warning about a result: its figure, and what it means and asks for.
pub fn warned(warning: &Warning) -> String {
    format!("{}; {}", warning.figure, with_flags(&warning.explanation))
}

/// Refuses to overwrite `path` unless it is wanted.
pub fn check_overwriting(path: &Path, force: bool) -> Result<(), Box<dyn std::error::Error>> {
    if path.exists() && !force {
        return fail(format!(
            "{} exists; choose another place, or overwrite it with `force`",
            path.display()
        ));
    }
    Ok(())
}

/// Ends the process at once. An end in order destroys what a software driver's compiler is still using on another thread.
#[expect(unsafe_code, reason = "the standard library has no such end")]
pub fn leave(code: u8) -> ! {
    // SAFETY: it runs nothing of this process and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Flags of every computing command that is not `train`.
#[derive(clap::Args)]
pub struct DeviceArguments {
    /// auto (a GPU, else the CPU path), discrete, integrated, software, cpu, a number or part of a name from
    /// `pgn-wgpu adapters`
    #[arg(long, default_value = "auto")]
    pub adapter: AdapterChoice,
    #[command(flatten)]
    pub opened_as: OpeningArguments,
}

/// Flags of how an adapter is opened, whichever it is.
#[derive(clap::Args)]
pub struct OpeningArguments {
    /// How much is measured to choose the forms of kernels; what is found is kept in the cache folder
    #[arg(long, default_value = "quick")]
    pub tune: Tune,
    /// How numbers are stored on the adapter
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Let the runtime check every index and loop of the shaders
    #[arg(long)]
    pub checked: bool,
}

impl DeviceArguments {
    /// Opens the device and says on standard error what `auto` chose.
    pub fn open(&self) -> Result<Device, GpuError> {
        open(&self.adapter, self.opening())
    }

    /// How the device is to be opened.
    pub fn opening(&self) -> Opening {
        self.opened_as.opening()
    }
}

impl OpeningArguments {
    /// How the device is to be opened.
    pub fn opening(&self) -> Opening {
        Opening { checked: self.checked, tune: self.tune, precision: self.precision }
    }
}

/// Opens what `choice` means.
pub fn open(choice: &AdapterChoice, opening: Opening) -> Result<Device, GpuError> {
    let timer = loudness::Timer::new();
    let device = Device::open(choice, opening)?;
    timer.say("opening the device");
    if *choice == AdapterChoice::Auto {
        let why = match &device {
            Device::Cpu(_) => why_the_cpu_path(),
            Device::Gpu(_) => "the first GPU".to_string(),
        };
        loudness::note(&format!("adapter: {} (chosen by auto: {why})", device.describe()));
        if matches!(&device, Device::Cpu(_))
            && let Some(gpu) = hidden_gpu()
        {
            loudness::note(&format!("note: {gpu}"));
        }
    }
    Ok(device)
}

/// Rows in columns; the first row is the head, numbers are set right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|v| v.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, value) in row.iter().enumerate() {
            let padding = " ".repeat(widths[c] - value.chars().count());
            if c == 0 {
                line += &format!("{value}{padding}");
            } else {
                line += &format!("  {padding}{value}");
            }
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the largest unit that leaves a number above 1.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_024 => format!("{n} B"),
        1_024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", n as f64 / 1_073_741_824.0),
    }
}

/// Seconds as people read them.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), s % 3600.0 / 60.0),
    }
}
