//! Safetensors files that the program writes: one metadata entry with the checksum of the file and the facts.
//!
//! The entry's text is the checksum, a space, and the facts as one sealed line of JSON. The line has a checksum of its own, so
//! that the facts can be believed where only the header of a large file is read.

use super::container::LONGEST_HEADER;
use super::file::{NamedTensor, TypedTensor, typed, typed_to_bytes};
use crate::files;
use crate::integrity::{self, EMPTY_SEAL, Seal, Unreadable};
use crate::memory::{self, OutOfMemory};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;

/// What the keys of all our metadata begin with.
const OURS: &str = "pgn-wgpu";
/// Bytes of what a header says of a tensor, beside its name.
const LONGEST_ENTRY: usize = 200;

/// The metadata of a file with `facts` under `key`; [`seal`] completes it.
pub fn metadata(key: &str, facts: &impl Serialize) -> HashMap<String, String> {
    HashMap::from([(key.to_string(), format!("{EMPTY_SEAL} {}", integrity::to_line(facts)))])
}

/// Fills in the checksum of a file whose metadata are those of [`metadata`].
pub fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    integrity::seal(&mut bytes);
    bytes
}

/// Why a file cannot be made that is to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritable {
    /// There is no memory for it.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// Its header is longer than any that is read.
    #[error("its header would have {length} bytes, and no header of more than {most} is read; take a network with fewer layers or classes with shorter names", most = LONGEST_HEADER)]
    LongHeader {
        /// Bytes of the header.
        length: u64,
    },
}

/// The bytes of a sealed file of `tensors` that is read again: a model or a checkpoint.
///
/// # Errors
/// If there is no memory for them, or its header says more than is read.
pub fn readable_file_of(
    tensors: &[NamedTensor],
    key: &str,
    facts: &impl Serialize,
) -> Result<Vec<u8>, Unwritable> {
    let bytes = file_of(tensors, key, facts)?;
    match bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length)) {
        length if length > LONGEST_HEADER => Err(Unwritable::LongHeader { length }),
        _ => Ok(bytes),
    }
}

/// The bytes of a sealed file of `tensors`.
///
/// # Errors
/// If there is no memory for them.
pub fn file_of(tensors: &[NamedTensor], key: &str, facts: &impl Serialize) -> Result<Vec<u8>, OutOfMemory> {
    file_of_typed(&typed(tensors), key, facts)
}

/// The same of tensors of any types.
///
/// # Errors
/// If there is no memory for them.
pub fn file_of_typed(
    tensors: &[TypedTensor<'_>],
    key: &str,
    facts: &impl Serialize,
) -> Result<Vec<u8>, OutOfMemory> {
    let metadata = metadata(key, facts);
    let text: usize = metadata.iter().map(|(key, value)| key.len() + 2 * value.len()).sum();
    let described: usize = tensors.iter().map(|(name, ..)| name.len() + LONGEST_ENTRY).sum();
    let values: usize = tensors.iter().map(|(.., bytes)| bytes.len()).sum();
    // The serialiser takes the memory by itself and would end the process where there is none.
    memory::with_room::<u8>(values + 2 * (text + described))?;
    Ok(seal(typed_to_bytes(tensors, metadata)))
}

/// Where a file's metadata come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program wrote it, and its checksum fits: the entry of `metadata` under the key asked for, if it has one.
    Ours(Option<String>),
    /// Another program wrote it; damage cannot be seen.
    Foreign,
}

/// What `seal` says of a file with these metadata, and the entry under `key`.
///
/// # Errors
/// If the checksum does not fit, or is absent although the metadata are ours.
pub fn origin(seal: Seal, metadata: &HashMap<String, String>, key: &str) -> Result<Origin, Unreadable> {
    let ours = metadata.keys().any(|key| key.starts_with(OURS));
    match seal {
        Seal::Whole => Ok(Origin::Ours(metadata.get(key).cloned())),
        Seal::Damaged => Err(Unreadable::Damaged),
        Seal::Absent if ours => Err(Unreadable::Unsealed),
        Seal::Absent => Ok(Origin::Foreign),
    }
}

/// The facts in an entry of the metadata, checked by the entry's own checksum.
///
/// # Errors
/// If that does not fit, or the facts are of another type.
pub fn facts<T: DeserializeOwned>(entry: &str) -> Result<T, Unreadable> {
    let (_, line) = entry.split_once(' ').ok_or(Unreadable::Unsealed)?;
    let text = integrity::from_line(line).ok_or(Unreadable::Damaged)?;
    serde_json::from_str(&text).map_err(|e| Unreadable::Content(files::foreign(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::container::Container;
    use crate::models::file::to_bytes;

    const KEY: &str = "pgn-wgpu.test";

    fn read(bytes: &[u8]) -> Result<Origin, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, bytes).unwrap();
        let mut container = Container::open(&path).map_err(|e| e.to_string())?;
        container.origin(KEY).map_err(|e| e.to_string())
    }

    fn example() -> Vec<u8> {
        file_of(&[("a".to_string(), vec![2], vec![1.0, 2.0])], KEY, &HashMap::from([("name", "\"cat\"")]))
            .unwrap()
    }

    #[test]
    fn facts_come_back_and_every_single_bit_is_protected() {
        let bytes = example();
        let Ok(Origin::Ours(Some(entry))) = read(&bytes) else { panic!("not ours") };
        assert_eq!(facts::<HashMap<String, String>>(&entry).unwrap()["name"], "\"cat\"");
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_err(), "bit {bit} is taken without a word");
        }
    }

    #[test]
    fn a_file_is_made_only_if_its_header_can_be_read_again() {
        let of = |letters: u64| {
            let facts = HashMap::from([("name", "x".repeat(letters as usize))]);
            readable_file_of(&[("a".to_string(), vec![1], vec![1.0])], KEY, &facts)
        };
        assert!(matches!(read(&of(LONGEST_HEADER - 1000).unwrap()), Ok(Origin::Ours(Some(_)))));
        assert!(matches!(of(LONGEST_HEADER), Err(Unwritable::LongHeader { .. })));
    }

    #[test]
    fn a_file_of_another_program_is_foreign_and_ours_without_a_checksum_is_refused() {
        let with = |metadata| to_bytes(&[("a".to_string(), vec![1], vec![1.0])], metadata);
        assert_eq!(read(&with(HashMap::new())), Ok(Origin::Foreign));
        let other = HashMap::from([("format".to_string(), "pt".to_string())]);
        assert_eq!(read(&with(other)), Ok(Origin::Foreign));
        let unsealed = HashMap::from([(KEY.to_string(), "{}".to_string())]);
        assert!(read(&with(unsealed)).unwrap_err().contains("no checksum"));
    }
}
