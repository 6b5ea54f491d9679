//! Reports that people read: a self-contained HTML page, its figures as SVG and PNG, its tables as CSV and JSON.
//!
//! | question | file |
//! | --- | --- |
//! | what does a report consist of? | `page.rs` |

pub mod page;

pub use page::{Axis, Block, Cell, Fact, Figure, Mark, Note, Page, Picture, Point, Section, Series, Table};
