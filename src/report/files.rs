//! A report as files: `report.html` on its own, and beside it all that it says as `report.json`, every figure as SVG, PNG
//! and CSV, every table as CSV and JSON, every picture as PNG. Each is written whole or not at all; the page comes last.

use super::earlier::{Earlier, Origin, ReportError};
use super::html;
use super::page::{Block, Cell, Figure, Page, Table};
use super::palette::Palette;
use super::{png, svg};
use crate::csv;
use crate::files::{self, FileError, file_error};
use serde::Serialize;
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

/// Writes the report into `folder`, which is made if need be, and returns the path of the page. Files of an earlier
/// report are renewed, or removed if they are not among the new ones. `force` replaces others of the same names too.
///
/// # Errors
/// If a file cannot be written or, without `force`, is somebody else's; then nothing has been written.
pub fn write(page: &Page, folder: &Path, origin: &Origin, force: bool) -> Result<PathBuf, ReportError> {
    let earlier = Earlier::find(folder);
    let mut outputs = outputs(page, folder)?;
    let mut files: Vec<PathBuf> = outputs.iter().map(|(file, _)| file.clone()).collect();
    files.extend(["report.json", "report.html"].map(PathBuf::from));
    if !force {
        files.iter().try_for_each(|file| earlier.check_file(folder, file))?;
    }
    earlier.remove_stale(folder, &files)?;
    let written = Earlier { origin: origin.clone(), files };
    let mut json =
        serde_json::to_string_pretty(&Json { page, written: &written }).expect("pages are plain values");
    json.push('\n');
    // First, so that whatever is written after it is known to be the report's.
    outputs.insert(0, (PathBuf::from("report.json"), json.into_bytes()));
    outputs.push((PathBuf::from("report.html"), html::page(page).into_bytes()));
    for (file, bytes) in outputs {
        let path = folder.join(file);
        files::create_folder(path.parent().unwrap_or(folder))?;
        files::write(&path, &bytes)?;
    }
    Ok(folder.join("report.html"))
}

/// `report.json`: the page, and what belongs to it.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    page: &'a Page,
    written: &'a Earlier,
}

/// A file's place below the folder, and what it says.
type Output = (PathBuf, Vec<u8>);

/// Every figure, table and picture as files.
fn outputs(page: &Page, folder: &Path) -> Result<Vec<Output>, FileError> {
    let palette = palette(page);
    let (mut figures, mut tables, mut pictures) = (Names::default(), Names::default(), Names::default());
    let mut all = Vec::new();
    for block in page.sections.iter().flat_map(|section| &section.blocks) {
        match block {
            Block::Figure(figure) => {
                all.extend(of_figure(figure, &palette, folder, &figures.unique(&figure.id))?);
            }
            Block::Table(table) | Block::Folded(table) => {
                all.extend(of_table(table, &tables.unique(&table.id)));
            }
            Block::Picture(picture) => {
                let file = format!("{}.png", pictures.unique(&picture.id));
                all.push((Path::new("pictures").join(file), picture.png.clone()));
            }
            Block::Notes(_) | Block::Facts { .. } => {}
        }
    }
    Ok(all)
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

fn of_figure(figure: &Figure, palette: &Palette, folder: &Path, id: &str) -> Result<[Output; 3], FileError> {
    let drawing = svg::draw(figure, palette, id, svg::Place::File);
    let file = |ending: &str| Path::new("figures").join(format!("{id}.{ending}"));
    let picture = png::rasterise(&drawing).map_err(file_error("draw", &folder.join(file("png"))))?;
    Ok([
        (file("svg"), drawing.into_bytes()),
        (file("png"), picture),
        (file("csv"), points_csv(figure).into_bytes()),
    ])
}

fn of_table(table: &Table, id: &str) -> [Output; 2] {
    let mut json = serde_json::to_string_pretty(table).expect("tables are plain values");
    json.push('\n');
    let file = |ending: &str| Path::new("tables").join(format!("{id}.{ending}"));
    [(file("csv"), table_csv(table).into_bytes()), (file("json"), json.into_bytes())]
}

/// One line per point; a spread that a point has not is empty.
fn points_csv(figure: &Figure) -> String {
    let mut text = csv::head(["series", "x", "y", "x_low", "x_high", "y_low", "y_high", "label"]);
    for series in &figure.series {
        for point in &series.points {
            let ends = |spread: Option<[f64; 2]>| {
                [0, 1].map(|end| csv::Cell::optional(spread.map(|spread| spread[end])))
            };
            let mut cells =
                vec![csv::Cell::text(&series.name), csv::Cell::number(point.x), csv::Cell::number(point.y)];
            cells.extend(ends(point.x_spread));
            cells.extend(ends(point.y_spread));
            cells.push(csv::Cell::text(&point.label));
            text += &csv::line(cells);
        }
    }
    text
}

/// Numbers in full, words as shown, nothing where something is missing.
fn table_csv(table: &Table) -> String {
    let cell = |cell: &Cell| cell.value.map_or_else(|| csv::Cell::text(&cell.text), csv::Cell::number);
    let head = csv::head(table.head.iter().map(String::as_str));
    table.rows.iter().fold(head, |text, row| text + &csv::line(row.iter().map(cell)))
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
    fn a_table_as_csv_has_numbers_in_full_no_formulas_and_nothing_for_what_is_missing() {
        let table = Table {
            head: vec!["a,b".into(), "value".into()],
            rows: vec![
                vec![Cell::text("x \"y\""), Cell::number(1.0 / 3.0, 2)],
                vec![Cell::text("=z()"), Cell::missing("no attack was run")],
            ],
            ..Table::default()
        };
        assert_eq!(table_csv(&table), "\"a,b\",value\n\"x \"\"y\"\"\",0.3333333333333333\n'=z(),\n");
    }
}
