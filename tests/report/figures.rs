//! Figures as SVG and PNG.

use crate::{figure, points};
use pgn_wgpu::report::palette::Palette;
use pgn_wgpu::report::svg::{Place, draw};
use pgn_wgpu::report::{Axis, Figure, Mark, Point, png};
use roxmltree::{Document, Node};

/// The drawing for a file.
fn svg(figure: &Figure) -> String {
    draw(figure, &Palette::new(&[figure]), "curve", Place::File)
}

fn number(node: Node, name: &str) -> f64 {
    node.attribute(name).unwrap_or_else(|| panic!("{name} of {node:?}")).parse().unwrap()
}

/// Centres and texts of what the pointer finds.
fn found(svg: &str) -> Vec<(f64, f64, String)> {
    let document = Document::parse(svg).unwrap_or_else(|e| panic!("{e}: {svg}"));
    let circles = document.descendants().filter(|node| node.attribute("class") == Some("at"));
    circles
        .map(|node| {
            let text = node.first_element_child().unwrap().text().unwrap().to_string();
            (number(node, "cx"), number(node, "cy"), text)
        })
        .collect()
}

/// Where the letters, the circles and the corners of the paths are.
fn places(document: &Document) -> Vec<(f64, f64)> {
    let of = |node: Node| match node.tag_name().name() {
        "text" => vec![(number(node, "x"), number(node, "y"))],
        "circle" => vec![(number(node, "cx"), number(node, "cy"))],
        "path" => corners(node.attribute("d").unwrap()),
        _ => Vec::new(),
    };
    document.descendants().flat_map(of).collect()
}

fn corners(path: &str) -> Vec<(f64, f64)> {
    let parts = path.split(['M', 'L']).skip(1);
    let corner = |part: &str| -> (f64, f64) {
        let pair = part.split(|c: char| c.is_ascii_alphabetic()).next().unwrap();
        let (x, y) = pair.split_once(' ').unwrap_or_else(|| panic!("{path}"));
        (x.parse().unwrap(), y.parse().unwrap())
    };
    parts.map(corner).collect()
}

#[test]
fn every_point_can_be_found_with_its_values_and_larger_is_higher_and_further_right() {
    let spread = Point { y_spread: Some([0.4, 0.6]), label: "2 seeds".into(), ..Point::new(1.0, 0.5) };
    let svg = svg(&figure(&[(
        "pgn",
        Mark::LineAndPoints,
        vec![spread, Point::new(2.0, 0.75), Point::new(3.0, 0.9)],
    )]));
    let found = found(&svg);
    assert_eq!(found.len(), 3);
    assert_eq!(
        found[0].2,
        "pgn\nepoch: 1\nbenign accuracy: 50.00\u{a0}% (40.00\u{a0}% to 60.00\u{a0}%)\n2 seeds"
    );
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1), "{found:?}");
    // Linear: 0.25 and 0.15 upwards.
    let (first, second) = (found[0].1 - found[1].1, found[1].1 - found[2].1);
    assert!((first / second - 0.25 / 0.15).abs() < 0.02, "{first} and {second}");
}

#[test]
fn nothing_lies_outside_the_drawing() {
    let wide = "a series with a very long name that says everything about it and then some more";
    let log = Axis { logarithmic: true, ..Axis::new(wide) };
    for x in [Axis::new("epoch"), log] {
        for values in [&[1e-9, 2e-9][..], &[12_345_678.0, 3.0], &[0.2, 0.9]] {
            let figure = Figure {
                x: x.clone(),
                y: Axis::new("loss"),
                ..figure(&[(wide, Mark::Line, points(values)), ("b", Mark::Points, points(values))])
            };
            let text = svg(&figure);
            let document = Document::parse(&text).unwrap();
            let height = number(document.root_element(), "height");
            for (x, y) in places(&document) {
                assert!((0.0..=440.0).contains(&x) && (0.0..=height).contains(&y), "{x}, {y} in {text}");
            }
            assert_eq!(found(&text).len(), 4);
        }
    }
}

#[test]
fn what_is_not_a_number_leaves_a_gap_and_a_remark() {
    let values = [0.5, f64::NAN, 0.6, 0.7, f64::INFINITY, 0.8];
    let text = svg(&figure(&[("pgn", Mark::Line, points(&values))]));
    assert_eq!(found(&text).len(), 4);
    assert!(text.contains("2 points are not numbers"));
    let document = Document::parse(&text).unwrap();
    let line = document.descendants().find(|n| n.attribute("stroke-linejoin").is_some()).unwrap();
    assert_eq!(line.attribute("d").unwrap().matches('M').count(), 3);
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn figures_of_one_point_or_none_can_be_drawn() {
    for values in [&[][..], &[f64::NAN], &[0.5]] {
        for mark in [Mark::Line, Mark::Dashed, Mark::LineAndPoints, Mark::Points] {
            let text = svg(&figure(&[("pgn", mark, points(values)), ("empty", mark, vec![])]));
            assert_eq!(text.contains("nothing to show"), values != [0.5]);
            assert!(!text.contains("NaN"));
            png::rasterise(&text).unwrap();
        }
    }
    svg(&figure(&[]));
}

#[test]
fn names_with_markup_are_shown_as_they_are() {
    let name = "a<b>&\"c\"</text><script>";
    let mut figure = figure(&[(name, Mark::Points, points(&[0.5]))]);
    figure.title = name.into();
    figure.y.label = name.into();
    let text = svg(&figure);
    let document = Document::parse(&text).unwrap();
    assert!(!document.descendants().any(|node| node.has_tag_name("script")));
    assert!(document.descendants().any(|node| node.has_tag_name("text") && node.text() == Some(name)));
}

#[test]
fn the_png_is_the_svg_on_white_with_letters() {
    let figure = figure(&[("pgn", Mark::LineAndPoints, points(&[0.2, 0.9]))]);
    let text = svg(&figure);
    let size = Document::parse(&text).map(|d| number(d.root_element(), "height")).unwrap();
    let picture = image::load_from_memory(&png::rasterise(&text).unwrap()).unwrap().to_rgb8();
    assert_eq!((picture.width(), picture.height()), (1320, 3 * size as u32));
    assert_eq!(picture.get_pixel(2, 2).0, [255, 255, 255]);
    let has = |colour: [u8; 3]| picture.pixels().any(|pixel| pixel.0 == colour);
    assert!(has([0x00, 0x67, 0xa5]), "the series in its colour for light grounds");
    // Letters of the title, in the upper left corner.
    let dark = |x: u32, y: u32| picture.get_pixel(x, y).0 == [0x1c, 0x21, 0x26];
    assert!((0..400).any(|x| (30..90).any(|y| dark(x, y))), "the title has ink");
}

#[test]
fn values_beyond_given_ends_are_not_shown_as_if_they_were_at_them() {
    let mut figure = figure(&[("pgn", Mark::Points, points(&[0.2, 0.5, 0.9]))]);
    figure.y.range = Some([0.4, 0.8]);
    let found = found(&svg(&figure));
    assert_eq!(found.len(), 1);
    assert!(found[0].2.contains("50.00"));
}
