//! Signals: Ctrl-C, and requests to terminate or to hang up. A command that saves its work is asked to end after its
//! step, and says at once that it was heard; any other command ends at once. Either way no file is left half written,
//! and the exit code is that of shells: 128 and the signal's number, so 130, 143 or 129.

use pgn_wgpu::files;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// Ctrl-C's number on every system.
const INTERRUPT: u8 = 2;

/// The first signal that came; 0 before.
static HEARD: AtomicU8 = AtomicU8::new(0);
/// Whether the work under way is to end after its step.
static STOP: AtomicBool = AtomicBool::new(false);
/// Whether the work under way looks at [`STOP`].
static SAVES: AtomicBool = AtomicBool::new(false);
/// The process that this one waits for, 0 without one.
static CHILD: AtomicU32 = AtomicU32::new(0);
/// Folders that only this process uses.
static SCRATCH: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From now on signals are heard.
#[cfg(unix)]
pub fn install() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    // `nohup` has a hang-up ignored, and that stays so.
    let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    let wanted = [SIGINT, SIGTERM].into_iter().chain(hang_up);
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    std::thread::Builder::new()
        .name("signals".to_string())
        .spawn(move || signals.forever().for_each(|signal| hear(signal as u8)))?;
    Ok(())
}

/// From now on Ctrl-C and a console that closes are heard.
#[cfg(windows)]
pub fn install() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| hear(INTERRUPT))
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "the standard library does not ask for a signal's action")]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: without a new action the call only fills in the old one, which all zeros are a value of.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// The flag that the first signal sets from now on, instead of ending the process. The second one ends it.
pub fn stop_flag() -> &'static AtomicBool {
    SAVES.store(true, Ordering::SeqCst);
    &STOP
}

/// From now on a signal ends the process at once: what is finished is kept as it is.
pub fn leave_on_signal() {
    SAVES.store(false, Ordering::SeqCst);
}

/// The exit code of an end that a signal asked for; `None` before one came.
pub fn code() -> Option<u8> {
    match HEARD.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(128 + signal),
    }
}

/// The exit code after work that a signal has ended.
pub fn exit_code() -> ExitCode {
    ExitCode::from(code().unwrap_or(128 + INTERRUPT))
}

/// Another process, waited for; a signal ends it with this one.
pub fn output(command: &mut Command) -> std::io::Result<Output> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    CHILD.store(child.id(), Ordering::SeqCst);
    let output = child.wait_with_output();
    CHILD.store(0, Ordering::SeqCst);
    output
}

/// A folder for this process alone, gone when it is dropped or a signal ends the process.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder.
    pub fn new(path: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        scratch().push(path.clone());
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        scratch().retain(|path| *path != self.0);
    }
}

fn scratch() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    SCRATCH.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn hear(signal: u8) {
    let first = HEARD.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    if first && SAVES.load(Ordering::SeqCst) {
        STOP.store(true, Ordering::SeqCst);
        let what = if signal == INTERRUPT { "interrupt" } else { "request to end" };
        // The line that a progress bar is drawn in stays its own.
        let start = if std::io::stderr().is_terminal() { "\n" } else { "" };
        let text = format!(
            "{start}{what} heard; finishing the step and saving, press Ctrl-C again to leave at once\n"
        );
        // The terminal may be gone.
        let _ = std::io::stderr().write_all(text.as_bytes());
        return;
    }
    end_child();
    // Until the process has ended, nobody begins to write a file either.
    std::mem::forget(files::finish_writing());
    for path in scratch().iter() {
        let _ = std::fs::remove_dir_all(path);
    }
    super::leave(code().unwrap_or(128 + signal));
}

/// Asks the process that this one waits for to end, and gives it a moment.
fn end_child() {
    let child = CHILD.load(Ordering::SeqCst);
    if child == 0 {
        return;
    }
    #[cfg(unix)]
    #[expect(unsafe_code, reason = "the standard library ends processes by force only")]
    // SAFETY: it sends a signal to a process that is not waited for yet, so that the number is still its own.
    unsafe {
        libc::kill(child as i32, libc::SIGTERM);
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
}
