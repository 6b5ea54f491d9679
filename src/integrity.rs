//! Checksums, so that damage to a file is found when the file is read.
//!
//! Whole files carry a SHA-256 of themselves: a mark and 64 digits, computed with all digits zero. The mark is the first
//! one in the file, so that one rule serves safetensors (in the metadata), JSON (the first key) and TOML (a comment).
//! Lines and short texts carry a CRC-32C of what stands before it, as their last JSON key.
//!
//! Three other ways were weighed. A second file beside each file gets lost when the file is copied. A checksum after the end is
//! not allowed in safetensors. A checksum of the tensors alone does not see a changed header.

use crate::files;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, SeekFrom};

/// Stands before the digits of a file's checksum.
const MARK: &str = "pgn-wgpu:sha256:";
/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;
/// Hexadecimal digits of a SHA-256.
const DIGITS: usize = 64;
/// What a writer puts where the checksum belongs; [`seal`] fills in the digits.
pub const EMPTY_SEAL: &str =
    "pgn-wgpu:sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// The last key of a sealed line, before its eight digits.
const LINE_MARK: &str = ",\"crc32c\":\"";

/// What the checksum of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// The bytes are those that were written.
    Whole,
    /// They are not.
    Damaged,
    /// The file has no checksum of ours.
    Absent,
}

/// A fuzzer does not guess checksums, and what it is to reach lies behind them.
const FUZZED: bool = cfg!(fuzzing);

/// Why a sealed JSON file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The checksum does not fit.
    #[error("its checksum does not fit its content: it was damaged or edited after it was written")]
    Damaged,
    /// There is no checksum.
    #[error("it has no checksum: another program or another version of pgn-wgpu wrote it")]
    Unsealed,
    /// The content is not what is expected.
    #[error("it has another content than expected ({0})")]
    Content(String),
}

/// Fills in the digits of the first [`EMPTY_SEAL`] of `bytes`.
///
/// # Panics
/// If there is none: every writer puts one in.
pub fn seal(bytes: &mut [u8]) {
    let digits = find(bytes).expect("the writer left room for the checksum");
    let hash = hash_without(bytes, digits);
    bytes[digits..][..DIGITS].copy_from_slice(&hash);
}

/// Checks `bytes` against the checksum in them.
pub fn check(bytes: &[u8]) -> Seal {
    let Some(digits) = find(bytes) else { return Seal::Absent };
    match FUZZED || bytes[digits..][..DIGITS] == hash_without(bytes, digits) {
        true => Seal::Whole,
        false => Seal::Damaged,
    }
}

/// The same for a file whose checksum is within its first `head` bytes; it is read piece by piece.
pub fn check_file(file: &mut (impl Read + Seek), head: u64) -> io::Result<Seal> {
    file.seek(SeekFrom::Start(0))?;
    let mut start = Vec::new();
    (&mut *file).take(head).read_to_end(&mut start)?;
    let Some(digits) = find(&start) else { return Ok(Seal::Absent) };
    let written = start[digits..][..DIGITS].to_vec();
    start[digits..][..DIGITS].fill(b'0');
    let mut hash = Sha256::new();
    hash.update(&start);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            bytes => hash.update(&piece[..bytes]),
        }
    }
    Ok(if FUZZED || hexadecimal(hash) == written { Seal::Whole } else { Seal::Damaged })
}

/// A value as sealed JSON text; the checksum is its first key.
///
/// # Panics
/// If the value is no struct or map of plain values with at least one key.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    sealed_json(&serde_json::to_string(value).expect("plain values become JSON"), "")
}

/// The same, indented for people.
///
/// # Panics
/// As [`to_json`].
pub fn to_pretty_json(value: &impl Serialize) -> Vec<u8> {
    sealed_json(&serde_json::to_string_pretty(value).expect("plain values become JSON"), "\n  ")
}

fn sealed_json(text: &str, indentation: &str) -> Vec<u8> {
    let rest = text.strip_prefix('{').expect("a struct or a map");
    let mut bytes = format!("{{{indentation}\"checksum\": \"{EMPTY_SEAL}\",{rest}\n").into_bytes();
    seal(&mut bytes);
    bytes
}

/// The value of sealed JSON text.
///
/// # Errors
/// If the checksum does not fit or is absent, or the content is that of another type.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    match check(bytes) {
        Seal::Whole => serde_json::from_slice(bytes).map_err(|e| Unreadable::Content(files::foreign(e))),
        Seal::Damaged => Err(Unreadable::Damaged),
        Seal::Absent => Err(Unreadable::Unsealed),
    }
}

/// One line of JSON with the checksum of what stands before it as its last key.
///
/// # Panics
/// If `value` is no struct or map of plain values with at least one key.
pub fn to_line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("plain values become JSON");
    let open = text.strip_suffix('}').expect("a struct or a map");
    format!("{open}{LINE_MARK}{:08x}\"}}", crc32c::crc32c(open.as_bytes()))
}

/// The line without its checksum, again as JSON; `None` if the checksum is absent or does not fit.
pub fn from_line(line: &str) -> Option<String> {
    let (open, rest) = line.rsplit_once(LINE_MARK)?;
    let fits = FUZZED || rest == format!("{:08x}\"}}", crc32c::crc32c(open.as_bytes()));
    fits.then(|| format!("{open}}}"))
}

/// Where the digits of the first checksum begin.
fn find(bytes: &[u8]) -> Option<usize> {
    let mark = bytes.windows(MARK.len()).position(|window| window == MARK.as_bytes())?;
    let digits = mark + MARK.len();
    (bytes.len() >= digits + DIGITS).then_some(digits)
}

/// The hash of `bytes` with zeros for the digits at `digits`.
fn hash_without(bytes: &[u8], digits: usize) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(&bytes[..digits]);
    hash.update([b'0'; DIGITS]);
    hash.update(&bytes[digits + DIGITS..]);
    hexadecimal(hash)
}

fn hexadecimal(hash: Sha256) -> Vec<u8> {
    hash.finalize().iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair {
        a: f64,
        b: String,
    }

    fn value() -> Pair {
        Pair { a: 0.1, b: "\"".to_string() }
    }

    #[test]
    fn every_single_bit_of_a_sealed_file_is_protected() {
        let sealed = to_json(&value());
        assert_eq!(from_json(&sealed), Ok(value()));
        assert_eq!(from_json(&to_pretty_json(&value())), Ok(value()));
        for bit in 0..8 * sealed.len() {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(from_json::<Pair>(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_single_bit_of_a_sealed_line_is_protected() {
        let line = to_line(&value());
        assert_eq!(from_line(&line).unwrap(), serde_json::to_string(&value()).unwrap());
        for bit in 0..8 * line.len() {
            let mut damaged = line.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let text = String::from_utf8_lossy(&damaged).into_owned();
            assert_eq!(from_line(&text), None, "bit {bit}");
        }
    }

    #[test]
    fn the_checksum_is_the_sha256_of_the_file_with_zeros_in_its_place() {
        // printf 'pgn-wgpu:sha256:%064d\n' 0 | sha256sum
        let mut bytes = format!("{EMPTY_SEAL}\n").into_bytes();
        seal(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, format!("{MARK}e11023fa621f2172a182e5bbb52dcc01033c4ac654c0305ce64c3ad853708786\n"));
    }

    #[test]
    fn a_file_without_a_checksum_is_told_from_a_damaged_one() {
        assert_eq!(check(b"{}"), Seal::Absent);
        assert_eq!(check(MARK.as_bytes()), Seal::Absent);
        assert_eq!(check(EMPTY_SEAL.as_bytes()), Seal::Damaged);
    }
}
