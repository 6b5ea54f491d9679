//! Files that are whole or not there: written under a temporary name beside the target, flushed, renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

/// Held for reading by everybody who writes a file.
static WRITING: RwLock<()> = RwLock::new(());
/// The longest that an end waits for files that are being written.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; free some space, what was there is intact"
        }
        io::ErrorKind::PermissionDenied => "; check its permissions or choose another place",
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; a file is where a folder should be",
        io::ErrorKind::IsADirectory => "; a folder is where a file should be",
        _ => "",
    }
}

/// An [`io::Error`] with what was being done to which file.
pub fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError { action, path: path.to_path_buf(), source }
}

/// Waits until no file is being written. While the result is held nobody begins to write one, so that a process may
/// end. `None` if a file takes too long.
pub fn finish_writing() -> Option<RwLockWriteGuard<'static, ()>> {
    let begun = Instant::now();
    while begun.elapsed() < LONGEST_WAIT {
        match WRITING.try_write() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    None
}

fn writing() -> RwLockReadGuard<'static, ()> {
    WRITING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Writes `bytes` to `path`: the old file stays until the new one is whole.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let _writing = writing();
    let temporary = path.with_file_name(format!(
        ".{}.{}.tmp",
        path.file_name().map_or_else(|| "file".into(), |n| n.to_string_lossy()),
        std::process::id()
    ));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing more can be done if this fails too.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(file_error("write", path))
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(file_error("read", path))
}

/// Makes a folder and its parents.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(file_error("create", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_no_temporary_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_end_waits_for_files_that_are_being_written_and_none_begins_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let other = path.clone();
        let guard = finish_writing().unwrap();
        let writer = std::thread::spawn(move || write(&other, b"late").unwrap());
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(guard);
        writer.join().unwrap();
        assert_eq!(read(&path).unwrap(), b"late");
    }

    #[test]
    fn a_failure_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("none/a.txt"), b"x").unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("a.txt"), "{error}");
    }
}
