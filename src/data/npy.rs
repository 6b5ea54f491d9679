//! Arrays as `numpy.save` and `numpy.savez` write them: `.npy` files and the entries of `.npz` files, read; `.npy` of f32,
//! written.
//!
//! A reader of our own, because the format is a line of text and numbers behind it, and the crates for it bring arrays of
//! their own. What the line announces is held against the length of the file before memory is used for it.

use super::limits::most_unpacked;
use crate::files::{FileError, file_error};
use crate::memory;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;
use zip::result::ZipError;

/// Bytes that the numbers of an array may take in memory.
const MOST: u64 = 4 << 30;

/// Bytes of the longest line of text: ten times what `NumPy` itself believes.
const LONGEST_HEADER: u64 = 100_000;

/// Entries that an .npz file may have.
const MOST_ENTRIES: usize = 1000;

/// Bytes that are read at a time, a multiple of every element's.
const PIECE: usize = 1 << 16;

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
    /// Other whole numbers; `true` is 1.
    Integers(Vec<i64>),
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

/// Types of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Kind {
    /// `NumPy`'s name of each, in the little-endian order of bytes that is read.
    const ALL: [(&'static str, Self); 12] = [
        ("|b1", Self::Bool),
        ("|u1", Self::U8),
        ("|i1", Self::I8),
        ("<u2", Self::U16),
        ("<i2", Self::I16),
        ("<u4", Self::U32),
        ("<i4", Self::I32),
        ("<u8", Self::U64),
        ("<i8", Self::I64),
        ("<f2", Self::F16),
        ("<f4", Self::F32),
        ("<f8", Self::F64),
    ];

    /// Bytes of an element in the file, and in memory.
    const fn bytes(self) -> [usize; 2] {
        match self {
            Self::U8 => [1, 1],
            Self::Bool | Self::I8 => [1, 8],
            Self::U16 | Self::I16 => [2, 8],
            Self::U32 | Self::I32 => [4, 8],
            Self::U64 | Self::I64 => [8, 8],
            Self::F16 => [2, 4],
            Self::F32 => [4, 4],
            Self::F64 => [8, 4],
        }
    }
}

/// Reads the array in an `.npy` file.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    let refused = |problem| NpyError::Format { path: path.to_path_buf(), problem };
    let (file, len) = super::file::open(path).map_err(file_error("read", path))?;
    read_from(file, len).map_err(refused)
}

/// The extents of the array in an `.npy` file, whose numbers are not read.
pub fn extents(path: &Path) -> Result<Vec<usize>, NpyError> {
    let refused = |problem| NpyError::Format { path: path.to_path_buf(), problem };
    let (mut file, len) = super::file::open(path).map_err(file_error("read", path))?;
    Ok(Header::read(&mut file, len).map_err(refused)?.extents)
}

/// An open `.npz` file.
pub struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    /// The names of its arrays, without `.npy`, in their order.
    pub names: Vec<String>,
}

impl Npz {
    /// Opens a file and reads the list of its arrays.
    pub fn open(path: &Path) -> Result<Self, NpyError> {
        let refused = |problem: String| NpyError::Format { path: path.to_path_buf(), problem };
        let (file, _) = super::file::open(path).map_err(file_error("read", path))?;
        let archive = ZipArchive::new(file).map_err(|error| refused(no_npz(&error)))?;
        if archive.len() > MOST_ENTRIES {
            return Err(refused(format!(
                "it has {} arrays, at most {MOST_ENTRIES} are possible",
                archive.len()
            )));
        }
        // A name that cannot be read is none that is asked for.
        let own = archive.file_names().filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_owned()));
        let mut names: Vec<String> = own.collect();
        names.sort_unstable();
        Ok(Self { path: path.to_path_buf(), archive, names })
    }

    /// Where it is.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Reads the array of this name.
    pub fn read(&mut self, name: &str) -> Result<Array, NpyError> {
        let path = self.path.join(format!("{name}.npy"));
        let refused = |problem: String| NpyError::Format { path: path.clone(), problem };
        let mut entry =
            self.archive.by_name(&format!("{name}.npy")).map_err(|error| refused(no_npz(&error)))?;
        let (len, most) = (entry.size(), most_unpacked(entry.compressed_size()));
        if len > most {
            return Err(refused(format!(
                "it announces {} MiB in {} packed bytes, at most {} MiB are possible; save it with numpy.savez, which does \
                 not pack",
                len >> 20,
                entry.compressed_size(),
                most >> 20
            )));
        }
        let array = read_from(&mut entry, len).map_err(refused)?;
        // The end of the entry is where its checksum is compared.
        match entry.read(&mut [0]) {
            Ok(0) => Ok(array),
            Ok(_) => Err(refused("it is longer than its archive says; save it again".to_string())),
            Err(error) => Err(refused(format!("it is damaged ({error}); save it again"))),
        }
    }
}

