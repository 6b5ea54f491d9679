//! The series of a figure: lines, dashes, markers, spreads, and invisible circles that carry the values of a point
//! for the pointer and for screen readers.

use super::lettering::escape;
use super::page::{Figure, Mark, Point, Series};
use super::palette::{LIGHT, Palette, Style};
use super::scale::{Scale, drawable, shown};

/// Points of a series that the pointer can find; of more, every so many-th.
const MOST_FOUND: usize = 250;
/// Half the width of the bar at the end of a spread.
const CAP: f64 = 3.5;

/// The area of the data within a drawing.
pub struct Plot<'a> {
    /// What is drawn.
    pub figure: &'a Figure,
    /// Colours and markers.
    pub palette: &'a Palette,
    /// Horizontal.
    pub x: Scale,
    /// Vertical.
    pub y: Scale,
    /// Left, top, width, height.
    pub area: [f64; 4],
}

impl Plot<'_> {
    /// Where a value of the horizontal axis is.
    pub fn across(&self, x: f64) -> f64 {
        self.area[0] + self.x.place(x) * self.area[2]
    }

    /// Where a value of the vertical axis is.
    pub fn down(&self, y: f64) -> f64 {
        self.area[1] + (1.0 - self.y.place(y)) * self.area[3]
    }

    /// All series, lines below spreads below markers, to be clipped to the area.
    pub fn series(&self) -> String {
        let mut out = String::new();
        for series in &self.figure.series {
            out += &self.group(series, &self.line(series));
        }
        for series in &self.figure.series {
            let spreads: String = self.drawn(series).map(|point| self.spreads(point)).collect();
            out += &self.group(series, &spreads);
        }
        for series in &self.figure.series {
            let style = self.palette.style(&series.name);
            out += &self.group(series, &self.markers(series, style));
        }
        out
    }

    /// What the pointer finds.
    pub fn targets(&self) -> String {
        let mut out = String::new();
        for series in &self.figure.series {
            let points: Vec<&Point> = self.drawn(series).filter(|p| self.visible(p)).collect();
            let every = points.len().div_ceil(MOST_FOUND).max(1);
            for (i, point) in points.iter().enumerate() {
                if i % every == 0 || i + 1 == points.len() {
                    let (x, y) = (self.across(point.x), self.down(point.y));
                    out += &format!(
                        "<circle class=\"at\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"><title>{}</title></circle>",
                        escape(&self.description(series, point))
                    );
                }
            }
        }
        out
    }

    /// Points that have no place on the axes.
    pub fn left_out(&self) -> usize {
        self.figure.series.iter().map(|s| s.points.len() - self.drawn(s).count()).sum()
    }

    fn drawn<'s>(&self, series: &'s Series) -> impl Iterator<Item = &'s Point> {
        let (x, y) = (self.figure.x.clone(), self.figure.y.clone());
        series.points.iter().filter(move |p| drawable(&x, p.x) && drawable(&y, p.y))
    }

    fn visible(&self, point: &Point) -> bool {
        let inside = |place: f64| (-1e-6..=1.0 + 1e-6).contains(&place);
        inside(self.x.place(point.x)) && inside(self.y.place(point.y))
    }

    fn group(&self, series: &Series, content: &str) -> String {
        if content.is_empty() {
            return String::new();
        }
        let colour = self.palette.style(&series.name).colour();
        format!("<g class=\"c{colour}\" color=\"{}\">{content}</g>", LIGHT[colour])
    }

    /// The line through a series, interrupted where a point has no place.
    fn line(&self, series: &Series) -> String {
        if series.mark == Mark::Points {
            return String::new();
        }
        let (mut path, mut joined, mut segments) = (String::new(), false, 0);
        for point in &series.points {
            let drawn = drawable(&self.figure.x, point.x) && drawable(&self.figure.y, point.y);
            if drawn {
                let (x, y) = (self.across(point.x), self.down(point.y));
                path += &format!("{}{x:.1} {y:.1}", if joined { "L" } else { "M" });
                segments += usize::from(joined);
            }
            joined = drawn;
        }
        if segments == 0 {
            return String::new();
        }
        let dashes = if series.mark == Mark::Dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" stroke-linejoin=\"round\"{dashes}/>"
        )
    }

    fn spreads(&self, point: &Point) -> String {
        let (x, y) = (self.across(point.x), self.down(point.y));
        let mut path = String::new();
        let ends = |spread: Option<[f64; 2]>, axis| {
            spread.filter(|[low, high]| drawable(axis, *low) && drawable(axis, *high))
        };
        if let Some([low, high]) = ends(point.y_spread, &self.figure.y) {
            for end in [self.down(low), self.down(high)] {
                path += &format!("M{:.1} {end:.1}H{:.1}", x - CAP, x + CAP);
            }
            path += &format!("M{x:.1} {:.1}V{:.1}", self.down(low), self.down(high));
        }
        if let Some([low, high]) = ends(point.x_spread, &self.figure.x) {
            for end in [self.across(low), self.across(high)] {
                path += &format!("M{end:.1} {:.1}V{:.1}", y - CAP, y + CAP);
            }
            path += &format!("M{:.1} {y:.1}H{:.1}", self.across(low), self.across(high));
        }
        if path.is_empty() {
            return path;
        }
        format!("<path d=\"{path}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.3\"/>")
    }

    /// A marker on every point, or on the last one of a line, by which it is told apart without colours.
    fn markers(&self, series: &Series, style: Style) -> String {
        let points: Vec<&Point> = self.drawn(series).filter(|p| self.visible(p)).collect();
        let marked = match series.mark {
            Mark::Points | Mark::LineAndPoints => &points[..],
            Mark::Line | Mark::Dashed => &points[points.len().saturating_sub(1)..],
        };
        let all: String = marked.iter().map(|p| style.marker(self.across(p.x), self.down(p.y))).collect();
        if all.is_empty() {
            return all;
        }
        format!("<g fill=\"currentColor\" stroke=\"#fff\" stroke-width=\"1\">{all}</g>")
    }

    fn description(&self, series: &Series, point: &Point) -> String {
        let with_spread = |axis, value, spread: Option<[f64; 2]>| {
            let range = spread.map_or(String::new(), |[low, high]| {
                format!(" ({} to {})", shown(axis, low), shown(axis, high))
            });
            format!("{}{range}", shown(axis, value))
        };
        let (x, y) = (&self.figure.x, &self.figure.y);
        let mut text = format!(
            "{}\n{}: {}\n{}: {}",
            series.name,
            x.label,
            with_spread(x, point.x, point.x_spread),
            y.label,
            with_spread(y, point.y, point.y_spread)
        );
        if !point.label.is_empty() {
            text += &format!("\n{}", point.label);
        }
        text
    }
}
