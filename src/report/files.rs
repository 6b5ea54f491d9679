//! A report as files: `report.html` on its own, and beside it all that it says as `report.json`, every figure as SVG, PNG and CSV, every table as CSV and
//! JSON, every picture as PNG. Each is written whole or not at all; the page comes last.

use super::html;
use super::page::{Block, Cell, Figure, Page, Picture, Table};
use super::palette::Palette;
use super::{png, svg};
use crate::evaluation::report::csv_field;
use crate::files::{self, FileError, file_error};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Names that are handed out once.
#[derive(Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// `wanted` as lower case, digits and hyphens, numbered if that was taken.
    pub fn unique(&mut self, wanted: &str) -> String {
        let mut slug = String::new();
        for c in wanted.chars() {
            match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() => slug.push(c),
                _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
                _ => {}
            }
        }
        let slug = match slug.trim_end_matches('-') {
            "" => "unnamed".to_string(),
            slug => slug.to_string(),
        };
        let numbered = (1..).map(|i| if i == 1 { slug.clone() } else { format!("{slug}-{i}") });
        let name = numbered.into_iter().find(|name| !self.0.contains(name)).expect("numbers do not end");
        self.0.insert(name.clone());
        name
    }
}

/// The page in a folder: where it will be.
pub fn page_in(folder: &Path) -> PathBuf {
    folder.join("report.html")
}

/// Writes the report into `folder`, which is made if need be, and returns the path of the page. Files of the same
/// names are replaced, others stay.
pub fn write(page: &Page, folder: &Path) -> Result<PathBuf, FileError> {
    let palette = palette(page);
    let (mut figures, mut tables, mut pictures) = (Names::default(), Names::default(), Names::default());
    for block in page.sections.iter().flat_map(|section| &section.blocks) {
        match block {
            Block::Figure(figure) => {
                write_figure(figure, &palette, &folder.join("figures"), &figures.unique(&figure.id))?;
            }
            Block::Table(table) => {
                write_table(table, &folder.join("tables"), &tables.unique(&table.id))?;
            }
            Block::Picture(picture) => {
                write_picture(picture, &folder.join("pictures"), &pictures.unique(&picture.id))?;
            }
            Block::Notes(_) | Block::Facts { .. } => {}
        }
    }
    files::create_folder(folder)?;
    let mut json = serde_json::to_string_pretty(page).expect("pages are plain values");
    json.push('\n');
    files::write(&folder.join("report.json"), json.as_bytes())?;
    let path = page_in(folder);
    files::write(&path, html::page(page).as_bytes())?;
    Ok(path)
}

/// One look for all figures of a page.
pub(super) fn palette(page: &Page) -> Palette {
    let blocks = page.sections.iter().flat_map(|section| &section.blocks);
    let figures: Vec<&Figure> = blocks
        .filter_map(|block| match block {
            Block::Figure(figure) => Some(figure),
            _ => None,
        })
        .collect();
    Palette::new(&figures)
}

fn write_figure(figure: &Figure, palette: &Palette, folder: &Path, id: &str) -> Result<(), FileError> {
    files::create_folder(folder)?;
    let drawing = svg::draw(figure, palette, id, svg::Place::File);
    files::write(&folder.join(format!("{id}.svg")), drawing.as_bytes())?;
    let path = folder.join(format!("{id}.png"));
    let picture = png::rasterise(&drawing).map_err(file_error("draw", &path))?;
    files::write(&path, &picture)?;
    files::write(&folder.join(format!("{id}.csv")), points_csv(figure).as_bytes())
}

fn write_table(table: &Table, folder: &Path, id: &str) -> Result<(), FileError> {
    files::create_folder(folder)?;
    files::write(&folder.join(format!("{id}.csv")), table_csv(table).as_bytes())?;
    let mut json = serde_json::to_string_pretty(table).expect("tables are plain values");
    json.push('\n');
    files::write(&folder.join(format!("{id}.json")), json.as_bytes())
}

fn write_picture(picture: &Picture, folder: &Path, id: &str) -> Result<(), FileError> {
    files::create_folder(folder)?;
    files::write(&folder.join(format!("{id}.png")), &picture.png)
}

/// One line per point; a spread that a point has not is empty.
fn points_csv(figure: &Figure) -> String {
    let mut text = String::from("series,x,y,x_low,x_high,y_low,y_high,label\n");
    for series in &figure.series {
        for point in &series.points {
            let spread = |ends: Option<[f64; 2]>| {
                ends.map_or_else(|| ",".to_string(), |[low, high]| format!("{low},{high}"))
            };
            text += &format!(
                "{},{},{},{},{},{}\n",
                csv_field(&series.name),
                point.x,
                point.y,
                spread(point.x_spread),
                spread(point.y_spread),
                csv_field(&point.label)
            );
        }
    }
    text
}

/// Numbers in full, words as shown, nothing where something is missing.
fn table_csv(table: &Table) -> String {
    let line = |fields: Vec<String>| fields.join(",") + "\n";
    let field = |cell: &Cell| cell.value.map_or_else(|| csv_field(&cell.text), |value| value.to_string());
    let head = line(table.head.iter().map(|name| csv_field(name)).collect());
    table.rows.iter().fold(head, |text, row| text + &line(row.iter().map(field).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_and_never_taken_twice() {
        let mut names = Names::default();
        let given = ["C&W: mean/L2", "c-w-mean-l2", "../../etc", "‖δ‖", ""].map(|name| names.unique(name));
        assert_eq!(given, ["c-w-mean-l2", "c-w-mean-l2-2", "etc", "unnamed", "unnamed-2"]);
    }

    #[test]
    fn a_table_as_csv_has_numbers_in_full_and_nothing_for_what_is_missing() {
        let table = Table {
            head: vec!["a,b".into(), "value".into()],
            rows: vec![
                vec![Cell::text("x \"y\""), Cell::number(1.0 / 3.0, 2)],
                vec![Cell::text("z"), Cell::missing("no attack was run")],
            ],
            ..Table::default()
        };
        assert_eq!(table_csv(&table), "\"a,b\",value\n\"x \"\"y\"\"\",0.3333333333333333\nz,\n");
    }
}
