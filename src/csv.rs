//! Lines of CSV (RFC 4180) for programs and spreadsheets alike. Numbers stay numbers. A text never becomes a formula when
//! a spreadsheet opens the file: class names and paths come from outside.

use std::fmt::Display;

/// Text that begins with one of these is a formula to some spreadsheet; the last four are their full-width forms.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
/// Stands before such a text, as spreadsheets themselves mark a cell as text.
const AS_TEXT: char = '\'';
/// Characters that only stand in a quoted cell.
const QUOTED: [char; 6] = [',', ';', '"', '\n', '\r', '\t'];

/// One cell, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell(String);

/// What is written as it is: numbers and truth values.
pub trait Plain: Display {}

macro_rules! plain {
    ($($kind:ty),*) => { $(impl Plain for $kind {})* };
}
plain!(f32, f64, u16, u32, u64, usize, i64, bool);

impl Cell {
    /// A text of any origin.
    pub fn text(text: &str) -> Self {
        let text = match text.starts_with(FORMULA) {
            true => format!("{AS_TEXT}{text}"),
            false => text.to_string(),
        };
        let spaced = text.trim() != text;
        match spaced || text.contains(QUOTED) {
            true => Self(format!("\"{}\"", text.replace('"', "\"\""))),
            false => Self(text),
        }
    }

    /// A number or a truth value.
    pub fn number(value: impl Plain) -> Self {
        Self(value.to_string())
    }

    /// A number, or an empty cell.
    pub fn optional(value: Option<impl Plain>) -> Self {
        value.map_or_else(Self::empty, Self::number)
    }

    /// A cell without a value.
    pub fn empty() -> Self {
        Self(String::new())
    }
}

/// One line with its end.
pub fn line(cells: impl IntoIterator<Item = Cell>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.0).collect();
    cells.join(",") + "\n"
}

/// The first line of a file: names of columns.
pub fn head<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    line(names.into_iter().map(Cell::text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_it_must_be() {
        let texts = ["cat", "cat, small", "a \"b\"", "two\nlines", " spaced", ""];
        assert_eq!(
            line(texts.map(Cell::text)),
            "cat,\"cat, small\",\"a \"\"b\"\"\",\"two\nlines\",\" spaced\",\n"
        );
    }

    #[test]
    fn a_text_is_never_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"] {
            let written = line([Cell::text(text)]);
            assert!(written.trim_start_matches('"').starts_with('\''), "{written:?}");
        }
        assert_eq!(line([Cell::text("=HYPERLINK(\"x\",\"y\")")]), "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"\n");
        assert_eq!(line([Cell::text("a=b"), Cell::text("non-stop")]), "a=b,non-stop\n");
    }

    #[test]
    fn numbers_stay_numbers() {
        let none: Option<f64> = None;
        let cells = [Cell::number(-0.5_f32), Cell::number(7_usize), Cell::number(true), Cell::optional(none)];
        assert_eq!(line(cells), "-0.5,7,true,\n");
        assert_eq!(Cell::optional(Some(0.1_f32)), Cell::number(0.1_f32));
    }
}
