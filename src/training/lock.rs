//! The lock of a run folder, so that a run is trained by one process at a time, on one machine or on several that
//! share a disk.
//!
//! The operating system's lock on the file `lock` decides where it can: it ends with the process, however that ends.
//! Some network file systems keep such locks to each machine or have none. The file therefore also says who holds it
//! and is written again every [`BEAT`] while the run lasts; a holder on another machine counts as gone after
//! [`GONE_AFTER`] without that. A released lock is an empty file: removing it would let two processes lock two files
//! of the same name.

use super::TrainError;
use crate::files::{FileError, file_error};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(30);
/// A holder on another machine without a sign of life for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(600);
/// Whoever only asks whether a folder is locked holds its lock for an instant; so often is it tried again.
const ATTEMPTS: u32 = 5;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// Who trains in a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    host: String,
    pid: u32,
    /// Seconds since 1970 when it began.
    since: u64,
}

impl Holder {
    fn this_process() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self { host: host(), pid: std::process::id(), since }
    }

    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Whether it may still be at work although this process could lock the file; `shared` if such locks are.
    fn may_live(&self, path: &Path, shared: bool) -> bool {
        (self.host != host() || !shared) && silent_for(path).is_none_or(|age| age < GONE_AFTER)
    }
}

fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// How long ago `path` was written, by the clock of the file system it lies on: machines' own clocks differ.
fn silent_for(path: &Path) -> Option<Duration> {
    let probe = path.with_file_name(format!(".lock.{}.tmp", std::process::id()));
    let now = File::create(&probe).and_then(|mut file| {
        file.write_all(b"x")?;
        file.metadata()?.modified()
    });
    // Nothing more can be done if this fails.
    let _ = fs::remove_file(&probe);
    now.ok()?.duration_since(fs::metadata(path).ok()?.modified().ok()?).ok()
}

/// A run folder that this process trains in, until this is dropped.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    beat: Option<(Sender<()>, JoinHandle<()>)>,
}

impl RunLock {
    /// Takes the lock of the folder `run`.
    ///
    /// # Errors
    /// [`TrainError::Busy`] if somebody has it.
    pub fn take(run: &Path) -> Result<Self, TrainError> {
        let path = lock_path(run);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(file_error("open", &path))?;
        let busy = || TrainError::Busy { path: run.to_path_buf(), holder: describe(&path) };
        let shared = match lock(&file).map_err(file_error("lock", &path))? {
            Attempt::Locked => true,
            Attempt::Unsupported => false,
            Attempt::Taken => return Err(busy()),
        };
        if Holder::read(&path).is_some_and(|holder| holder.may_live(&path, shared)) {
            return Err(busy());
        }
        let text = serde_json::to_string(&Holder::this_process()).expect("a holder is plain values");
        sign(&file, &text).map_err(file_error("write", &path))?;
        let beat = beat(&file, text).map_err(file_error("write", &path))?;
        Ok(Self { file, beat: Some(beat) })
    }

    /// Who trains in the folder `run`, if anybody does.
    pub fn holder(run: &Path) -> Result<Option<String>, FileError> {
        let path = lock_path(run);
        if !path.exists() {
            return Ok(None);
        }
        // Writable, because locks of network file systems ask for that.
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(file_error("open", &path))?;
        let shared = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(Some(describe(&path))),
            Err(TryLockError::Error(_)) => false,
        };
        let live = Holder::read(&path).is_some_and(|holder| holder.may_live(&path, shared));
        Ok(live.then(|| describe(&path)))
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.beat.take() {
            drop(end);
            let _ = thread.join();
        }
        // If it fails, the name stays; whoever comes next finds this process gone.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

fn lock_path(run: &Path) -> PathBuf {
    run.join("lock")
}

enum Attempt {
    Locked,
    Taken,
    Unsupported,
}

fn lock(file: &File) -> io::Result<Attempt> {
    for attempt in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(Attempt::Locked),
            Err(TryLockError::WouldBlock) if attempt + 1 < ATTEMPTS => sleep(BETWEEN_ATTEMPTS),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                return Ok(Attempt::Unsupported);
            }
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(Attempt::Taken)
}

/// Writes who holds the lock; not through a temporary file, because the lock is on this one.
fn sign(mut file: &File, text: &str) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// Signs again and again until its sender is dropped.
fn beat(file: &File, text: String) -> io::Result<(Sender<()>, JoinHandle<()>)> {
    let file = file.try_clone()?;
    let (end, ended) = channel();
    let thread = Builder::new().name("lock".to_string()).spawn(move || {
        while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            // A disk that is full or gone for a while stops no run.
            let _ = sign(&file, &text);
        }
    });
    let thread = thread.map_err(|e| {
        let remedy = "raise `ulimit -u` or the memory limit";
        io::Error::new(e.kind(), format!("the system starts no thread for it ({e}); {remedy}"))
    })?;
    Ok((end, thread))
}

fn describe(path: &Path) -> String {
    Holder::read(path).map_or("another process".to_string(), |Holder { host, pid, .. }| {
        let name = if host == self::host() { "this machine".to_string() } else { host };
        format!("process {pid} on {name}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written_by(run: &Path, host: &str, age: Duration) {
        let holder = Holder { host: host.to_string(), pid: 1, since: 0 };
        fs::write(lock_path(run), serde_json::to_string(&holder).unwrap()).unwrap();
        let file = OpenOptions::new().write(true).open(lock_path(run)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn a_folder_is_locked_once_and_again_only_after_its_release() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::take(folder.path()).unwrap();
        let error = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()) && error.contains("this machine"), "{error}");
        assert!(RunLock::holder(folder.path()).unwrap().is_some());
        drop(first);
        assert_eq!(RunLock::holder(folder.path()).unwrap(), None);
        RunLock::take(folder.path()).unwrap();
    }

    #[test]
    fn the_lock_of_a_dead_process_of_this_machine_is_taken_over_at_once() {
        let folder = tempfile::tempdir().unwrap();
        written_by(folder.path(), &host(), Duration::ZERO);
        assert_eq!(RunLock::holder(folder.path()).unwrap(), None);
        RunLock::take(folder.path()).unwrap();
    }

    #[test]
    fn the_lock_of_another_machine_holds_as_long_as_it_gives_signs_of_life() {
        let folder = tempfile::tempdir().unwrap();
        written_by(folder.path(), "node17", GONE_AFTER / 2);
        let error = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("process 1 on node17"), "{error}");
        written_by(folder.path(), "node17", GONE_AFTER * 2);
        RunLock::take(folder.path()).unwrap();
    }
}
