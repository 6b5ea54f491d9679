//! `labels.csv`: which image file is of which class. Its first line is `file,class`, every other line an image: its path
//! from the folder of `labels.csv` on, with `/` between folders, and its class. A value may stand in quotes, in which `""`
//! is one quote.

use super::DataError;
use super::classes::normal;
use crate::files;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The name of the file.
pub(super) const NAME: &str = "labels.csv";

/// Its first line.
const HEAD: [&str; 2] = ["file", "class"];

/// Bytes of the largest file that is read.
const LARGEST: u64 = 256 << 20;

/// The images in the order of their lines, with their classes.
///
/// # Errors
/// A sentence with the line if it is no such line, or names a file that an earlier line has named.
pub(super) fn read(path: &Path) -> Result<Vec<(PathBuf, String)>, DataError> {
    let bytes = files::bytes_of(path, LARGEST)
        .map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let wrong = |line: usize, problem: String| DataError::Line { path: path.to_path_buf(), line, problem };
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        wrong(line, "this is no UTF-8 text; save the file as UTF-8".to_owned())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.lines().zip(1..);
    let head = lines.next().map_or("", |(line, _)| line);
    if values(head).as_deref() != Some(&HEAD.map(str::to_owned)) {
        return Err(wrong(
            1,
            format!("the file begins with {head:?}; its first line must be \"file,class\""),
        ));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut images, mut seen) = (Vec::new(), BTreeMap::new());
    for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        let [file, class] =
            values(line).and_then(|values| <[String; 2]>::try_from(values).ok()).ok_or_else(|| {
                wrong(number, format!("{line:?} is not a file and a class with a comma between them"))
            })?;
        if file.is_empty() || class.trim().is_empty() {
            return Err(wrong(number, format!("{line:?} lacks the file or the class")));
        }
        if !Path::new(&file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(wrong(
                number,
                format!("{file:?} leads out of {}; name files in it", folder.display()),
            ));
        }
        // `./a.png` is `a.png`.
        let plain: PathBuf =
            Path::new(&file).components().filter(|part| *part != Component::CurDir).collect();
        if let Some(before) = seen.insert(plain, number) {
            return Err(wrong(
                number,
                format!("{file:?} stands in line {before} already; keep one of the two"),
            ));
        }
        images.push((folder.join(file), normal(class.trim())));
    }
    if images.is_empty() {
        return Err(wrong(1, "no image follows; add a line for each".to_owned()));
    }
    Ok(images)
}

/// The distinct classes, in the order of their numbers where all are whole numbers, else in that of their names.
pub(super) fn distinct<'a>(classes: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut all: Vec<&String> = classes.collect();
    all.sort_unstable();
    all.dedup();
    let numbers: Option<Vec<i64>> = all.iter().map(|class| class.parse().ok()).collect();
    if let Some(numbers) = numbers {
        let mut pairs: Vec<(i64, &String)> = numbers.into_iter().zip(all).collect();
        pairs.sort_unstable();
        return pairs.into_iter().map(|(_, class)| class.clone()).collect();
    }
    all.into_iter().cloned().collect()
}

/// The values of a line; `None` if a quote is not closed or stands within a value.
fn values(line: &str) -> Option<Vec<String>> {
    let (mut values, mut rest) = (Vec::new(), line);
    loop {
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        values.push(value);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return after.is_empty().then_some(values),
        }
    }
}

/// A value whose first quote has been read, and what follows its last.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let (mut value, mut rest) = (String::new(), text);
    loop {
        let (before, after) = rest.split_once('"')?;
        value += before;
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(String, String)>, String> {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join(NAME);
        std::fs::write(&path, text).expect("written");
        let name = |path: PathBuf| path.strip_prefix(folder.path()).expect("inside").display().to_string();
        let read = read(&path).map_err(|error| error.to_string())?;
        Ok(read.into_iter().map(|(path, class)| (name(path), class)).collect())
    }

    #[test]
    fn files_and_classes_come_in_the_order_of_their_lines() {
        let text = "\u{feff}file,class\r\nb.png,dog\r\n\r\n\"in/a, \"\"b\"\".png\",\"cat, small\"\n";
        let found = read_text(text).unwrap();
        let expected = [("b.png", "dog"), ("in/a, \"b\".png", "cat, small")];
        assert_eq!(found, expected.map(|(file, class)| (file.to_owned(), class.to_owned())));
    }

    #[test]
    fn a_line_that_is_none_is_refused_with_its_number() {
        for (text, parts) in [
            ("", &["line 1", "file,class"][..]),
            ("name,label\na,b", &["line 1", "\"name,label\""]),
            ("file,class\n", &["line 1", "no image follows"]),
            ("file,class\na.png,x\nb.png", &["line 3", "\"b.png\"", "comma"]),
            ("file,class\na.png,x,y", &["line 2"]),
            ("file,class\n\"a.png,x", &["line 2"]),
            ("file,class\na.png, ", &["line 2", "lacks"]),
            ("file,class\n../a.png,x", &["line 2", "leads out"]),
            ("file,class\n/etc/a.png,x", &["line 2", "leads out"]),
            ("file,class\na.png,x\n\na.png,y", &["line 4", "line 2"]),
            ("file,class\na.png,x\n./a.png,y", &["line 3", "line 2"]),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{text:?}: {error}");
        }
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join(NAME);
        std::fs::write(&path, b"file,class\na.png,\xff").expect("written");
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn numbers_are_in_the_order_of_numbers_and_names_in_that_of_names() {
        let of =
            |text: &str| distinct(text.split(' ').map(str::to_owned).collect::<Vec<_>>().iter()).join(" ");
        assert_eq!(of("10 9 2 9"), "2 9 10");
        assert_eq!(of("10 9 b 9"), "10 9 b");
    }
}
