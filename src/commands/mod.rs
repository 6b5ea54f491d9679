//! One file per subcommand, and what they share: opening the chosen device and printing tables.

/// As the standard library's, for all commands; but a reader that leaves ends no command. See [`output`].
macro_rules! print {
    ($($text:tt)*) => { $crate::commands::output::print(format_args!($($text)*)) };
}

/// See `print`.
macro_rules! println {
    () => { $crate::commands::output::print(format_args!("\n")) };
    ($($text:tt)*) => { $crate::commands::output::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// See `print`, on the standard error.
macro_rules! eprint {
    ($($text:tt)*) => { $crate::commands::output::print_error(format_args!($($text)*)) };
}

/// See `print`, on the standard error.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::commands::output::print_error(format_args!("{}\n", format_args!($($text)*))) };
}

pub mod adapters;
pub mod attack;
pub mod attack_flags;
pub mod bench;
pub mod completions;
pub mod effects;
pub mod evaluate;
pub mod export;
pub mod loudness;
pub mod output;
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
use pgn_wgpu::files;
use pgn_wgpu::gpu::GpuError;
use pgn_wgpu::gpu::adapter::{AdapterChoice, hidden_gpu, why_the_cpu_path};
use pgn_wgpu::gpu::tuning::Tune;
use pgn_wgpu::program::precision::Precision;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

/// What every subcommand returns: an exit code, or an error whose text is one sentence.
pub type CommandResult = Result<ExitCode, Box<dyn std::error::Error>>;

/// How errors end that mean a closed pipe: on Unix, and the two of Windows.
const NOBODY_READS: [&str; 3] = ["(os error 32)", "(os error 109)", "(os error 232)"];

/// Makes the standard library's print! end the program instead of panicking when its output cannot be written: silently when
/// the reader has left, otherwise with the reason. The commands print by [`output`]; what a registered attack prints comes here.
pub fn end_with_the_output() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stderr: ") {
            // Nobody would read of a panic either.
            leave(1);
        }
        match text.strip_prefix("failed printing to stdout: ") {
            None => usual(panic),
            // The terminal is gone, as it is after a hang-up.
            Some(_) if signals::code().is_some() => leave(signals::code().unwrap_or_default()),
            Some(reason) if NOBODY_READS.iter().any(|code| reason.ends_with(code)) => leave(0),
            Some(reason) => output::refuse(&reason),
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

/// Stands for standard output where a file is asked for.
pub const STANDARD_OUTPUT: &str = "-";

/// A sentence as an error.
pub fn fail<T>(sentence: impl Into<String>) -> Result<T, Box<dyn std::error::Error>> {
    Err(sentence.into().into())
}

/// What a user should know about how models and data were read, on standard error.
pub fn print_notes(notes: &[String]) {
    for note in notes {
        loudness::note(&format!("note: {note}"));
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

/// Refuses a path to which no file can be written, before anything is computed: a folder, a file that exists (unless `force`), or a
/// file in a folder that does not exist.
pub fn check_new_file(path: &Path, force: bool) -> Result<(), Box<dyn std::error::Error>> {
    if path.is_dir() {
        return fail(format!("{} is a folder; name a file in it", path.display()));
    }
    check_overwriting(path, force)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        Some(folder) => fail(format!(
            "{} cannot be written: the folder {} does not exist; make it first",
            path.display(),
            folder.display()
        )),
        None => Ok(()),
    }
}

/// The same for all files that a command writes.
pub fn check_new_files(paths: &[&Path], force: bool) -> Result<(), Box<dyn std::error::Error>> {
    paths.iter().try_for_each(|path| check_new_file(path, force))?;
    check_distinct(paths)
}

/// Refuses a path that is named for two outputs: one would overwrite the other.
pub fn check_distinct(paths: &[&Path]) -> Result<(), Box<dyn std::error::Error>> {
    let full: Vec<PathBuf> = paths.iter().map(|path| files::resolved(path)).collect();
    match (0..paths.len()).find(|&i| full[..i].contains(&full[i])) {
        Some(i) => fail(format!("{} is named for two outputs; give each its own file", paths[i].display())),
        None => Ok(()),
    }
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

/// Seconds as people read them. They are rounded first, so that no 60 seconds or minutes are left over.
pub fn duration(seconds: f64) -> String {
    let (tenths, whole) = ((10.0 * seconds).round() / 10.0, seconds.round() as u64);
    let minutes = (seconds / 60.0).round() as u64;
    match whole {
        _ if tenths < 120.0 => format!("{tenths:.1} s"),
        0..7200 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_never_ends_with_60_seconds_or_minutes() {
        let words = [
            (0.04, "0.0 s"),
            (59.7, "59.7 s"),
            (119.94, "119.9 s"),
            (119.96, "2 min 00 s"),
            (179.7, "3 min 00 s"),
            (181.2, "3 min 01 s"),
            (3599.7, "60 min 00 s"),
            (7199.7, "2 h 00 min"),
            (10_799.0, "3 h 00 min"),
            (86_460.0, "24 h 01 min"),
        ];
        for (seconds, text) in words {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_before_anything_is_computed() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, force| {
            check_new_file(&folder.path().join(name), force).map_err(|error| error.to_string())
        };
        std::fs::write(folder.path().join("old"), "").unwrap();
        assert_eq!((check("new", false), check("old", true)), (Ok(()), Ok(())));
        assert!(check("old", false).unwrap_err().contains("old exists"));
        assert!(check("none/new", true).unwrap_err().contains("none does not exist"));
        assert!(check(".", true).unwrap_err().contains("is a folder"));
    }

    #[test]
    fn a_file_that_is_named_for_two_outputs_is_refused_however_it_is_written() {
        let check = |paths: &[&str]| {
            let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
            check_new_files(&paths, false).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["a.csv", "b.csv"]), Ok(()));
        let sentence = check(&["a.csv", "b.csv", "./a.csv"]).unwrap_err();
        assert_eq!(sentence, "./a.csv is named for two outputs; give each its own file");
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
        std::fs::create_dir(path("d")).unwrap();
        assert!(check(&[&path("d/../a.csv"), &path("a.csv")]).is_err());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("d"), path("link")).unwrap();
            assert!(check(&[&path("d/a.csv"), &path("link/a.csv")]).is_err());
            std::os::unix::fs::symlink(path("new.csv"), path("alias")).unwrap();
            assert!(check(&[&path("alias"), &path("new.csv")]).is_err(), "a link to what is not there yet");
        }
    }
}
