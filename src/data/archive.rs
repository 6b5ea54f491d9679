//! A tar archive, packed or not, of which a few members are read. What an archive says of itself is not trusted: names,
//! members and the whole of it have bounds, and nothing beyond them is kept in memory.

use super::{DataError, file};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

/// Members of an archive. The official ones have eight.
const MOST_MEMBERS: usize = 10_000;

/// Bytes of a header that tells a long name. Paths have at most 4 KiB.
const MOST_NAME: u64 = 64 << 10;

/// Members by the last part of their names.
pub(super) type Members = BTreeMap<String, Vec<u8>>;

/// The members of the archive at `path` whose names are `wanted`. All members together may have `most` bytes.
pub(super) fn read(path: &Path, wanted: impl Fn(&str) -> bool, most: u64) -> Result<Members, DataError> {
    let content =
        file::content(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    if content.file_len == 0 {
        return Err(DataError::EmptyFile { path: path.to_path_buf() });
    }
    let mut archive = tar::Archive::new(content.reader.take(most));
    let read = members(&mut archive, wanted);
    let mut rest = archive.into_inner();
    // To its very end, where gzip's checksum stands.
    let read = read.and_then(|members| io::copy(&mut rest, &mut io::sink()).map(|_| members));
    if rest.limit() == 0 {
        let (packed, path) = (content.file_len, path.to_path_buf());
        return Err(DataError::ArchiveSize { path, packed, most });
    }
    read.map_err(|source| DataError::Compressed { path: path.to_path_buf(), source })
}

fn members<R: Read>(archive: &mut tar::Archive<R>, wanted: impl Fn(&str) -> bool) -> io::Result<Members> {
    let (mut members, mut long_name) = (Members::new(), None);
    // Raw, because otherwise headers with long names are read into memory whatever their length.
    for (count, entry) in archive.entries()?.raw(true).enumerate() {
        if count == MOST_MEMBERS {
            return Err(io::Error::other(format!("it has more than {MOST_MEMBERS} members")));
        }
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let text = name_header(&mut entry)?;
            if kind.is_gnu_longname() {
                long_name = Some(String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned());
            } else if let Some(path) = pax_path(&text) {
                long_name = Some(path);
            }
            continue;
        }
        let own_name = || String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = long_name.take().unwrap_or_else(own_name);
        let name = path.rsplit('/').next().unwrap_or_default();
        if kind.is_file() && wanted(name) {
            let size = entry.size();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            // A cut archive ends a member early without an error of its own.
            if bytes.len() as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            members.insert(name.to_owned(), bytes);
        }
    }
    Ok(members)
}

/// The content of a header that names the member after it.
fn name_header(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let text = file::at_most(entry, MOST_NAME + 1)?;
    if text.len() as u64 > MOST_NAME {
        return Err(io::Error::other(format!("a member's name has more than {MOST_NAME} bytes")));
    }
    Ok(text)
}

fn pax_path(text: &[u8]) -> Option<String> {
    let path = tar::PaxExtensions::new(text).flatten().find(|extension| extension.key_bytes() == b"path")?;
    Some(String::from_utf8_lossy(path.value_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    /// An archive with one header of `kind` and then a wanted member.
    fn archive(kind: tar::EntryType, body: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, body) in [(kind, "odd", body), (tar::EntryType::Regular, "short", &b"content"[..])] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(body.len() as u64);
            header.set_path(name).expect("short");
            header.set_cksum();
            builder.append(&header, body).expect("appended");
        }
        builder.into_inner().expect("in memory")
    }

    fn read_bytes(bytes: &[u8], most: u64) -> Result<Members, DataError> {
        let dir = tempfile::tempdir().expect("scratch folder");
        let path = dir.path().join("a.tar");
        std::fs::write(&path, bytes).expect("written");
        read(&path, |name| name == "wanted" || name == "short", most)
    }

    fn sentence(bytes: &[u8]) -> String {
        read_bytes(bytes, 1 << 20).expect_err("the archive is wrong").to_string()
    }

    #[test]
    fn a_long_name_names_the_member_after_it_in_both_ways_of_writing() {
        let gnu = archive(tar::EntryType::GNULongName, b"deep/down/wanted\0");
        let pax = archive(tar::EntryType::XHeader, b"25 path=deep/down/wanted\n");
        for bytes in [gnu, pax] {
            let members = read_bytes(&bytes, 1 << 20).expect("readable");
            assert_eq!(members.get("wanted").map(Vec::as_slice), Some(&b"content"[..]), "{members:?}");
        }
    }

    #[test]
    fn a_name_without_end_is_not_read_into_memory() {
        for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
            let text = sentence(&archive(kind, &vec![b'a'; 70_000]));
            assert!(text.contains("a.tar") && text.contains("name has more than 65536 bytes"), "{text}");
        }
    }

    #[test]
    fn an_archive_that_unpacks_to_too_much_is_refused_although_its_members_are_not_wanted() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&archive(tar::EntryType::Regular, &vec![0; 3 << 20])).expect("packed");
        let text = sentence(&packer.finish().expect("packed"));
        assert!(text.contains("a.tar") && text.contains("1 MiB"), "{text}");
    }

    #[test]
    fn members_that_are_no_files_are_not_read() {
        let members = read_bytes(&archive(tar::EntryType::Symlink, b""), 1 << 20).expect("readable");
        assert_eq!(members.keys().collect::<Vec<_>>(), ["short"]);
    }
}
