//! Reports as files: figures that are well-formed and show what they were given, a page that needs nothing else, and
//! `pgn-wgpu report` over real run folders.

#[path = "report/command.rs"]
mod command;
#[path = "report/figures.rs"]
mod figures;
#[path = "report/page.rs"]
mod page;

mod program;

use pgn_wgpu::report::{Axis, Figure, Mark, Point, Series};

/// A figure of the given series.
fn figure(series: &[(&str, Mark, Vec<Point>)]) -> Figure {
    let one = |(name, mark, points): &(&str, Mark, Vec<Point>)| Series {
        name: (*name).to_string(),
        mark: *mark,
        points: points.clone(),
    };
    Figure {
        id: "curve".into(),
        title: "Accuracy against epochs".into(),
        caption: "Higher is better.".into(),
        x: Axis::new("epoch"),
        y: Axis::percent("benign accuracy"),
        series: series.iter().map(one).collect(),
    }
}

/// Points at whole numbers from 1 on.
fn points(values: &[f64]) -> Vec<Point> {
    (1..).zip(values).map(|(x, &y)| Point::new(f64::from(x), y)).collect()
}
