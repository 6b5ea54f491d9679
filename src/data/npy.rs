//! Arrays as `numpy.save` writes them: `.npy` files of f32 or u8, read and written.
//!
//! A reader of our own, because the format is a line of text and numbers behind it, and the crates for it bring arrays of
//! their own or half a zip reader.

use crate::files::{self, FileError};
use crate::memory;
use std::path::{Path, PathBuf};

/// Bytes of the largest file that is read.
const LARGEST: u64 = 1 << 34;

/// What every file begins with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Why an array is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The numbers of an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Bytes, as of pictures.
    Bytes(Vec<u8>),
    /// Real numbers; those of 64 and 16 bits are rounded to 32.
    Floats(Vec<f32>),
}

/// An array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its extents.
    pub extents: Vec<usize>,
    /// Its numbers, the last extent fastest.
    pub elements: Elements,
}

/// Reads an array.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    let bytes = files::read_at_most(path, LARGEST)?;
    decode(&bytes).map_err(|problem| NpyError::Format { path: path.to_path_buf(), problem })
}

fn decode(bytes: &[u8]) -> Result<Array, String> {
    let broken = || "this is no whole .npy file; write it with numpy.save".to_string();
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(broken)?;
    let (head, body) = match rest {
        [1, _, a, b, rest @ ..] => rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, rest @ ..] => {
            rest.split_at_checked(u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => None,
    }
    .ok_or_else(broken)?;
    let head = std::str::from_utf8(head).map_err(|_| broken())?;
    let after = |key: &str| {
        head.split_once(&format!("'{key}':")).map(|(_, value)| value.trim_start()).ok_or_else(broken)
    };
    let kind =
        after("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).ok_or_else(broken)?.0;
    if after("fortran_order")?.starts_with("True") {
        return Err("the array is stored column by column; save numpy.ascontiguousarray of it".to_string());
    }
    let shape = after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(broken)?.0;
    let extents: Option<Vec<usize>> = shape
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect();
    let extents = extents.ok_or_else(broken)?;
    let count =
        extents.iter().try_fold(1_usize, |all, &extent| all.checked_mul(extent)).ok_or_else(broken)?;
    let size = match kind {
        "|u1" => 1,
        "<f2" => 2,
        "<f4" => 4,
        "<f8" => 8,
        other => return Err(format!("the array holds {other}; save it as float32 or uint8")),
    };
    if count.checked_mul(size) != Some(body.len()) {
        return Err(format!("the array of {extents:?} has {} bytes, so the file is cut short", body.len()));
    }
    let elements = match size {
        1 => Elements::Bytes(body.to_vec()),
        2 => floats(body, |b| half::f16::from_le_bytes(b).to_f32()),
        4 => floats(body, f32::from_le_bytes),
        _ => floats(body, |b| f64::from_le_bytes(b) as f32),
    };
    Ok(Array { extents, elements })
}

fn floats<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Elements {
    Elements::Floats(bytes.as_chunks().0.iter().map(|chunk| number(*chunk)).collect())
}

/// The bytes of an array of f32.
pub fn encode(extents: &[usize], values: &[f32]) -> Result<Vec<u8>, memory::OutOfMemory> {
    let shape: String = extents.iter().map(|extent| format!("{extent}, ")).collect();
    let mut head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    // The numbers begin at a multiple of 64 bytes.
    let before = MAGIC.len() + 4;
    let padding = (before + head.len() + 1).next_multiple_of(64) - before - head.len() - 1;
    head.extend(std::iter::repeat_n(' ', padding).chain(['\n']));
    let mut bytes = memory::with_room(before + head.len() + 4 * values.len())?;
    bytes.extend(MAGIC);
    bytes.extend([1, 0]);
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_comes_back_as_it_was() {
        let bytes = encode(&[2, 3], &[0.0, 1.0, -2.5, 3.0, 4.0, f32::MAX]).unwrap();
        assert_eq!(bytes.len() % 64, 24);
        let array = decode(&bytes).unwrap();
        assert_eq!(array.extents, [2, 3]);
        assert_eq!(array.elements, Elements::Floats(vec![0.0, 1.0, -2.5, 3.0, 4.0, f32::MAX]));
        let one = decode(&encode(&[1], &[7.0]).unwrap()).unwrap();
        assert_eq!(one.extents, [1]);
    }

    #[test]
    fn what_is_no_such_array_is_refused_with_the_reason() {
        let good = encode(&[2], &[1.0, 2.0]).unwrap();
        let text = |bytes: &[u8]| decode(bytes).unwrap_err();
        assert!(text(&good[..good.len() - 1]).contains("cut short"));
        assert!(text(b"\x93NUMPY\x01\0\xff\xff{}").contains("numpy.save"));
        let with = |from: &str, to: &str| {
            let at = good.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
            let mut bytes = good.clone();
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            text(&bytes)
        };
        assert!(with("<f4", "<c8").contains("<c8"));
        assert!(with("False", "True ").contains("ascontiguousarray"));
        assert!(with("(2,)", "(9,)").contains("[9]"));
    }
}
