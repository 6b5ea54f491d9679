//! Opening files whose content is not trusted: only regular files, packed ones recognised by their content, and never
//! more bytes than asked for.

use crate::files::length;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// How a gzip stream begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens the regular file `path` and tells its length.
pub(crate) fn open(path: &Path) -> io::Result<(BufReader<File>, u64)> {
    let len = length(path)?;
    Ok((BufReader::new(File::open(path)?), len))
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
