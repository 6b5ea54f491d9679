//! A class index: which folder is which class, and in which order a model has the classes. A folder of few of `ImageNet`'s
//! classes then has the numbers that a model of all of them gives.
//!
//! Two forms are read. JSON as Keras and torchvision spread it, `{"0": ["n01440764", "tench"], …}`, with a number from 0 on
//! for every class, its folder and its name. And text as `ImageNet`'s own `LOC_synset_mapping.txt`: a line per class in their
//! order, the folder first, then perhaps a space and the name.

use super::classes::normal;
use super::{CLASSES, DataError};
use crate::files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes of the largest file that is read.
const LARGEST: u64 = 1 << 20;

/// The classes in their order.
#[derive(Debug)]
pub(super) struct ClassIndex {
    /// The file.
    pub(super) path: PathBuf,
    /// The folder of each class.
    folders: Vec<String>,
    /// The name of each class.
    pub(super) names: Vec<String>,
}

impl ClassIndex {
    /// Reads either form; the first character tells which.
    ///
    /// # Errors
    /// If the file is neither, a number is missing, or a folder stands for two classes.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.to_path_buf(), source };
        let wrong = |problem: String| DataError::ClassIndex { path: path.to_path_buf(), problem };
        let bytes = files::bytes_of(path, LARGEST).map_err(unreadable)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| wrong("this is no UTF-8 text; save it as UTF-8".to_owned()))?;
        let text = text.trim_start_matches('\u{feff}').trim();
        let classes = if text.starts_with('{') { of_json(text) } else { of_lines(text) }.map_err(wrong)?;
        if !CLASSES.contains(&classes.len()) {
            let (found, least, most) = (classes.len(), CLASSES.start(), CLASSES.end());
            return Err(wrong(format!("it has {found} classes; from {least} to {most} are possible")));
        }
        let (folders, names): (Vec<String>, Vec<String>) =
            classes.into_iter().map(|(folder, name)| (normal(&folder), normal(&name))).unzip();
        if let Some(twice) = (1..folders.len()).find(|&i| folders[..i].contains(&folders[i])) {
            return Err(wrong(format!("the folder {:?} stands for two classes; keep one", folders[twice])));
        }
        Ok(Self { path: path.to_path_buf(), folders, names })
    }

    /// The number of the class that has this folder, or else the only one that has this name.
    pub(super) fn place(&self, class: &str) -> Option<usize> {
        let folder = self.folders.iter().position(|own| own == class);
        folder.or_else(|| {
            let mut named = (0..self.names.len()).filter(|&number| self.names[number] == class);
            match (named.next(), named.next()) {
                (Some(only), None) => Some(only),
                _ => None,
            }
        })
    }
}

fn of_json(text: &str) -> Result<Vec<(String, String)>, String> {
    let form = "a class index in JSON is {\"0\": [\"folder\", \"name\"], …}";
    let read: BTreeMap<String, [String; 2]> =
        serde_json::from_str(text).map_err(|error| format!("{}; {form}", files::foreign(error)))?;
    let mut classes = BTreeMap::new();
    for (key, [folder, name]) in read {
        let number: usize =
            key.parse().map_err(|_| format!("the key {key:?} is no number of a class; {form}"))?;
        if classes.insert(number, (folder, name)).is_some() {
            return Err(format!("the class {number} stands there twice; keep one"));
        }
    }
    match classes.keys().zip(0..).find(|(number, place)| *number != place) {
        Some((_, missing)) => Err(format!("the class {missing} is missing; number all classes from 0 on")),
        None => Ok(classes.into_values().collect()),
    }
}

fn of_lines(text: &str) -> Result<Vec<(String, String)>, String> {
    let class = |line: &str| {
        let line = line.trim();
        let (folder, name) = line.split_once(char::is_whitespace).unwrap_or((line, line));
        (folder.to_owned(), name.trim().to_owned())
    };
    match text.lines().position(|line| line.trim().is_empty()) {
        Some(empty) => Err(format!("line {} is empty; write one class on each", empty + 1)),
        None => Ok(text.lines().map(class).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ClassIndex, String> {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("classes");
        std::fs::write(&path, text).expect("written");
        ClassIndex::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn both_forms_give_folders_names_and_their_order() {
        let json = r#"{"1": ["n02", "crane"], "0": ["n01", "tench"], "2": ["n03", "crane"]}"#;
        let lines = "n01 tench\nn02\tcrane\r\nn03 crane\n";
        for text in [json, lines] {
            let index = read(text).unwrap();
            assert_eq!(index.names, ["tench", "crane", "crane"]);
            let places = ["n01", "n03", "tench", "n04"].map(|class| index.place(class));
            assert_eq!(places, [Some(0), Some(2), Some(0), None]);
            assert_eq!(index.place("crane"), None, "a bird or a machine");
        }
        assert_eq!(read("cat\ndog").unwrap().names, ["cat", "dog"]);
    }

    #[test]
    fn what_is_no_index_is_refused_with_the_reason() {
        for (text, part) in [
            ("", "0 classes"),
            ("only", "1 classes"),
            ("a\n\nb", "line 2 is empty"),
            ("a x\na y", "\"a\" stands for two classes"),
            (r#"{"0": ["a", "b"], "2": ["c", "d"]}"#, "class 1 is missing"),
            (r#"{"0": ["a", "b"], "00": ["c", "d"]}"#, "class 0 stands there twice"),
            (r#"{"0": ["a", "b"], "x": ["c", "d"]}"#, "\"x\" is no number"),
            (r#"{"0": "a"}"#, "in JSON is"),
            (r#"{"0": ["a", "b"]"#, "in JSON is"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let many: String = (0..1001).map(|i| format!("c{i}\n")).collect();
        assert!(read(&many).unwrap_err().contains("1001 classes"));
    }
}
