//! What a report says, before anything is drawn: a title, and sections made of figures, tables, pictures and notes.
//! Whoever measures something fills these in; `html.rs`, `svg.rs` and `files.rs` only show them.

use serde::Serialize;

/// A whole report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// What came out, in a few sentences, one paragraph each.
    pub summary: Vec<String>,
    /// Everything needed to repeat it: command, version, adapter, driver, seeds, time.
    pub facts: Vec<Fact>,
    /// In the order in which they are read.
    pub sections: Vec<Section>,
}

/// A name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// For example `adapter`.
    pub name: String,
    /// For example `llvmpipe (Vulkan)`.
    pub value: String,
}

/// One part of a report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Section {
    /// For links and file names: lower case, digits and hyphens.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Paragraphs before the blocks: what the figures mean.
    pub text: Vec<String>,
    /// What is shown.
    pub blocks: Vec<Block>,
}

/// Something that a section shows.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Drawn as SVG and PNG.
    Figure(Figure),
    /// Written as CSV and JSON too.
    Table(Table),
    /// The same, folded away on the page behind its title.
    Folded(Table),
    /// An image sheet.
    Picture(Picture),
    /// Warnings of an evaluation, or reasons why something is missing.
    Notes(Vec<Note>),
    /// Names and values, such as a run's hyper-parameters; folded away on the page.
    Facts {
        /// What they are about.
        title: String,
        /// Them.
        facts: Vec<Fact>,
    },
}

/// A sentence that the reader must not miss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The run or experiment concerned.
    pub about: String,
    /// The figure that raised it.
    pub figure: String,
    /// What it means.
    pub explanation: String,
}

/// Curves or points over two axes.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// For links and file names.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What it means, in a sentence or two.
    pub caption: String,
    /// Horizontal.
    pub x: Axis,
    /// Vertical.
    pub y: Axis,
    /// What is drawn; the order decides colours, and the same name has the same colour in every figure of a page.
    pub series: Vec<Series>,
}

/// One axis.
#[derive(Clone, Debug, Serialize)]
pub struct Axis {
    /// Quantity and unit: `benign accuracy`, `C&W mean L2 (R1)`.
    pub label: String,
    /// Whether values are shares, shown as per cent.
    pub percent: bool,
    /// Whether equal factors have equal lengths.
    pub logarithmic: bool,
    /// Ends, if the data should not decide them.
    pub range: Option<[f64; 2]>,
}

impl Axis {
    /// A linear axis of plain numbers.
    pub fn new(label: &str) -> Self {
        Self { label: label.to_string(), percent: false, logarithmic: false, range: None }
    }

    /// A linear axis of shares.
    pub fn percent(label: &str) -> Self {
        Self { percent: true, ..Self::new(label) }
    }
}

/// Points that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// As in the legend. What stands before a colon decides the colour: `pgn` and `pgn: published` belong together,
    /// and should differ in their marks.
    pub name: String,
    /// How they are drawn.
    pub mark: Mark,
    /// In the order in which a line joins them.
    pub points: Vec<Point>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// A line without markers.
    Line,
    /// A dashed line: predictions and published values.
    Dashed,
    /// Markers joined by a line.
    LineAndPoints,
    /// Markers only.
    Points,
}

/// One point.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Horizontal.
    pub x: f64,
    /// Vertical.
    pub y: f64,
    /// Lowest and highest x over seeds, or an interval.
    pub x_spread: Option<[f64; 2]>,
    /// Lowest and highest y over seeds, or an interval.
    pub y_spread: Option<[f64; 2]>,
    /// What the pointer shows beside the values: `epsilon 0.3, 2 seeds`.
    pub label: String,
}

impl Point {
    /// A point without spread or label.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, x_spread: None, y_spread: None, label: String::new() }
    }
}

/// Rows under a head.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// For links and file names.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What it means, in a sentence or two.
    pub caption: String,
    /// Names of the columns.
    pub head: Vec<String>,
    /// As long as the head, each.
    pub rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// As shown; empty if there is nothing to show.
    pub text: String,
    /// The number behind it, in full.
    pub value: Option<f64>,
    /// Why it is empty, or what is special about it.
    pub note: Option<String>,
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A number with so many decimals.
    pub fn number(value: f64, decimals: usize) -> Self {
        Self { text: format!("{value:.decimals$}"), value: Some(value), note: None }
    }

    /// Nothing, and why.
    pub fn missing(reason: impl Into<String>) -> Self {
        Self { note: Some(reason.into()), ..Self::default() }
    }
}

/// An image, made elsewhere.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// For links and file names.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What it shows, in words; also what is read aloud.
    pub caption: String,
    /// The bytes of a PNG file.
    #[serde(skip)]
    pub png: Vec<u8>,
}
