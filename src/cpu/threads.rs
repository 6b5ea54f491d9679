//! The threads of the CPU path. The program starts them itself, once: rayon panics if the system refuses a thread (`ulimit -u`, little
//! memory), while this program goes on with fewer threads.

use crate::interruption;
use rayon::{ThreadBuilder, ThreadPoolBuilder};
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// Starts the threads of the process, before the first computation. Returns what the user should know: nothing if all
/// were started.
pub fn start() -> Option<String> {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let wanted =
        asked.filter(|&n| n > 0).unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let (mut started, refused) = waiting(wanted, spawn);
    let pool = ThreadPoolBuilder::new().num_threads(started.len().max(1));
    let built = if started.is_empty() {
        pool.use_current_thread().build_global()
    } else {
        let hand_over = |worker: ThreadBuilder| {
            let thread = started.pop().ok_or(io::ErrorKind::Other)?;
            thread.send(worker).map_err(|_| io::ErrorKind::Other.into())
        };
        pool.spawn_handler(hand_over).build_global()
    };
    let reason = match (refused, built) {
        (None, Ok(())) => return None,
        (Some(error), _) => error.to_string(),
        (None, Err(error)) => error.to_string(),
    };
    Some(format!(
        "the system does not start {wanted} threads ({reason}); {} compute, which is slower; raise `ulimit -u` or the \
         memory limit for more",
        rayon::current_num_threads()
    ))
}

/// Does work on one of the threads that compute. Programs that run within it, one after the other, do not wake a thread each and wait
/// for it, which took a twentieth of an attack on a small network. Work that a [question](interruption) may end stays on the caller's.
pub fn computing<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match interruption::has_question() {
        true => work(),
        false => rayon::scope(|_| work()),
    }
}

/// Up to `wanted` threads that wait for work, and why there are no more. Where some are refused, half of the others end
/// again, so that the process can start the few that it needs beside them.
fn waiting<T>(wanted: usize, spawn: impl Fn() -> io::Result<T>) -> (Vec<T>, Option<io::Error>) {
    let mut started = Vec::new();
    while started.len() < wanted {
        match spawn() {
            Ok(thread) => started.push(thread),
            Err(error) => {
                started.truncate(started.len().div_ceil(2));
                return (started, Some(error));
            }
        }
    }
    (started, None)
}

/// A thread that becomes the worker it is sent.
fn spawn() -> io::Result<Sender<ThreadBuilder>> {
    let (give, get) = channel::<ThreadBuilder>();
    thread::Builder::new().name("compute".to_string()).spawn(move || {
        if let Ok(worker) = get.recv() {
            worker.run();
        }
    })?;
    Ok(give)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How many threads stay of five that are wanted where the system starts `limit`, and whether one was refused.
    fn kept(limit: usize) -> (usize, bool) {
        let count = Cell::new(0);
        let (threads, refused) = waiting(5, || {
            if count.get() == limit {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            count.set(count.get() + 1);
            Ok(())
        });
        (threads.len(), refused.is_some())
    }

    #[test]
    fn refused_threads_leave_half_of_the_others_computing() {
        assert_eq!([5, 4, 3, 1, 0].map(kept), [(5, false), (2, true), (2, true), (1, true), (0, true)]);
    }
}
