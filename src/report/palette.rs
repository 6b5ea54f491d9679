//! Colours and marker shapes: every series has both, so nobody needs to tell colours apart, and a name looks the
//! same in every figure of a page.

use super::page::Figure;
use std::collections::HashMap;

/// Colours on white, with at least 3:1 contrast; told apart with common colour-vision deficiencies (after Okabe
/// and Ito).
pub const LIGHT: [&str; 6] = ["#0067a5", "#c84b00", "#007a58", "#a3337f", "#7a6200", "#59636e"];
/// The same on a dark ground.
pub const DARK: [&str; 6] = ["#5db7f0", "#ff9457", "#3fd0a4", "#ee9fd0", "#e5c74a", "#b3bdc8"];

/// Everything that changes in a figure on a dark ground.
pub fn dark_rules() -> String {
    let mut rules = String::from(
        ".paper{fill:#14181d}.ink{fill:#e8ebee}.soft{fill:#a5afb9}.grid{stroke:#2b323a}.axis{stroke:#77828d}.halo{stroke:#14181d}",
    );
    for (i, colour) in DARK.iter().enumerate() {
        rules += &format!(".c{i}{{color:{colour}}}");
    }
    format!("@media screen and (prefers-color-scheme:dark){{{rules}}}")
}

/// What decides the look of a series: its name up to a colon.
fn family(name: &str) -> &str {
    name.split_once(": ").map_or(name, |(family, _)| family)
}

/// How one series looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Style(usize);

impl Style {
    /// Index into [`LIGHT`] and [`DARK`].
    pub fn colour(self) -> usize {
        self.0 % LIGHT.len()
    }

    /// A marker at `(x, y)`, filled with the current colour.
    pub fn marker(self, x: f64, y: f64) -> String {
        let path = |points: &[(f64, f64)]| {
            let corners: Vec<String> =
                points.iter().map(|(dx, dy)| format!("{:.1} {:.1}", x + dx, y + dy)).collect();
            format!("<path class=\"halo\" d=\"M{}Z\"/>", corners.join("L"))
        };
        match (self.0 + self.0 / LIGHT.len()) % 6 {
            0 => format!("<circle class=\"halo\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.4\"/>"),
            1 => path(&[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)]),
            2 => path(&[(0.0, -5.4), (5.2, 4.0), (-5.2, 4.0)]),
            3 => path(&[(0.0, -5.8), (5.8, 0.0), (0.0, 5.8), (-5.8, 0.0)]),
            4 => path(&[(0.0, 5.4), (5.2, -4.0), (-5.2, -4.0)]),
            _ => path(&[
                (-1.9, -5.2),
                (1.9, -5.2),
                (1.9, -1.9),
                (5.2, -1.9),
                (5.2, 1.9),
                (1.9, 1.9),
                (1.9, 5.2),
                (-1.9, 5.2),
                (-1.9, 1.9),
                (-5.2, 1.9),
                (-5.2, -1.9),
                (-1.9, -1.9),
            ]),
        }
    }
}

/// Which name looks how; `pgn: published` looks like `pgn`.
#[derive(Clone, Debug, Default)]
pub struct Palette {
    styles: HashMap<String, Style>,
}

impl Palette {
    /// Looks for all series of `figures`: names that meet in a figure look different; names in different figures
    /// do too while there are colours left.
    pub fn new(figures: &[&Figure]) -> Self {
        let mut styles: HashMap<String, Style> = HashMap::new();
        for figure in figures {
            for series in &figure.series {
                let own = family(&series.name);
                if styles.contains_key(own) {
                    continue;
                }
                let meets = figures.iter().filter(|f| f.series.iter().any(|s| family(&s.name) == own));
                let others = meets.flat_map(|f| &f.series);
                let taken: Vec<Style> =
                    others.filter_map(|other| styles.get(family(&other.name)).copied()).collect();
                let unused = (0..LIGHT.len()).map(Style).find(|s| !styles.values().any(|used| used == s));
                let apart = || {
                    let colours = (0..LIGHT.len()).map(Style);
                    let colour = |s: &Style| !taken.iter().any(|t| t.colour() == s.colour());
                    colours.into_iter().find(colour).or_else(|| (0..).map(Style).find(|s| !taken.contains(s)))
                };
                let style = unused.or_else(apart).unwrap_or(Style(0));
                styles.insert(own.to_string(), style);
            }
        }
        Self { styles }
    }

    /// How `name` looks.
    pub fn style(&self, name: &str) -> Style {
        self.styles.get(family(name)).copied().unwrap_or(Style(0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::{Axis, Mark, Series};
    use super::*;

    fn figure(names: &[&str]) -> Figure {
        let series = |name: &&str| Series { name: (*name).into(), mark: Mark::Line, points: vec![] };
        Figure {
            id: "f".into(),
            title: String::new(),
            caption: String::new(),
            x: Axis::new("x"),
            y: Axis::new("y"),
            series: names.iter().map(series).collect(),
        }
    }

    #[test]
    fn a_name_looks_the_same_everywhere_and_names_that_meet_look_different() {
        let names: Vec<String> = (0..20).map(|i| format!("s{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (first, second) = (figure(&["natural", "fgm", "pgd", "pgn", "a", "b"]), figure(&["pgn", "loss"]));
        let crowd = figure(&names);
        let palette = Palette::new(&[&first, &second, &crowd]);
        assert_ne!(palette.style("pgn").colour(), palette.style("loss").colour());
        assert_eq!(palette.style("pgn"), palette.style("pgn: published"));
        for figure in [&first, &second, &crowd] {
            let styles: std::collections::HashSet<Style> =
                figure.series.iter().map(|s| palette.style(&s.name)).collect();
            assert_eq!(styles.len(), figure.series.len());
        }
        let looks: std::collections::HashSet<(usize, String)> =
            names.iter().map(|n| palette.style(n)).map(|s| (s.colour(), s.marker(0.0, 0.0))).collect();
        assert_eq!(looks.len(), names.len(), "shape and colour together are unique");
    }
}
