//! The outside of a safetensors file: what its header says, judged before anything behind the header is read.
//!
//! The crate reads a whole file at once, takes the last of two tensors of one name and lets a header be 100 MB long. Here
//! the length of the header is judged first, then its text, then its sums against the length of the file. Tensors are read
//! one by one, so a file costs memory only for what is taken from it.

use super::file::ModelFileError;
use super::formats;
use super::sealed::{self, Origin};
use crate::files::{self, file_error};
use crate::integrity;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of the longest header: room for a thousand long class names and for tens of thousands of tensors.
pub(super) const LONGEST_HEADER: u64 = 4 << 20;

/// Bytes before the header: its length.
const LENGTH: u64 = 8;

/// An open safetensors file.
pub struct Container<'a> {
    path: &'a Path,
    file: File,
    /// Where the tensors begin.
    start: u64,
    /// Free text by key.
    pub metadata: HashMap<String, String>,
    /// The tensors in the order of the file.
    pub tensors: Vec<(String, TensorInfo)>,
}

impl<'a> Container<'a> {
    /// Opens a file and judges its header.
    pub fn open(path: &'a Path) -> Result<Self, ModelFileError> {
        let read_error = |e| file_error("read", path)(e);
        // Before it is opened, because opening a pipe waits for its other end.
        files::length(path).map_err(read_error)?;
        let mut file = File::open(path).map_err(read_error)?;
        let whole = file.metadata().map_err(read_error)?.len();
        let mut beginning = Vec::new();
        (&mut file).take(formats::BEGINNING).read_to_end(&mut beginning).map_err(read_error)?;
        let length = header_length(&beginning, whole, path).map_err(|error| {
            match formats::recognise(&beginning, path) {
                Some(problem) => ModelFileError::Architecture { path: path.to_path_buf(), problem },
                None => error,
            }
        })?;
        let mut text = vec![0; length as usize];
        file.seek(SeekFrom::Start(LENGTH)).and_then(|_| file.read_exact(&mut text)).map_err(read_error)?;
        let start = LENGTH + length;
        let Header { metadata, tensors } = Header::parse(&text)
            .map_err(|problem| ModelFileError::Architecture { path: path.to_path_buf(), problem })?;
        let (described, data) = (tensors.last().map_or(0, |(_, info)| info.data_offsets.1), whole - start);
        if described as u64 != data {
            let reason = format!("its tensors should have {described} bytes, the file has {data} for them");
            return Err(ModelFileError::Format { path: path.to_path_buf(), reason });
        }
        Ok(Self { path, file, start, metadata, tensors })
    }

    /// Checks the checksum of the whole file and gives the entry of the metadata under `key`.
    ///
    /// # Errors
    /// If the checksum does not fit, or is absent although the metadata are ours.
    pub fn origin(&mut self, key: &str) -> Result<Origin, ModelFileError> {
        let seal =
            integrity::check_file(&mut self.file, self.start).map_err(file_error("read", self.path))?;
        sealed::origin(seal, &self.metadata, key)
            .map_err(|reason| ModelFileError::Integrity { path: self.path.to_path_buf(), reason })
    }

    /// The bytes of a tensor.
    pub fn bytes(&mut self, tensor: usize) -> Result<Vec<u8>, ModelFileError> {
        let (start, end) = self.tensors[tensor].1.data_offsets;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(end - start).map_err(|_| ModelFileError::Architecture {
            path: self.path.to_path_buf(),
            problem: format!(
                "there is no memory for the {} bytes of the tensor {}; free some, or take a smaller model",
                end - start,
                self.tensors[tensor].0
            ),
        })?;
        bytes.resize(end - start, 0);
        self.file
            .seek(SeekFrom::Start(self.start + start as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(file_error("read", self.path))?;
        Ok(bytes)
    }

    /// The values of a tensor of f32.
    pub fn values(&mut self, tensor: usize) -> Result<Vec<f32>, ModelFileError> {
        Ok(self.bytes(tensor)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

/// The length of the header, if that can be one in a file of `whole` bytes.
fn header_length(beginning: &[u8], whole: u64, path: &Path) -> Result<u64, ModelFileError> {
    let refused = |reason: String| Err(ModelFileError::Format { path: path.to_path_buf(), reason });
    let Some(length) = beginning.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)) else {
        return refused(format!("it has {whole} bytes"));
    };
    if length > whole - LENGTH {
        return refused(format!("its header would have {length} bytes, the file has {whole}"));
    }
    if length > LONGEST_HEADER {
        return Err(ModelFileError::LongHeader { path: path.to_path_buf(), length });
    }
    if length < 2 || beginning.get(LENGTH as usize) != Some(&b'{') {
        return refused("its header is no JSON object".to_string());
    }
    Ok(length)
}

/// What a header says.
struct Header {
    metadata: HashMap<String, String>,
    tensors: Vec<(String, TensorInfo)>,
}

impl Header {
    /// Reads the `text` of a header. The tensors come in the order of their places, without gaps and overlaps.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let wrong = |reason: String| format!("its safetensors header is wrong: {reason}");
        let mut header: Self = serde_json::from_slice(text).map_err(|e| wrong(files::foreign(e)))?;
        header.tensors.sort_by_key(|(_, info)| info.data_offsets);
        Metadata::new(None, header.tensors.clone()).map_err(|e| wrong(e.to_string()))?;
        Ok(header)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let (mut metadata, mut tensors) = (None, BTreeMap::new());
        while let Some(name) = map.next_key::<String>()? {
            let twice = if name == "__metadata__" {
                let Texts(texts) = map.next_value::<Option<Texts>>()?.unwrap_or_default();
                metadata.replace(texts).is_some()
            } else {
                let info = map.next_value::<TensorInfo>()?;
                tensors.insert(name.clone(), info).is_some()
            };
            if twice {
                return Err(A::Error::custom(format!(
                    "{} stands there twice, and one of the two would be lost",
                    shown(&name)
                )));
            }
        }
        let (metadata, tensors) = (metadata.unwrap_or_default(), tensors.into_iter().collect());
        Ok(Header { metadata, tensors })
    }
}

/// Free text by key, each key once.
#[derive(Default)]
struct Texts(HashMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut texts = HashMap::new();
        while let Some((key, text)) = map.next_entry::<String, String>()? {
            if texts.insert(key.clone(), text).is_some() {
                return Err(A::Error::custom(format!(
                    "{} stands in __metadata__ twice, and one of the two would be lost",
                    shown(&key)
                )));
            }
        }
        Ok(Texts(texts))
    }
}

/// A name from a file as errors show it: on one line, and cut where it is long.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 80;
    let cut = if name.chars().nth(MOST).is_some() { "…" } else { "" };
    format!("{}{cut}", name.chars().take(MOST).collect::<String>().escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a file with this header, and with `data` bytes behind it.
    fn said(header: &str, data: u64) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        std::fs::write(&path, &bytes).unwrap();
        File::options().append(true).open(&path).unwrap().set_len(bytes.len() as u64 + data).unwrap();
        match Container::open(&path) {
            Ok(container) => format!("{} tensors", container.tensors.len()),
            Err(error) => error.to_string(),
        }
    }