fn no_npz(error: &ZipError) -> String {
    format!("this is no whole .npz file ({error}); write it with numpy.savez")
}

/// What stands before the numbers of an array.
struct Header {
    kind: Kind,
    extents: Vec<usize>,
    count: usize,
}

impl Header {
    /// Reads and judges what is announced by a file of `len` bytes in all.
    fn read(reader: &mut impl Read, len: u64) -> Result<Self, String> {
        let (head, before) = header_text(reader).ok_or_else(broken)?;
        let after = |key: &str| {
            head.split_once(&format!("'{key}':")).map(|(_, value)| value.trim_start()).ok_or_else(broken)
        };
        let between = |text: &str, [open, close]: [char; 2]| {
            text.strip_prefix(open)
                .and_then(|rest| rest.split_once(close))
                .map(|(inner, _)| inner.to_string())
        };
        let kind = between(after("descr")?, ['\'', '\'']).ok_or_else(broken)?;
        let Some((_, kind)) = Kind::ALL.into_iter().find(|(name, _)| *name == kind) else {
            return Err(format!("the array holds {kind}; save it as float32, uint8 or int64"));
        };
        if after("fortran_order")?.starts_with("True") {
            return Err(
                "the array is stored column by column; save numpy.ascontiguousarray of it".to_string()
            );
        }
        let shape = between(after("shape")?, ['(', ')']).ok_or_else(broken)?;
        let parts = shape.split(',').map(str::trim).filter(|part| !part.is_empty());
        let extents: Option<Vec<usize>> = parts.map(|part| part.parse().ok()).collect();
        let extents = extents.ok_or_else(broken)?;
        let count = extents.iter().try_fold(1_u64, |all, &extent| all.checked_mul(extent as u64));
        let [stored, kept] = kind.bytes();
        let expected = count.and_then(|count| count.checked_mul(stored as u64));
        let found = len.saturating_sub(before);
        let (Some(count), true) = (count, expected == Some(found)) else {
            return Err(format!(
                "the array of {extents:?} has {found} bytes, so the file is cut short or damaged"
            ));
        };
        match count.saturating_mul(kept as u64) > MOST {
            true => {
                Err(format!("the array of {extents:?} takes more than {} MiB; save fewer images", MOST >> 20))
            }
            false => Ok(Self { kind, extents, count: count as usize }),
        }
    }
}

/// Reads an array of `len` bytes in all.
fn read_from(mut reader: impl Read, len: u64) -> Result<Array, String> {
    let Header { kind, extents, count } = Header::read(&mut reader, len)?;
    let elements = elements(&mut reader, kind, count)?;
    Ok(Array { extents, elements })
}

fn broken() -> String {
    "this is no whole .npy file; write it with numpy.save".to_string()
}

/// The text of the header and the bytes up to its end.
fn header_text(reader: &mut impl Read) -> Option<(String, u64)> {
    let mut start = [0; 10];
    reader.read_exact(&mut start).ok()?;
    let [a, b] = [start[8], start[9]];
    let (length, before) = match start.strip_prefix(MAGIC)?[0] {
        1 => (u64::from(u16::from_le_bytes([a, b])), 10),
        2 | 3 => {
            let mut rest = [0; 2];
            reader.read_exact(&mut rest).ok()?;
            (u64::from(u32::from_le_bytes([a, b, rest[0], rest[1]])), 12)
        }
        _ => return None,
    };
    if length > LONGEST_HEADER {
        return None;
    }
    let mut text = vec![0; length as usize];
    reader.read_exact(&mut text).ok()?;
    Some((String::from_utf8(text).ok()?, before + length))
}

