//! Files that are whole or not there: written under a temporary name beside the target, synced, renamed, and the folder
//! synced after it. A power cut leaves the old file or the new one.
//!
//! Temporary files have names that nobody can guess and are created exclusively, so no link is followed. A target that is a
//! link stays one: the file that it names is replaced.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// The end of every temporary file's name.
const TEMPORARY: &str = ".tmp";
/// Links that may follow each other; the limit of Linux.
const LONGEST_CHAIN: usize = 40;
/// Held for reading while a file is being written.
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

/// Whether a file's name ends with `.` and `ending`, in capitals or not.
pub(crate) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending))
}

/// What another library says of the fields of a file. It puts their names between backticks, which in sentences of this one
/// stand around settings.
pub(crate) fn foreign(said: impl std::fmt::Display) -> String {
    said.to_string().replace('`', "\"")
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

/// A file that is written and synced, but not yet in its place. Dropped, it is gone.
pub struct Pending {
    temporary: NamedTempFile,
    target: PathBuf,
    /// As the caller named it.
    path: PathBuf,
    writing: RwLockReadGuard<'static, ()>,
}

impl Pending {
    /// Writes `bytes` beside `path`.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        Self::write_with(path, |out| out.write_all(bytes).map_err(file_error("write", path)))
    }

    /// Writes beside `path` what `content` gives, which need not be in memory at once.
    pub fn write_with(
        path: &Path,
        content: impl FnOnce(&mut dyn Write) -> Result<(), FileError>,
    ) -> Result<Self, FileError> {
        let writing = WRITING.read().unwrap_or_else(PoisonError::into_inner);
        let target = behind_links(path);
        let mut temporary = new_temporary(&target).map_err(file_error("write", path))?;
        let mut out = BufWriter::new(&mut temporary);
        content(&mut out)?;
        out.flush().map_err(file_error("write", path))?;
        drop(out);
        temporary.as_file().sync_all().map_err(file_error("write", path))?;
        Ok(Self { temporary, target, path: path.to_path_buf(), writing })
    }

    /// Where it lies until it is put in its place.
    pub fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Replaces the target and makes that durable.
    pub fn put(self) -> Result<(), FileError> {
        let Self { temporary, target, path, writing: _held } = self;
        temporary.persist(&target).map_err(|e| file_error("write", &path)(e.error))?;
        sync_folder(&target).map_err(file_error("write", &path))
    }
}

/// Writes `bytes` to `path`: the old file stays until the new one is whole and durable.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    Pending::write(path, bytes)?.put()
}

/// Moves a file durably. Where the two paths lead to different disks (over a link), it is copied.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    let (source, target) = (behind_links(from), behind_links(to));
    match fs::rename(&source, &target) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            write(to, &read(from)?)?;
            fs::remove_file(&source).map_err(file_error("remove", from))
        }
        moved => moved.and_then(|()| sync_folder(&target)).map_err(file_error("rename", from)),
    }
}

/// Reads a whole file of ours.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_at_most(path, u64::MAX)
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// If it is larger, or no regular file: a pipe would be waited for, a device would not end.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    bytes_of(path, limit).map_err(file_error("read", path))
}

/// A file that is read line by line, however many lines it has.
pub struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    longest: usize,
    /// The last line that was read, and its number from 1 on.
    line: Vec<u8>,
    number: usize,
}

impl Lines {
    /// Opens the regular file `path`, whose lines have at most `longest` bytes each.
    pub fn open(path: &Path, longest: usize) -> Result<Self, FileError> {
        let file = length(path).and_then(|_| File::open(path)).map_err(file_error("read", path))?;
        let reader = BufReader::new(file);
        Ok(Self { reader, path: path.to_path_buf(), longest, line: Vec::new(), number: 0 })
    }

    /// The next line with its end, which the last one may lack; `None` after that.
    ///
    /// # Errors
    /// If a line has more than `longest` bytes.
    pub fn line(&mut self) -> Result<Option<&[u8]>, FileError> {
        self.line.clear();
        self.number += 1;
        // One byte more, for the end of the line.
        let piece = (&mut self.reader).take(self.longest as u64 + 1).read_until(b'\n', &mut self.line);
        piece.map_err(file_error("read", &self.path))?;
        if self.line.len() > self.longest && !self.line.ends_with(b"\n") {
            let (number, longest) = (self.number, self.longest);
            let reason = format!(
                "line {number} has more than {longest} bytes, so the file is damaged; move it to another folder"
            );
            return Err(file_error("read", &self.path)(io::Error::other(reason)));
        }
        Ok((!self.line.is_empty()).then_some(&self.line[..]))
    }
}

