//! Reports that people read: a self-contained HTML page, its figures as SVG and PNG, its tables as CSV and JSON.
//!
//! | question | file |
//! | --- | --- |
//! | what does a report consist of? | `page.rs` |
//! | how does a figure look? | `svg.rs` and `marks.rs`; `scale.rs` has axes, `palette.rs` colours, `lettering.rs` text |
//! | how does the page look? | `html.rs`, `html/` |
//! | which files are written? | `files.rs`, `png.rs` |
//! | which files of an earlier report may be replaced? | `earlier.rs` |
//! | what did an attack's search cost? | `budget.rs` |
//! | what does a report of training runs say? | `runs.rs`, `runs/` |

pub mod budget;
pub mod earlier;
pub mod files;
pub mod html;
pub mod lettering;
mod marks;
pub mod page;
pub mod palette;
pub mod png;
pub mod runs;
pub mod scale;
pub mod svg;

pub use page::{Axis, Block, Cell, Fact, Figure, Mark, Note, Page, Picture, Point, Section, Series, Table};
