//! The lock of a run folder: one process at a time trains a run, on one machine or on several that share a disk.
//!
//! The operating system's lock on the file `checkpoints/lock` decides where it can. It ends with the process, however that
//! ends. Some network file systems keep such locks to each machine, or have none. The file `lock` therefore names the holder,
//! which writes it again every [`BEAT`]. A holder on another machine counts as gone after [`GONE_AFTER`] without that.
//!
//! These are two files because on Windows nobody can read a locked file, not even its holder through a second handle. The
//! locked file has no content and is never read. Both files stay when the lock is released, the named one empty: removing the
//! locked file would let two processes lock two files of the same name.
//!
//! A holder can be stopped for longer than that (a suspended machine, say) and wake up beside its successor. The name in the
//! file is therefore also a fencing token: it differs for every holder, and [`RunLock::check`] compares it before anything is
//! written. The old holder then ends, and neither writes its name again nor erases that of its successor.

use super::TrainError;
use super::run::CHECKPOINTS;
use crate::files::{self, FileError, file_error};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(30);
/// A holder on another machine without a sign of life for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(600);
/// Bytes of the largest lock file that is read.
const LARGEST: u64 = 64 << 10;
/// A check whether a folder is locked takes its lock for an instant; retry this many times.
const ATTEMPTS: u32 = 5;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// Who trains in a folder. No two are equal: a process takes a lock at most once in a nanosecond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    host: String,
    pid: u32,
    /// Nanoseconds since 1970 when it took the lock.
    since: u64,
}

impl Holder {
    fn this_process() -> Self {
        let since = since_1970().as_nanos() as u64;
        Self { host: host(), pid: std::process::id(), since }
    }

    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&files::read_at_most(path, LARGEST).ok()?).ok()
    }

    /// The same of a file that may not be readable for an instant: a virus scanner has it, or the network is slow.
    fn read_patiently(path: &Path) -> Option<Self> {
        Self::read(path).or_else(|| {
            (1..ATTEMPTS).find_map(|_| {
                sleep(BETWEEN_ATTEMPTS);
                Self::read(path)
            })
        })
    }

    /// Whether it may still be at work although this process could lock the file; `shared` if such locks are.
    fn may_live(&self, path: &Path, shared: bool) -> bool {
        (self.host != host() || !shared) && silent_for(path).is_none_or(|age| age < GONE_AFTER)
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// How long ago `path` was written, by the clock of the file system that it lies on: machines' own clocks differ.
///
/// A time in the future is set to now, so that the lock ages from here on like any other.
fn silent_for(path: &Path) -> Option<Duration> {
    let mut probe = files::new_temporary(path).ok()?;
    probe.write_all(b"x").ok()?;
    let now = probe.as_file().metadata().ok()?.modified().ok()?;
    let written = fs::metadata(path).ok()?.modified().ok()?;
    now.duration_since(written).ok().or_else(|| {
        OpenOptions::new().write(true).open(path).ok()?.set_modified(now).ok()?;
        Some(Duration::ZERO)
    })
}

/// A run folder that this process trains in, until this is dropped.
#[derive(Debug)]
pub struct RunLock {
    run: PathBuf,
    /// Has the operating system's lock.
    locked: File,
    /// Names the holder.
    named: File,
    holder: Holder,
    /// The second since 1970 in which the name was last found to be ours.
    seen: AtomicU64,
    beat: Option<(Sender<()>, JoinHandle<()>)>,
}

impl RunLock {
    /// Takes the lock of the folder `run`.
    ///
    /// # Errors
    /// [`TrainError::Busy`] if somebody has it.
    pub fn take(run: &Path) -> Result<Self, TrainError> {
        let (locked_at, path) = (locked_path(run), named_path(run));
        make_folder_of(&locked_at)?;
        let (locked, named) = (open_or_make(&locked_at)?, open_or_make(&path)?);
        let busy = || TrainError::Busy { path: run.to_path_buf(), holder: describe(&path) };
        let shared = match lock(&locked).map_err(file_error("lock", &locked_at))? {
            Attempt::Locked => true,
            Attempt::Unsupported => false,
            Attempt::Taken => return Err(busy()),
        };
        if Holder::read(&path).is_some_and(|holder| holder.may_live(&path, shared)) {
            return Err(busy());
        }
        let holder = Holder::this_process();
        sign(&named, &holder).map_err(file_error("write", &path))?;
        let beat = beat(&named, &path, &holder).map_err(file_error("write", &path))?;
        Ok(Self { run: run.to_path_buf(), locked, named, holder, seen: AtomicU64::new(0), beat: Some(beat) })
    }

    /// Makes sure that nobody has taken the lock over.
    ///
    /// # Errors
    /// [`TrainError::TakenOver`] if the lock file names another holder or none.
    pub fn check(&self) -> Result<(), TrainError> {
        let path = named_path(&self.run);
        match Holder::read_patiently(&path).as_ref() == Some(&self.holder) {
            true => Ok(()),
            false => Err(TrainError::TakenOver { path: self.run.clone(), holder: describe(&path) }),
        }
    }

    /// The same, but the file is read at most once a second: for what is written at every step. A holder that was stopped for
    /// longer reads it before it writes, because this clock goes on while the process or the machine sleeps.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_each_second(&self) -> Result<(), TrainError> {
        let now = since_1970().as_secs();
        if self.seen.load(Ordering::Relaxed) != now {
            self.check()?;
            self.seen.store(now, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Who trains in the folder `run`, if anybody does.
    pub fn holder(run: &Path) -> Result<Option<String>, FileError> {
        let (locked_at, path) = (locked_path(run), named_path(run));
        if !path.exists() {
            return Ok(None);
        }
        let mut shared = true;
        if locked_at.exists() {
            // Writable, because locks of network file systems ask for that.
            let opened = OpenOptions::new().read(true).write(true).open(&locked_at);
            match opened.map_err(file_error("open", &locked_at))?.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Some(describe(&path))),
                Err(TryLockError::Error(_)) => shared = false,
            }
        }
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
        // The name of a successor stays. If emptying fails, ours stays, and the next process finds this one gone.
        if self.check().is_ok() {
            let _ = self.named.set_len(0);
        }
        let _ = self.locked.unlock();
    }
}

/// The file that names the holder. It is not locked, so that everybody can read it.
fn named_path(run: &Path) -> PathBuf {
    run.join("lock")
}

/// The file that the operating system locks. It is empty, and nobody reads it.
fn locked_path(run: &Path) -> PathBuf {
    run.join(CHECKPOINTS).join("lock")
}

/// Makes the folder that a file lies in, but not the folders around that.
fn make_folder_of(file: &Path) -> Result<(), FileError> {
    let Some(folder) = file.parent() else { return Ok(()) };
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(file_error("create", folder)(e)),
        _ => Ok(()),
    }
}

