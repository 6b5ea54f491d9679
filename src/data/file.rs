//! Opening files whose content is not trusted: only regular files, packed ones recognised by their content, and never
//! more bytes than asked for.

use flate2::bufread::MultiGzDecoder;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

/// How a gzip stream begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The length of the regular file `path`. A folder, a pipe or a device is refused, because reading it could wait for ever.
pub(crate) fn length(path: &Path) -> io::Result<u64> {
    let found = fs::metadata(path)?;
    if found.is_file() {
        return Ok(found.len());
    }
    let (kind, what) = match found.is_dir() {
        true => (ErrorKind::IsADirectory, "a folder is where a file should be"),
        false => (ErrorKind::InvalidInput, "a pipe, socket or device is where a file should be"),
    };
    Err(io::Error::new(kind, what))
}

/// Opens the regular file `path` and tells its length.
pub(crate) fn open(path: &Path) -> io::Result<(BufReader<File>, u64)> {
    let len = length(path)?;
    Ok((BufReader::new(File::open(path)?), len))
}

/// The whole regular file `path`, if it has at most `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, len) = open(path)?;
    let too_long = || {
        io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than the {most} bytes that are possible here"),
        )
    };
    if len > most {
        return Err(too_long());
    }
    // A file can grow while it is read.
    let bytes = at_most(&mut file.take(most + 1), most + 1)?;
    if bytes.len() as u64 > most { Err(too_long()) } else { Ok(bytes) }
}

/// What `reader` still has, but no more than `limit` bytes.
pub(super) fn at_most(reader: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file's content, unpacked if it is packed.
pub(super) struct Content {
    /// Where the content is read from.
    pub(super) reader: Box<dyn Read>,
    /// Whether the file is packed with gzip. Its content decides that; its name does not.
    pub(super) packed: bool,
    /// The file's own length in bytes.
    pub(super) file_len: u64,
}

/// Opens a file that may be packed with gzip.
pub(super) fn content(path: &Path) -> io::Result<Content> {
    let (mut file, file_len) = open(path)?;
    let packed = file.fill_buf()?.starts_with(&GZIP);
    let reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Content { reader, packed, file_len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_longer_than_the_limit_is_not_read() {
        let dir = tempfile::tempdir().expect("scratch folder");
        let path = dir.path().join("a");
        fs::write(&path, b"12345").expect("written");
        assert_eq!(read(&path, 5).expect("short enough"), b"12345");
        assert_eq!(read(&path, 4).map_err(|e| e.kind()), Err(ErrorKind::FileTooLarge));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_before_it_is_opened() {
        let dir = tempfile::tempdir().expect("scratch folder");
        assert_eq!(length(dir.path()).map_err(|e| e.kind()), Err(ErrorKind::IsADirectory));
        #[cfg(unix)]
        {
            let pipe = dir.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            if made.is_ok_and(|status| status.success()) {
                let text = open(&pipe).err().map(|e| e.to_string()).unwrap_or_default();
                assert!(text.contains("a pipe"), "{text}");
            }
        }
    }
}
