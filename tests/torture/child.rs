//! One run of the program, watched from outside: how it ended, what it said, and its peak memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_pgn-wgpu");
/// Longer than any try takes that goes well.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// So much of an output is looked at.
const LONGEST_OUTPUT: u64 = 1 << 20;
/// Between two looks at a process.
const PAUSE: Duration = Duration::from_millis(2);
/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    status: ExitStatus,
    timed_out: bool,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
    /// The most memory that it had at once, in bytes.
    pub peak: u64,
}

impl Ended {
    /// Whether its exit code is 0.
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// Its exit code, if it was not killed.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether it was killed from here because it did not end.
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Everything that it said.
    pub fn text(&self) -> String {
        format!("{}{}", self.output, self.errors)
    }

    /// How it broke, if it did: a panic, or a signal that was not sent from here.
    pub fn broke(&self) -> Option<String> {
        if self.errors.contains("panicked") || self.code() == Some(PANICKED) {
            return Some("panicked".to_string());
        }
        let signal = self.status.signal().filter(|_| !self.timed_out)?;
        Some(format!("was ended by signal {signal}"))
    }

    /// The sentence with which it refused: the only line that begins with `error: `.
    pub fn sentence(&self) -> Option<&str> {
        let mut sentences = self.errors.lines().filter(|line| line.starts_with("error: "));
        let first = sentences.next()?;
        (sentences.next().is_none() && self.code().is_some_and(|code| code != 0)).then_some(first)
    }

    /// In a few words, for the report.
    pub fn brief(&self) -> String {
        let how = match (self.timed_out, self.status.code(), self.status.signal()) {
            (true, ..) => "did not end".to_string(),
            (_, Some(code), _) => format!("exit code {code}"),
            (_, _, Some(signal)) => format!("signal {signal}"),
            _ => "ended".to_string(),
        };
        let says = |line: &&str| !line.trim().is_empty() && !line.starts_with("note:");
        let last = |text: &str| text.lines().rev().find(says).map(str::to_string);
        let said = last(&self.errors).or_else(|| last(&self.output)).unwrap_or_default();
        let said: String = said.chars().take(160).collect();
        if said.is_empty() { how } else { format!("{how}: {said}") }
    }
}

/// The program in `folder`.
pub fn program<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    at_home(&mut command, folder);
    command
}

/// The program in `folder` with at most `kibibytes` of address space.
pub fn program_within<S: AsRef<OsStr>>(
    folder: &Path,
    kibibytes: u64,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -v {kibibytes} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, PROGRAM]).args(arguments);
    at_home(&mut command, folder);
    command
}

/// Lets a command work in `folder` and leave nothing elsewhere.
pub fn at_home(command: &mut Command, folder: &Path) {
    command.current_dir(folder).env("PGN_WGPU_CACHE", folder.join("cache")).env_remove("RUST_BACKTRACE");
    // A core file of each abort would fill the disk.
    command.stdin(Stdio::null()).process_group(0);
}

/// A process that is under way; its output goes to files in `folder`.
pub struct Running {
    child: Child,
    outputs: [std::path::PathBuf; 2],
    started: Instant,
}

impl Running {
    /// Starts a command. `name` keeps its output apart from that of others in the same folder.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let outputs = ["out", "err"].map(|stream| folder.join(format!("{name}.{stream}")));
        let [out, err] = outputs.each_ref().map(|path| File::create(path).expect("a file for output"));
        let child = command.stdout(out).stderr(err).spawn().expect("the program can be started");
        Self { child, outputs, started: Instant::now() }
    }

    /// Sends a signal to the process and to all that it started.
    #[expect(unsafe_code, reason = "the standard library sends no signals but KILL, and none to groups")]
    pub fn signal(&self, signal: i32) {
        // SAFETY: it touches no memory; the process is not reaped before `wait`, so the number is still its own.
        unsafe { libc::kill(-(self.child.id() as i32), signal) };
    }

    /// Waits until it ends, or kills it when its time is over.
    pub fn wait(self, patience: Duration) -> Ended {
        let mut timed_out = false;
        loop {
            if let Some((status, peak)) = self.reaped() {
                let [output, errors] = self.outputs.each_ref().map(|path| beginning(path));
                return Ended { status, timed_out, output, errors, peak };
            }
            if !timed_out && self.started.elapsed() > patience {
                timed_out = true;
                self.signal(libc::SIGKILL);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Its status and peak memory, once it has ended.
    #[expect(unsafe_code, reason = "the standard library does not tell a process's peak memory")]
    fn reaped(&self) -> Option<(ExitStatus, u64)> {
        let mut status = 0;
        // SAFETY: plain numbers, for which zeros are a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to values of the types that the call writes, and outlive it.
        let pid =
            unsafe { libc::wait4(self.child.id() as i32, &raw mut status, libc::WNOHANG, &raw mut usage) };
        // In kibibytes, on macOS in bytes. It is never below the memory of this process when it started the other.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        (pid != 0).then(|| (ExitStatus::from_raw(status), usage.ru_maxrss as u64 * unit))
    }
}

fn beginning(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(LONGEST_OUTPUT).read_to_end(&mut bytes);
    }
    let _ = fs::remove_file(path);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a command to its end.
pub fn finish(command: Command, folder: &Path, name: &str) -> Ended {
    Running::start(command, folder, name).wait(PATIENCE)
}
