//! What the commands print. A reader that leaves, as in `pgn-wgpu train | head`, ends no command: what is printed after that is
//! dropped, and files and exit codes are as they would have been.

use super::{leave, signals};
use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the reader of the standard output has left.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Prints to the standard output.
pub fn print(text: Arguments) {
    if UNREAD.load(Ordering::Relaxed) {
        return;
    }
    match io::stdout().lock().write_fmt(text) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => UNREAD.store(true, Ordering::Relaxed),
        Err(error) => match signals::code() {
            // The terminal is gone, as it is after a hang-up.
            Some(code) => leave(code),
            None => refuse(&error),
        },
    }
}

/// Prints to the standard error. If nobody reads it, the command goes on.
pub fn print_error(text: Arguments) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Ends the program because its output cannot be written, a full disk for instance.
pub fn refuse(reason: &dyn Display) -> ! {
    print_error(format_args!("error: cannot write to the standard output: {reason}\n"));
    leave(1)
}