/// Reads `count` elements.
fn elements(reader: &mut impl Read, kind: Kind, count: usize) -> Result<Elements, String> {
    if kind == Kind::U8 {
        let mut bytes = memory::zeros(count).map_err(|refused| refused.to_string())?;
        reader.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        return Ok(Elements::Bytes(bytes));
    }
    let real: fn(&[u8]) -> f32 = match kind {
        Kind::F16 => |b| half::f16::from_le_bytes(fixed(b)).to_f32(),
        Kind::F32 => |b| f32::from_le_bytes(fixed(b)),
        Kind::F64 => |b| f64::from_le_bytes(fixed(b)) as f32,
        _ => return Ok(Elements::Integers(numbers(reader, kind, count, whole(kind))?)),
    };
    Ok(Elements::Floats(numbers(reader, kind, count, real)?))
}

/// How an element that is a whole number is read.
fn whole(kind: Kind) -> fn(&[u8]) -> i64 {
    match kind {
        Kind::Bool => |b| i64::from(b[0] != 0),
        Kind::U8 => |b| i64::from(b[0]),
        Kind::I8 => |b| i64::from(b[0] as i8),
        Kind::U16 => |b| i64::from(u16::from_le_bytes(fixed(b))),
        Kind::I16 => |b| i64::from(i16::from_le_bytes(fixed(b))),
        Kind::U32 => |b| i64::from(u32::from_le_bytes(fixed(b))),
        Kind::I32 => |b| i64::from(i32::from_le_bytes(fixed(b))),
        // Beyond i64 there are no labels; the largest number stands for all of them.
        Kind::U64 => |b| i64::try_from(u64::from_le_bytes(fixed(b))).unwrap_or(i64::MAX),
        Kind::I64 => |b| i64::from_le_bytes(fixed(b)),
        Kind::F16 | Kind::F32 | Kind::F64 => |_| 0,
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as many bytes as the element has")
}

/// Reads elements piece by piece, so that the file's bytes are never in memory as a whole.
fn numbers<T>(
    reader: &mut impl Read,
    kind: Kind,
    count: usize,
    number: fn(&[u8]) -> T,
) -> Result<Vec<T>, String> {
    let [stored, _] = kind.bytes();
    let mut all = memory::with_room(count).map_err(|refused| refused.to_string())?;
    let mut piece = vec![0; PIECE];
    while all.len() < count {
        let now = (count - all.len()).min(PIECE / stored) * stored;
        reader.read_exact(&mut piece[..now]).map_err(|error| error.to_string())?;
        all.extend(piece[..now].chunks_exact(stored).map(number));
    }
    Ok(all)
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
pub(super) mod tests {
    use super::*;

    /// A file of an array of any type.
    pub(in super::super) fn file(kind: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [MAGIC, &[1, 0], &(head.len() as u16).to_le_bytes(), head.as_bytes(), body].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Array, String> {
        read_from(bytes, bytes.len() as u64)
    }

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
    fn elements_of_every_type_are_read() {
        let whole = |kind, body: &[u8]| match decode(&file(kind, "(1,)", body)).unwrap().elements {
            Elements::Integers(values) => values[0],
            other => panic!("{other:?}"),
        };
        assert_eq!([whole("|b1", &[1]), whole("|i1", &[0xfe]), whole("<u2", &[1, 2])], [1, -2, 513]);
        assert_eq!([whole("<i2", &[0xff, 0xff]), whole("<u4", &[0, 0, 0, 0x80])], [-1, 1 << 31]);
        assert_eq!(
            [whole("<i4", &[0xff; 4]), whole("<i8", &[0xff; 8]), whole("<u8", &[0xff; 8])],
            [-1, -1, i64::MAX]
        );
        let real = |kind, body: &[u8]| match decode(&file(kind, "(1,)", body)).unwrap().elements {
            Elements::Floats(values) => values[0],
            other => panic!("{other:?}"),
        };
        assert_eq!([real("<f2", &[0, 0x3c]), real("<f8", &0.25_f64.to_le_bytes())], [1.0, 0.25]);
        let bytes = decode(&file("|u1", "(2, 2)", &[1, 2, 3, 255])).unwrap();
        assert_eq!((bytes.extents, bytes.elements), (vec![2, 2], Elements::Bytes(vec![1, 2, 3, 255])));
    }

    #[test]
    fn an_array_of_more_than_one_piece_is_whole() {
        let values: Vec<f32> = (0..40_000).map(|i| i as f32).collect();
        let array = decode(&encode(&[values.len()], &values).unwrap()).unwrap();
        assert_eq!(array.elements, Elements::Floats(values));
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
        assert!(with("<f4", ">f4").contains(">f4"));
        assert!(with("False", "True ").contains("ascontiguousarray"));
        assert!(with("(2,)", "(9,)").contains("[9]"));
    }

    #[test]
    fn headers_that_announce_anything_are_refused_before_memory_is_used() {
        for shape in [
            "(4294967296, 4294967296, 4294967296)",
            "(1000000000000,)",
            "(99999999999999999999999,)",
            "(-1,)",
        ] {
            assert!(decode(&file("<f4", shape, &[0; 8])).is_err(), "{shape}");
        }
        let long = [MAGIC, &[2, 0], &u32::MAX.to_le_bytes(), b"{'descr': '<f4'"].concat();
        assert!(decode(&long).unwrap_err().contains("numpy.save"));
        // A file whose length fits its header may still be more than memory is meant for.
        let huge = file("|i1", "(1099511627776,)", &[]);
        let error = read_from(&huge[..], huge.len() as u64 + (1 << 40)).unwrap_err();
        assert!(error.contains("more than 4096 MiB"), "{error}");
    }

    /// An .npz file of these entries.
    pub(in super::super) fn npz(entries: &[(&str, Vec<u8>)], packed: bool) -> Vec<u8> {
        use std::io::Write;
        let method = if packed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            writer.start_file(format!("{name}.npy"), options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn arrays_of_an_npz_file_are_read_packed_and_plain_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.npz");
        let entries = [
            ("x", encode(&[2], &[1.0, 2.0]).unwrap()),
            ("y", file("<i8", "(1,)", &[3, 0, 0, 0, 0, 0, 0, 0])),
        ];
        for packed in [false, true] {
            let bytes = npz(&entries, packed);
            std::fs::write(&path, &bytes).unwrap();
            let mut archive = Npz::open(&path).unwrap();
            assert_eq!(archive.names, ["x", "y"]);
            assert_eq!(archive.read("x").unwrap().elements, Elements::Floats(vec![1.0, 2.0]));
            assert_eq!(archive.read("y").unwrap().elements, Elements::Integers(vec![3]));
            for cut in [0, 3, 60, bytes.len() - 1] {
                std::fs::write(&path, &bytes[..cut]).unwrap();
                let error = Npz::open(&path).err().expect("cut").to_string();
                assert!(error.contains("all.npz") && error.contains("numpy.savez"), "{error}");
            }
        }
        let mut bytes = npz(&entries, false);
        let at = bytes.windows(4).position(|part| part == 2.0_f32.to_le_bytes()).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = Npz::open(&path).unwrap().read("x").unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }

    #[test]
    fn a_packed_array_that_announces_far_more_than_it_can_hold_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.npz");
        let zeros = file("|u1", "(300000000,)", &vec![0; 300_000_000]);
        std::fs::write(&path, npz(&[("x", zeros)], true)).unwrap();
        let error = Npz::open(&path).unwrap().read("x").unwrap_err().to_string();
        assert!(error.contains("announces 286 MiB") && error.contains("at most 256 MiB"), "{error}");
    }
}
