//! What of a folder was not read, and why, in one line: a set must not shrink unnoticed.

use super::classes::some_of;
use super::labels;
use std::collections::BTreeMap;

/// Counts of the files of an image folder. Hidden ones are none of its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Images that are read.
    pub(super) read: usize,
    /// In folders within a class folder.
    pub(super) nested: usize,
    /// Of other formats, by ending.
    pub(super) formats: BTreeMap<String, usize>,
    /// Links to nothing.
    pub(super) broken_links: usize,
    /// Pipes, sockets and devices, and empty folders with the name of an image.
    pub(super) special: usize,
    /// Beside the class folders.
    pub(super) outside: usize,
    /// Images that a `labels.csv` does not name.
    pub(super) unnamed: usize,
    /// Folders beside train and test, by name. Their files are not counted.
    pub(super) folders: Vec<String>,
}

impl Tally {
    /// One line about what was skipped, if anything was.
    pub(super) fn line(&self) -> Option<String> {
        let formats: usize = self.formats.values().sum();
        let endings: Vec<String> = self.formats.keys().cloned().collect();
        let counts = [
            (self.nested, "in nested folders".to_owned()),
            (formats, format!("of unsupported formats ({})", some_of(&endings))),
            (self.outside, "outside of the class folders".to_owned()),
            (self.unnamed, format!("not named by {}", labels::NAME)),
            (
                self.broken_links,
                if self.broken_links == 1 { "broken link" } else { "broken links" }.to_owned(),
            ),
            (self.special, "no regular files".to_owned()),
        ];
        let skipped: usize = counts.iter().map(|(count, _)| count).sum();
        let reasons: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, reason)| format!("{count} {reason}"))
            .collect();
        let files = format!("skipped {skipped} of {} files: {}", skipped + self.read, reasons.join(", "));
        let folders = format!("skipped the folders beside train and test: {}", some_of(&self.folders));
        match (skipped > 0, self.folders.is_empty()) {
            (true, true) => Some(files),
            (true, false) => Some(format!("{files}; {folders}")),
            (false, false) => Some(folders),
            (false, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_count_and_nothing_skipped_says_nothing() {
        assert_eq!(Tally { read: 7, ..Tally::default() }.line(), None);
        let formats = BTreeMap::from([(".heic".to_owned(), 1), (".svg".to_owned(), 2)]);
        let tally = Tally { read: 24, nested: 5, formats, broken_links: 1, ..Tally::default() };
        let expected = "skipped 9 of 33 files: 5 in nested folders, 3 of unsupported formats (.heic, .svg), 1 broken link";
        assert_eq!(tally.line().as_deref(), Some(expected));
        let folders = Tally { folders: vec!["extra".to_owned()], ..Tally::default() };
        assert_eq!(folders.line().as_deref(), Some("skipped the folders beside train and test: extra"));
    }
}
