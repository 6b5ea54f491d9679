//! Figures as SVG: a title, a legend, axes with round ticks, and the series. One drawing serves the page (where the
//! heading stands outside), the `.svg` file and, rasterised, the `.png` file.

use super::lettering::{escape, shortened, width, wrapped};
use super::marks::Plot;
use super::page::{Figure, Mark, Point, Series};
use super::palette::{LIGHT, Palette, dark_rules};
use super::scale::Scale;

/// Width of a drawing. It is small so that letters stay readable when a phone shrinks it.
const WIDTH: f64 = 440.0;
/// Height of the area of the data.
const HEIGHT: f64 = 262.0;
/// Height of all letters but the title's.
const SIZE: f64 = 14.0;
/// Height of the title's letters.
const TITLE_SIZE: f64 = 17.0;
/// Between lines of text.
const LINE: f64 = 20.0;
/// Around everything.
const MARGIN: f64 = 10.0;
/// Length of a legend's sample of a line.
const SAMPLE: f64 = 26.0;

/// Where a drawing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file: with a title, a ground, and its own rules for dark screens.
    File,
    /// A page, which has the title and the rules already.
    Page,
}

/// Draws `figure`; `id` must be unique where the drawing goes.
pub fn draw(figure: &Figure, palette: &Palette, id: &str, place: Place) -> String {
    let mut top = MARGIN;
    let mut head = String::new();
    if place == Place::File {
        for line in wrapped(&figure.title, TITLE_SIZE, WIDTH - 2.0 * MARGIN) {
            top += TITLE_SIZE;
            head += &text(
                (MARGIN, top),
                "ink",
                &format!("font-size=\"{TITLE_SIZE}\" font-weight=\"600\""),
                &line,
            );
            top += 6.0;
        }
        top += 4.0;
    }
    let (legend, rows) = legend(figure, palette, top);
    head += &legend;
    top += rows as f64 * LINE + if rows > 0 { 6.0 } else { 0.0 };
    for line in wrapped(&figure.y.label, SIZE, WIDTH - 2.0 * MARGIN) {
        top += SIZE;
        head += &text((MARGIN, top), "soft", "", &line);
        top += LINE - SIZE;
    }
    let plot = plot(figure, palette, top + 11.0);
    let (axes, bottom) = axes(&plot);
    let [left, plot_top, plot_width, plot_height] = plot.area;
    let height = bottom + MARGIN;
    let clip = format!(
        "<clipPath id=\"{id}-area\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/></clipPath>",
        left - 7.0,
        plot_top - 7.0,
        plot_width + 14.0,
        plot_height + 14.0
    );
    let body = format!(
        "{clip}{head}{axes}<g clip-path=\"url(#{id}-area)\">{}</g><g fill=\"none\" pointer-events=\"all\">{}</g>{}",
        plot.series(),
        plot.targets(),
        remark(&plot)
    );
    frame(figure, id, place, height, &body)
}