/// The length of the regular file `path`. A folder, a pipe or a device is refused, because reading it could wait for ever.
pub(crate) fn length(path: &Path) -> io::Result<u64> {
    let found = fs::metadata(path)?;
    match (found.is_file(), found.is_dir()) {
        (true, _) => Ok(found.len()),
        (_, true) => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("it is a pipe or a device; give a regular file")),
    }
}

/// The whole regular file `path`, if it has at most `limit` bytes.
pub(crate) fn bytes_of(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::other(format!("it has more than the {limit} bytes that are possible here"));
    let len = length(path)?;
    if len > limit {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let room = usize::try_from(len).map_err(|_| too_long())?;
    bytes.try_reserve_exact(room).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // A file can grow while it is read.
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_long()) } else { Ok(bytes) }
}

/// Whether the file `path` has exactly these bytes; it is read piece by piece.
pub fn holds(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    const PIECE: usize = 1 << 20;
    let same = || -> io::Result<bool> {
        if length(path)? != bytes.len() as u64 {
            return Ok(false);
        }
        let (mut file, mut own) = (File::open(path)?, vec![0; PIECE.min(bytes.len())]);
        for piece in bytes.chunks(PIECE) {
            file.read_exact(&mut own[..piece.len()])?;
            if own[..piece.len()] != *piece {
                return Ok(false);
            }
        }
        Ok(true)
    };
    same().map_err(file_error("read", path))
}

/// Makes a folder and its parents.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(file_error("create", path))
}

/// Checks that files can be written into a folder, or that it can be made: into what is there of its path. It leaves nothing
/// behind.
pub fn check_writable(folder: &Path) -> Result<(), FileError> {
    let there = folder.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new(""));
    new_temporary(&there.join("check")).map(drop).map_err(file_error("write into", folder))
}

/// Removes temporary files that a killed process left in `folder`: those of targets that `ours` accepts and that were
/// not touched for `age`. The caller makes sure that nobody is writing such targets now.
pub fn remove_leftovers(folder: &Path, age: Duration, ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let target = name.to_str().and_then(target_of_temporary);
        let modified = entry.metadata().and_then(|data| data.modified());
        let silent = || modified.is_ok_and(|time| time.elapsed().unwrap_or_default() >= age);
        if target.is_some_and(&ours) && silent() {
            // A file that cannot be removed harms nobody.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The name of the file that a temporary file was meant to replace: `a.txt` of `.a.txt.Xy12Zz.tmp`.
fn target_of_temporary(name: &str) -> Option<&str> {
    let (target, _random) = name.strip_prefix('.')?.strip_suffix(TEMPORARY)?.rsplit_once('.')?;
    Some(target)
}

/// An empty file beside `target`, with the permissions that a new file has. Dropped, it is gone.
pub fn new_temporary(target: &Path) -> io::Result<NamedTempFile> {
    let name = target.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy());
    let prefix = format!(".{name}.");
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Created here, so that it has the permissions of new files and errors do not repeat the temporary path.
    let create = |path: &Path| File::options().write(true).create_new(true).open(path);
    tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(TEMPORARY)
        .make_in(folder.unwrap_or(Path::new(".")), create)
}

/// The path that `path` leads to over links, also where nothing is there yet.
fn behind_links(path: &Path) -> PathBuf {
    let mut target = path.to_path_buf();
    for _ in 0..LONGEST_CHAIN {
        let Ok(next) = fs::read_link(&target) else { break };
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    target
}

/// Makes names in the folder of `path` durable. Windows does that by itself and has no call for it.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()) {
            // Some file systems cannot sync a folder.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
            other => return other,
        }
    }
    Ok(())
}

/// The path with links and `..` resolved, also where nothing is there yet.
pub fn resolved(path: &Path) -> PathBuf {
    as_far_as_it_exists(&behind_links(path))
}