    fn tensor(name: &str, shape: &str, start: u64, end: u64) -> String {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    }

    #[test]
    fn headers_in_any_order_with_and_without_texts_are_read() {
        let (a, b) = (tensor("a", "[2]", 8, 16), tensor("b", "[2]", 0, 8));
        assert_eq!(said(&format!(r#"{{"__metadata__":{{"format":"pt"}},{a},{b}}}  "#), 16), "2 tensors");
        assert_eq!(said(&format!("{{\"__metadata__\":null,{b}}}"), 8), "1 tensors");
        assert_eq!(said("{}", 0), "0 tensors");
    }

    #[test]
    fn two_tensors_or_texts_of_one_name_are_refused() {
        let text = said(&format!("{{{},{}}}", tensor("a", "[1]", 0, 4), tensor("a", "[1]", 4, 8)), 8);
        assert!(text.contains("a stands there twice"), "{text}");
        let text = said(r#"{"__metadata__":{"k":"1","k":"2"}}"#, 0);
        assert!(text.contains("k stands in __metadata__ twice"), "{text}");
        let text = said(r#"{"__metadata__":{},"__metadata__":{}}"#, 0);
        assert!(text.contains("__metadata__ stands there twice"), "{text}");
    }

    #[test]
    fn places_that_overlap_leave_gaps_or_do_not_fit_the_shape_are_refused() {
        for (header, data) in [
            (format!("{{{},{}}}", tensor("a", "[2]", 0, 8), tensor("b", "[2]", 4, 12)), 12),
            (format!("{{{},{}}}", tensor("a", "[2]", 0, 8), tensor("b", "[2]", 12, 20)), 20),
            (format!("{{{}}}", tensor("a", "[3]", 0, 8)), 8),
            (format!("{{{}}}", tensor("a", "[4294967296,4294967296,4294967296]", 0, 8)), 8),
            (format!("{{{}}}", tensor("a", "[18446744073709551616]", 0, 8)), 8),
            (format!("{{{}}}", tensor("a", "[-1]", 0, 8)), 8),
            (format!("{{{}}}", tensor("a", "[2]", 8, 0)), 8),
            (r#"{"a":{"dtype":"F7","shape":[1],"data_offsets":[0,4]}}"#.to_string(), 4),
            (format!("{{\"a\":{}", "[".repeat(100_000)), 0),
        ] {
            let text = said(&header, data);
            assert!(text.contains("a.safetensors: its safetensors header is wrong: "), "{text}");
            assert!(!text.contains('\n') && text.len() < 400, "{text}");
        }
    }

    #[test]
    fn the_file_is_as_long_as_its_header_says() {
        let header = format!("{{{}}}", tensor("a", "[2]", 0, 8));
        for data in [7, 9, 100 << 30] {
            let text = said(&header, data);
            assert!(
                text.contains("no whole safetensors file") && text.contains("should have 8 bytes"),
                "{text}"
            );
        }
    }

    #[test]
    fn lengths_that_no_header_has_are_refused_before_anything_is_read() {
        let whole = 1 << 40;
        let begins = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
        let length_of = |beginning: &[u8], whole| header_length(beginning, whole, Path::new("a"));
        assert_eq!(length_of(&begins(2), whole).unwrap(), 2);
        for length in [0, 1, LONGEST_HEADER + 1, 1 << 30, whole - 7, 1 << 63, u64::MAX] {
            assert!(length_of(&begins(length), whole).is_err(), "{length}");
        }
        let error = length_of(&begins(LONGEST_HEADER + 1), whole).unwrap_err();
        assert!(matches!(error, ModelFileError::LongHeader { length: 4_194_305, .. }), "{error}");
        assert!(length_of(b"1234567", 7).is_err());
        assert!(length_of(&2u64.to_le_bytes(), 10).is_err());
    }

    #[test]
    fn names_are_shown_on_one_line_and_cut() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(shown(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
    }
}