fn open_or_make(path: &Path) -> Result<File, FileError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(file_error("open", path))
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

/// Writes who holds the lock, in place. Who reads at the same moment may see half of it and tries again.
fn sign(mut file: &File, holder: &Holder) -> io::Result<()> {
    let text = serde_json::to_string(holder).expect("a holder is plain values");
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// Signs again and again, until its sender is dropped or another holder has signed.
fn beat(file: &File, path: &Path, holder: &Holder) -> io::Result<(Sender<()>, JoinHandle<()>)> {
    let (file, path, holder) = (file.try_clone()?, path.to_path_buf(), holder.clone());
    let (end, ended) = channel();
    let thread = Builder::new().name("lock".to_string()).spawn(move || {
        while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            if Holder::read(&path).is_some_and(|other| other != holder) {
                break;
            }
            // A disk that is full or gone for a while stops no run.
            let _ = sign(&file, &holder);
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
        fs::write(named_path(run), serde_json::to_string(&holder).unwrap()).unwrap();
        let file = OpenOptions::new().write(true).open(named_path(run)).unwrap();
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

    #[test]
    fn a_foreign_lock_with_a_time_in_the_future_ages_from_the_moment_it_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        written_by(folder.path(), "node17", Duration::ZERO);
        let path = named_path(folder.path());
        let set = |time| OpenOptions::new().write(true).open(&path).unwrap().set_modified(time).unwrap();
        set(SystemTime::now() + GONE_AFTER * 100);
        RunLock::take(folder.path()).unwrap_err();
        let seen = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(seen <= SystemTime::now() + Duration::from_secs(5), "its time is still in the future");
        set(seen - GONE_AFTER);
        RunLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_holder_that_was_taken_over_notices_it_and_leaves_its_successor_alone() {
        let folder = tempfile::tempdir().unwrap();
        let old = RunLock::take(folder.path()).unwrap();
        old.check().unwrap();
        // A successor on another machine, whose operating system knows nothing of this one's lock.
        written_by(folder.path(), "node17", Duration::ZERO);
        let error = old.check().unwrap_err().to_string();
        assert!(error.contains("process 1 on node17") && error.contains("`resume`"), "{error}");
        drop(old);
        assert_eq!(Holder::read(&named_path(folder.path())).map(|h| h.host), Some("node17".to_string()));
    }

    #[test]
    fn the_file_that_is_locked_is_not_the_one_that_is_read() {
        // Where locks are mandatory, nobody can read a locked file, its holder included.
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        let (locked, named) = (locked_path(folder.path()), named_path(folder.path()));
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        assert!(matches!(open(&locked).try_lock(), Err(TryLockError::WouldBlock)));
        assert!(open(&named).try_lock().is_ok(), "the file with the name is locked");
        assert_eq!(fs::metadata(&locked).unwrap().len(), 0, "somebody would want to read it");
        lock.check().unwrap();
        drop(lock);
        assert_eq!([&locked, &named].map(|path| fs::metadata(path).unwrap().len()), [0, 0]);
    }

    #[test]
    fn who_writes_at_every_step_notices_its_successor_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        lock.check_each_second().unwrap();
        written_by(folder.path(), "node17", Duration::ZERO);
        let noticed = || {
            sleep(Duration::from_millis(100));
            lock.check_each_second().is_err()
        };
        assert!((0..20).any(|_| noticed()), "not noticed after two seconds");
        assert!(lock.check_each_second().is_err(), "forgotten again");
    }

    #[test]
    fn a_holder_whose_lock_file_is_gone_notices_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        fs::remove_file(named_path(folder.path())).unwrap();
        assert!(lock.check().is_err());
    }
}