fn as_far_as_it_exists(path: &Path) -> PathBuf {
    if let Ok(full) = fs::canonicalize(path) {
        return full;
    }
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if folder.as_os_str().is_empty() => {
            as_far_as_it_exists(Path::new(".")).join(name)
        }
        (Some(folder), Some(name)) => as_far_as_it_exists(folder).join(name),
        _ => path.to_path_buf(),
    }
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
    fn a_file_is_compared_to_its_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut bytes = vec![7; (1 << 20) + 3];
        fs::write(&path, &bytes).unwrap();
        assert!(holds(&path, &bytes).unwrap());
        assert!(!holds(&path, &bytes[1..]).unwrap());
        *bytes.last_mut().unwrap() = 8;
        assert!(!holds(&path, &bytes).unwrap());
    }

    #[test]
    fn a_file_longer_than_the_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let error = read_at_most(&path, 4).unwrap_err().to_string();
        assert!(error.contains("more than the 4 bytes"), "{error}");
    }

    #[test]
    fn lines_are_read_one_by_one_and_one_that_is_too_long_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let read = |text: &str| -> Result<Vec<String>, String> {
            fs::write(&path, text).unwrap();
            let mut lines = Lines::open(&path, 3).map_err(|e| e.to_string())?;
            let mut all = Vec::new();
            while let Some(line) = lines.line().map_err(|e| e.to_string())? {
                all.push(String::from_utf8(line.to_vec()).unwrap());
            }
            Ok(all)
        };
        assert_eq!(read("").unwrap(), Vec::<String>::new());
        assert_eq!(read("abc\n\nde").unwrap(), ["abc\n", "\n", "de"]);
        for text in ["a\nabcd\n", "a\nabcd"] {
            let error = read(text).unwrap_err();
            assert!(error.contains("line 2 has more than 3 bytes"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_written_piece_by_piece_is_whole_or_not_there() {
        fn piece(out: &mut dyn Write) -> Result<(), FileError> {
            out.write_all(b"ab").map_err(file_error("write", Path::new("a")))
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        Pending::write_with(&path, |out| piece(out).and_then(|()| piece(out))).unwrap().put().unwrap();
        assert_eq!(read(&path).unwrap(), b"abab");
        let broken = Pending::write_with(&path, |out| {
            piece(out)?;
            Err(file_error("read", Path::new("b"))(io::ErrorKind::NotFound.into()))
        });
        assert!(broken.err().unwrap().to_string().contains("cannot read b"));
        assert_eq!(read(&path).unwrap(), b"abab");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(length(folder.path()).map_err(|e| e.kind()), Err(io::ErrorKind::IsADirectory));
        #[cfg(unix)]
        {
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            if made.is_ok_and(|status| status.success()) {
                let error = read(&pipe).unwrap_err().to_string();
                assert!(error.contains("a pipe"), "{error}");
            }
        }
    }

    #[test]
    fn a_failure_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("none/a.txt"), b"x").unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("none/a.txt"), "{error}");
        assert!(!error.contains(".a.txt.") && error.ends_with("; check the path"), "{error}");
    }

    #[test]
    fn temporary_files_of_the_same_target_have_different_names_and_vanish_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let (first, second) = (Pending::write(&path, b"1").unwrap(), Pending::write(&path, b"2").unwrap());
        assert_ne!(first.temporary(), second.temporary());
        drop(first);
        second.put().unwrap();
        assert_eq!(read(&path).unwrap(), b"2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_old_leftovers_of_ones_own_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".model.safetensors.aB3dE6.tmp", ".other.txt.aB3dE6.tmp", "model.safetensors.tmp"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let left = || fs::read_dir(folder.path()).unwrap().count();
        remove_leftovers(folder.path(), Duration::from_secs(3600), |_| true);
        assert_eq!(left(), 3, "they are too young");
        remove_leftovers(folder.path(), Duration::ZERO, |target| target == "model.safetensors");
        assert_eq!(left(), 2);
        assert!(!folder.path().join(".model.safetensors.aB3dE6.tmp").exists());
    }

    #[test]
    #[cfg(unix)]
    fn a_link_stays_a_link_and_its_file_is_replaced_also_where_there_is_none_yet() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let link = folder.path().join("a.txt");
        std::os::unix::fs::symlink("elsewhere/real.txt", &link).unwrap();
        for content in [b"one", b"two"] {
            write(&link, content).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(elsewhere.join("real.txt")).unwrap(), content);
        }
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn a_new_file_has_the_permissions_that_the_user_gives_new_files() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        fs::write(folder.path().join("usual"), b"x").unwrap();
        write(&folder.path().join("ours"), b"x").unwrap();
        assert_eq!(mode("ours"), mode("usual"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_cannot_be_written_into_is_named_before_anything_is_computed() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["", "new", "new/newer"] {
            check_writable(&folder.path().join(path)).unwrap();
        }
        check_writable(Path::new("no folder has this name")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing behind");
        fs::write(folder.path().join("file"), b"").unwrap();
        check_writable(&folder.path().join("file/new")).unwrap_err();
        for path in ["/proc/new", "/proc/self"] {
            let error = check_writable(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