fn frame(figure: &Figure, id: &str, place: Place, height: f64, body: &str) -> String {
    let fonts = "font-family=\"Inter, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif\"";
    // A page's text begins where its figures' does.
    let left = if place == Place::Page { MARGIN - 1.0 } else { 0.0 };
    let shown = WIDTH - left;
    let size = format!("viewBox=\"{left} 0 {shown} {height:.0}\" font-size=\"{SIZE}\" {fonts}");
    let name = escape(&figure.title);
    if place == Place::Page {
        return format!(
            "<svg class=\"figure\" id=\"{id}\" {size} role=\"img\" aria-label=\"{name}\" tabindex=\"0\">{body}</svg>"
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" {size} role=\"img\">\
         <title>{name}</title><desc>{}</desc><style>{}</style>\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#fff\"/>{body}</svg>\n",
        escape(&figure.caption),
        dark_rules()
    )
}

/// One line of text.
fn text((x, y): (f64, f64), class: &str, more: &str, content: &str) -> String {
    let fill = if class == "ink" { "#1c2126" } else { "#56606a" };
    let space = if more.is_empty() { "" } else { " " };
    format!(
        "<text class=\"{class}\" fill=\"{fill}\" x=\"{x:.1}\" y=\"{y:.1}\"{space}{more}>{}</text>",
        escape(content)
    )
}

/// Names and looks of the series in rows below `top`, and how many rows.
fn legend(figure: &Figure, palette: &Palette, top: f64) -> (String, usize) {
    let named: Vec<&Series> = figure.series.iter().filter(|s| !s.name.is_empty()).collect();
    let alone = named.len() == 1 && (named[0].name == figure.y.label || named[0].name == figure.title);
    if named.is_empty() || alone {
        return (String::new(), 0);
    }
    let (mut out, mut x, mut row) = (String::new(), MARGIN, 0);
    for series in named {
        let name = shortened(&series.name, SIZE, WIDTH - 2.0 * MARGIN - SAMPLE - 6.0);
        let needed = SAMPLE + 6.0 + width(&name, SIZE);
        if x > MARGIN && x + needed > WIDTH - MARGIN {
            (x, row) = (MARGIN, row + 1);
        }
        let y = top + f64::from(row) * LINE + LINE / 2.0;
        let style = palette.style(&series.name);
        let colour = style.colour();
        let line = match series.mark {
            Mark::Points => String::new(),
            mark => format!(
                "<path d=\"M{x:.1} {y:.1}h{SAMPLE}\" stroke=\"currentColor\" stroke-width=\"2\"{}/>",
                if mark == Mark::Dashed { " stroke-dasharray=\"6 4\"" } else { "" }
            ),
        };
        out += &format!(
            "<g class=\"c{colour}\" color=\"{}\" fill=\"currentColor\">{line}{}</g>{}",
            LIGHT[colour],
            style.marker(x + SAMPLE / 2.0, y),
            text((x + SAMPLE + 6.0, y + SIZE * 0.36), "ink", "", &name)
        );
        x += needed + 16.0;
    }
    (out, row as usize + 1)
}

/// The scales, and the area that is left of the drawing below `top`.
fn plot<'a>(figure: &'a Figure, palette: &'a Palette, top: f64) -> Plot<'a> {
    let values = |own: fn(&Point) -> (f64, Option<[f64; 2]>)| -> Vec<f64> {
        let points = figure.series.iter().flat_map(|series| &series.points);
        points
            .map(own)
            .flat_map(|(value, spread)| [value].into_iter().chain(spread.into_iter().flatten()))
            .collect()
    };
    let y = Scale::new(&figure.y, &values(|p| (p.y, p.y_spread)), 5);
    let widest = |scale: &Scale| {
        scale.ticks.iter().map(|&tick| width(&scale.tick_label(tick), SIZE)).fold(0.0, f64::max)
    };
    let left = MARGIN + widest(&y) + 8.0;
    let across = values(|p| (p.x, p.x_spread));
    let fitting = |wanted: &usize| {
        let scale = Scale::new(&figure.x, &across, *wanted);
        (widest(&scale) + 10.0) * scale.ticks.len() as f64 <= WIDTH - left
    };
    let wanted = (2..=8).rev().find(fitting).unwrap_or(2);
    let x = Scale::new(&figure.x, &across, wanted);
    let last = x.ticks.last().map_or(0.0, |&tick| width(&x.tick_label(tick), SIZE) / 2.0);
    let right = last.max(MARGIN) + 4.0;
    Plot { figure, palette, x, y, area: [left, top, WIDTH - left - right, HEIGHT] }
}

/// Grid, ticks and labels, and where they end below.
fn axes(plot: &Plot) -> (String, f64) {
    let [left, top, across, down] = plot.area;
    let (right, bottom) = (left + across, top + down);
    let (mut grid, mut labels) = (String::new(), String::new());
    for &tick in &plot.y.ticks {
        let y = plot.down(tick);
        grid += &format!("M{left:.1} {y:.1}H{right:.1}");
        let at = (left - 8.0, y + SIZE * 0.36);
        labels += &text(at, "soft", "text-anchor=\"end\"", &plot.y.tick_label(tick));
    }
    let mut marks = format!("M{left:.1} {bottom:.1}H{right:.1}");
    for &tick in &plot.x.ticks {
        let x = plot.across(tick);
        marks += &format!("M{x:.1} {bottom:.1}v5");
        let at = (x, bottom + 7.0 + SIZE);
        labels += &text(at, "soft", "text-anchor=\"middle\"", &plot.x.tick_label(tick));
    }
    let mut below = bottom + 7.0 + SIZE + 4.0;
    for line in wrapped(&plot.figure.x.label, SIZE, WIDTH - 2.0 * MARGIN) {
        below += LINE - 2.0;
        labels += &text((right, below), "soft", "text-anchor=\"end\"", &line);
    }
    let lines = format!(
        "<path class=\"grid\" d=\"{grid}\" stroke=\"#e1e5e9\" fill=\"none\"/>\
         <path class=\"axis\" d=\"{marks}\" stroke=\"#7b8690\" fill=\"none\"/>"
    );
    (lines + &labels, below + 2.0)
}

/// What the reader of an empty or incomplete drawing should know.
fn remark(plot: &Plot) -> String {
    let points: usize = plot.figure.series.iter().map(|series| series.points.len()).sum();
    let left_out = plot.left_out();
    let [left, top, across, down] = plot.area;
    if points == left_out {
        let at = (left + across / 2.0, top + down / 2.0);
        return text(at, "soft", "text-anchor=\"middle\"", "nothing to show");
    }
    if left_out == 0 {
        return String::new();
    }
    let sentence = match left_out {
        1 => "1 point is not a number".to_string(),
        n => format!("{n} points are not numbers"),
    };
    text((left + across, top + SIZE), "soft", "text-anchor=\"end\"", &sentence)
}
