//! What a section of the page shows: figures side by side where there is room, tables that scroll within their own
//! box, pictures, warnings, and folded facts.

use super::super::files::Names;
use super::super::lettering::{escape, sentence};
use super::super::page::{Block, Cell, Figure, Note, Picture, Point, Table};
use super::super::palette::Palette;
use super::super::scale::shown;
use super::super::svg::{self, Place};
use super::facts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Of larger figures the values are not listed on the page; they are in the CSV file beside it.
const MOST_LISTED: usize = 150;

/// All blocks of a section in their order; `names` keeps ids on the page unique.
pub(super) fn all(blocks: &[Block], palette: &Palette, names: &mut Names) -> String {
    let (mut out, mut beside) = (String::new(), false);
    for block in blocks {
        let is_figure = matches!(block, Block::Figure(_));
        if is_figure != beside {
            out += if is_figure { "<div class=\"figures\">\n" } else { "</div>\n" };
            beside = is_figure;
        }
        out += &match block {
            Block::Figure(of) => figure(of, palette, &names.unique(&of.id)),
            Block::Table(of) => {
                let id = names.unique(&of.id);
                let title = format!("<h3 id=\"{id}-title\">{}</h3>", escape(&of.title));
                format!("<div class=\"table\">{title}{}</div>\n", table(of, &id))
            }
            Block::Folded(of) => {
                let id = names.unique(&of.id);
                let title = format!("<summary id=\"{id}-title\">{}</summary>", escape(&of.title));
                format!("<details class=\"table\">{title}{}</details>\n", table(of, &id))
            }
            Block::Picture(of) => picture(of),
            Block::Notes(of) => notes(of),
            Block::Facts { title, facts: of } => facts(title, of),
        };
    }
    if beside {
        out += "</div>\n";
    }
    out
}

fn figure(figure: &Figure, palette: &Palette, id: &str) -> String {
    format!(
        "<figure><h3>{}</h3>{}<figcaption>{}</figcaption>{}</figure>\n",
        escape(&figure.title),
        svg::draw(figure, palette, id, Place::Page),
        sentence(&figure.caption),
        values(figure)
    )
}

/// The values of a figure as a folded table, for who cannot see or point at it.
fn values(figure: &Figure) -> String {
    let points = figure.series.iter().map(|series| series.points.len()).sum::<usize>();
    if points == 0 || points > MOST_LISTED {
        return String::new();
    }
    let labelled = figure.series.iter().any(|series| series.points.iter().any(|p| !p.label.is_empty()));
    let number = |axis, value, spread: Option<[f64; 2]>| {
        let range = spread
            .map_or(String::new(), |[low, high]| format!(" ({} to {})", shown(axis, low), shown(axis, high)));
        format!("<td class=\"number\">{}{range}</td>", shown(axis, value))
    };
    let row = |name: &str, point: &Point| {
        let label = if labelled { format!("<td>{}</td>", escape(&point.label)) } else { String::new() };
        let (x, y) = (&figure.x, &figure.y);
        format!(
            "<tr><td>{}</td>{}{}{label}</tr>",
            escape(name),
            number(x, point.x, point.x_spread),
            number(y, point.y, point.y_spread)
        )
    };
    let series = figure.series.iter();
    let rows: String = series.flat_map(|s| s.points.iter().map(|point| row(&s.name, point))).collect();
    format!(
        "<details class=\"values\"><summary>Values</summary><div class=\"scroll\"><table><thead><tr><th>series</th>\
         <th class=\"number\">{}</th><th class=\"number\">{}</th>{}</tr></thead><tbody>{rows}</tbody></table></div></details>",
        escape(&figure.x.label),
        escape(&figure.y.label),
        if labelled { "<th>remark</th>" } else { "" }
    )
}

/// A table under a title that the page has made, whose id is `id-title`.
fn table(table: &Table, id: &str) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    let numeric: Vec<bool> = (0..table.head.len()).map(|column| is_numeric(table, column)).collect();
    let class = |column: usize| match numeric.get(column) {
        Some(true) => " class=\"number\"",
        _ => "",
    };
    let mut rows = String::new();
    for row in &table.rows {
        rows += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let content = content(cell, &mut reasons, id);
            rows += &match column {
                0 => format!("<th scope=\"row\">{content}</th>"),
                _ => format!("<td{}>{content}</td>", class(column)),
            };
        }
        rows += "</tr>\n";
    }
    let heads = table.head.iter().enumerate();
    let head: String = heads
        .map(|(column, name)| format!("<th scope=\"col\"{}>{}</th>", class(column), escape(name)))
        .collect();
    let listed = reasons.iter().enumerate();
    let notes: String = listed
        .map(|(i, reason)| format!("<li id=\"{id}-note-{}\">{}</li>", i + 1, sentence(reason)))
        .collect();
    let notes = if notes.is_empty() { notes } else { format!("<ol class=\"footnotes\">{notes}</ol>") };
    let caption = sentence(&table.caption);
    format!(
        "<p class=\"caption\">{caption}</p>\
         <div class=\"scroll\" role=\"region\" aria-labelledby=\"{id}-title\" tabindex=\"0\"><table>\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>{notes}"
    )
}

/// A column of numbers, or of nothing; set flush right.
fn is_numeric(table: &Table, column: usize) -> bool {
    let mut cells = table.rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.text.is_empty());
    column > 0 && (cells.clone().count() == 0 || cells.any(|cell| cell.value.is_some()))
}

/// A cell, with a reference to its note below the table.
fn content<'a>(cell: &'a Cell, reasons: &mut Vec<&'a str>, id: &str) -> String {
    let text = if cell.text.is_empty() { "–".to_string() } else { escape(&cell.text) };
    let Some(note) = &cell.note else { return if cell.text.is_empty() { String::new() } else { text } };
    let known = reasons.iter().position(|reason| reason == note);
    let number = 1 + known.unwrap_or_else(|| {
        reasons.push(note);
        reasons.len() - 1
    });
    format!("{text}<sup><a href=\"#{id}-note-{number}\" title=\"{}\">{number}</a></sup>", escape(note))
}

fn picture(picture: &Picture) -> String {
    let size = size(&picture.png)
        .map_or(String::new(), |(width, height)| format!(" width=\"{width}\" height=\"{height}\""));
    format!(
        "<figure class=\"picture\"><h3>{}</h3><div class=\"scroll\" tabindex=\"0\"><img alt=\"{}\"{size} \
         src=\"data:image/png;base64,{}\"></div><figcaption>{}</figcaption></figure>\n",
        escape(&picture.title),
        escape(&picture.caption),
        STANDARD.encode(&picture.png),
        sentence(&picture.caption)
    )
}

/// Width and height from the head of a PNG file.
fn size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    png.starts_with(b"\x89PNG").then_some(())?;
    Some((number(16)?, number(20)?))
}

fn notes(notes: &[Note]) -> String {
    let note = |n: &Note| {
        let about = match n.about.is_empty() {
            true => String::new(),
            false => format!("<b>{}</b> ", escape(&n.about)),
        };
        format!("<li>{about}{}; {}.</li>", sentence(&n.figure), sentence(n.explanation.trim_end_matches('.')))
    };
    if notes.is_empty() {
        return String::new();
    }
    let list: String = notes.iter().map(note).collect();
    format!("<aside class=\"notes\" aria-label=\"Warnings\"><ul>{list}</ul></aside>\n")
}
