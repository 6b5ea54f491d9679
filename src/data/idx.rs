//! IDX files, plain or packed: big-endian, two zero bytes, the type of the elements, the number of dimensions, the sizes
//! (32 bits each), the elements. The header is checked against the file before memory is used for its content.

use super::limits::most_unpacked;
use super::{DataError, file};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Dimensions of any file that is read here.
const MOST_DIMENSIONS: u8 = 4;

/// What a file's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    U8 = 0x08,
    I8 = 0x09,
    I16 = 0x0b,
    I32 = 0x0c,
    F32 = 0x0d,
    F64 = 0x0e,
}

impl Element {
    const ALL: [Self; 6] = [Self::U8, Self::I8, Self::I16, Self::I32, Self::F32, Self::F64];

    const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// One element as a whole number; `None` if it is none.
    fn whole(self, bytes: &[u8]) -> Option<i64> {
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
        match (self, bytes) {
            (Self::U8, &[a]) => Some(i64::from(a)),
            (Self::I8, &[a]) => Some(i64::from(a as i8)),
            (Self::I16, &[a, b]) => Some(i64::from(i16::from_be_bytes([a, b]))),
            (Self::I32, &[a, b, c, d]) => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
            (Self::F32, &[a, b, c, d]) => whole(f64::from(f32::from_be_bytes([a, b, c, d]))),
            (Self::F64, _) => whole(f64::from_be_bytes(bytes.try_into().ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "unsigned bytes",
            Self::I8 => "signed bytes",
            Self::I16 => "16-bit integers",
            Self::I32 => "32-bit integers",
            Self::F32 => "32-bit floating-point numbers",
            Self::F64 => "64-bit floating-point numbers",
        })
    }
}

/// An open IDX file of which only the header has been read.
pub(super) struct Idx {
    pub(super) path: PathBuf,
    pub(super) element: Element,
    /// The size of each dimension.
    pub(super) sizes: Vec<u64>,
    /// Bytes of all elements.
    data_len: u64,
    content: file::Content,
}

impl Idx {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.to_path_buf(), source };
        let mut content = file::content(path).map_err(unreadable)?;
        let refused = refusal(path, content.packed);
        if content.file_len == 0 {
            return Err(DataError::EmptyFile { path: path.to_path_buf() });
        }
        let magic = file::at_most(&mut content.reader, 4).map_err(&refused)?;
        let (element, dimensions) = read_magic(path, &magic)?;
        let header_len = 4 + 4 * u64::from(dimensions);
        let header = file::at_most(&mut content.reader, header_len - 4).map_err(&refused)?;
        if header.len() as u64 + 4 != header_len {
            let found = header.len() as u64 + 4;
            return Err(DataError::IdxLength {
                path: path.to_path_buf(),
                found: found.to_string(),
                expected: header_len,
            });
        }
        let sizes: Vec<u64> =
            header.chunks_exact(4).map(|b| u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))).collect();
        let elements = sizes.iter().fold(1u64, |product, &size| product.saturating_mul(size));
        let data_len = elements.saturating_mul(element.bytes() as u64);
        let expected = data_len.saturating_add(header_len);
        if !content.packed && content.file_len != expected {
            let found = content.file_len.to_string();
            return Err(DataError::IdxLength { path: path.to_path_buf(), found, expected });
        }
        if content.packed && expected > most_unpacked(content.file_len) {
            let (packed, most) = (content.file_len, most_unpacked(content.file_len));
            return Err(DataError::Unpacked { path: path.to_path_buf(), packed, announced: expected, most });
        }
        Ok(Self { path: path.to_path_buf(), element, sizes, data_len, content })
    }

    /// What a message says of its content: `3 dimensions of unsigned bytes`.
    pub(super) fn describe(&self) -> String {
        format!("{} dimensions of {}", self.sizes.len(), self.element)
    }

    /// The bytes of all elements.
    pub(super) fn bytes(mut self) -> Result<Vec<u8>, DataError> {
        let refused = refusal(&self.path, self.content.packed);
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(self.data_len as usize).is_err() {
            return Err(DataError::NoMemory { path: self.path, bytes: self.data_len });
        }
        let reader = &mut self.content.reader;
        reader.by_ref().take(self.data_len).read_to_end(&mut bytes).map_err(&refused)?;
        let header_len = 4 + 4 * self.sizes.len() as u64;
        let (found, expected) = (bytes.len() as u64 + header_len, self.data_len + header_len);
        let found = match found < expected {
            true => found.to_string(),
            // To its end, where gzip's checksum stands.
            false if file::at_most(reader, 1).map_err(&refused)?.is_empty() => return Ok(bytes),
            false => format!("more than {expected}"),
        };
        Err(DataError::IdxLength { path: self.path, found, expected })
    }

    /// The labels: whole numbers in one dimension. Of rows of eight, as QMNIST has them, the first is the label.
    pub(super) fn labels(self) -> Result<Vec<i64>, DataError> {
        let columns = self.sizes.get(1).map_or(1, |&columns| columns as usize);
        let (element, path) = (self.element, self.path.clone());
        let bytes = self.bytes()?;
        let rows = bytes.chunks_exact(columns * element.bytes()).map(|row| &row[..element.bytes()]);
        rows.enumerate()
            .map(|(index, row)| {
                element.whole(row).ok_or_else(|| DataError::IdxLabel { path: path.clone(), index })
            })
            .collect()
    }

    /// Whether the file can hold labels.
    pub(super) fn has_labels(&self) -> bool {
        match self.sizes[..] {
            [_] => true,
            [_, columns] => columns == 1 || columns == 8 && self.element == Element::I32,
            _ => false,
        }
    }
}

/// An error while reading `path`, by how it is read.
fn refusal(path: &Path, packed: bool) -> impl Fn(std::io::Error) -> DataError + use<> {
    let path = path.to_path_buf();
    move |source| {
        let path = path.clone();
        if packed { DataError::Compressed { path, source } } else { DataError::Read { path, source } }
    }
}

fn read_magic(path: &Path, magic: &[u8]) -> Result<(Element, u8), DataError> {
    let element = |code: u8| Element::ALL.into_iter().find(|element| *element as u8 == code);
    if let &[0, 0, code, dimensions @ 1..=MOST_DIMENSIONS] = magic
        && let Some(element) = element(code)
    {
        return Ok((element, dimensions));
    }
    let start = magic.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    Err(DataError::NotIdx { path: path.to_path_buf(), start })
}
