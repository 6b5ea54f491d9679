//! The page and the files beside it.

use crate::{figure, points};
use pgn_wgpu::report::earlier::Origin;
use pgn_wgpu::report::{Block, Cell, Fact, Mark, Note, Page, Picture, Section, Table, files, png};
use std::fs;

/// The smallest PNG there is.
fn picture() -> Vec<u8> {
    png::rasterise("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"2\" height=\"1\"/>").unwrap()
}

/// A page with everything that a page can have.
fn everything() -> Page {
    let table = Table {
        id: "table".into(),
        title: "Robustness <of> runs".into(),
        caption: "Larger is better.".into(),
        head: vec!["measure".into(), "natural".into(), "pgn".into()],
        rows: vec![
            vec![Cell::text("benign accuracy"), Cell::number(0.8375, 4), Cell::number(0.8875, 4)],
            vec![Cell::text("C&W mean L2"), Cell::missing("C&W was not run"), Cell::number(0.4, 4)],
            vec![Cell::text("MIM"), Cell::missing("MIM was not run"), Cell::missing("C&W was not run")],
        ],
    };
    let curves =
        [("natural", Mark::Line, points(&[0.5, 0.7])), ("pgn", Mark::LineAndPoints, points(&[0.4, 0.8]))];
    let note = Note {
        about: "natural".into(),
        figure: "C&W fails on 71 of 400 images".into(),
        explanation: "give it more iterations".into(),
    };
    let picture = Picture {
        id: "sheet".into(),
        title: "Sheet".into(),
        caption: "Four digits \"as\" they are".into(),
        png: picture(),
    };
    let facts = vec![Fact { name: "seed".into(), value: "0 <&>".into() }];
    let section = |id: &str, blocks| Section {
        id: id.into(),
        title: "S & T".into(),
        text: vec!["Text.".into()],
        blocks,
    };
    Page {
        title: "Runs <b> & more".into(),
        summary: vec!["What came out.".into()],
        facts: facts.clone(),
        sections: vec![
            section(
                "one",
                vec![
                    Block::Figure(figure(&curves)),
                    Block::Figure(figure(&curves)),
                    Block::Notes(vec![note]),
                ],
            ),
            section("one", vec![Block::Table(table), Block::Picture(picture)]),
            section("", vec![Block::Facts { title: "Hyper-parameters".into(), facts }]),
        ],
    }
}

fn written() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path =
        files::write(&everything(), &folder.path().join("deep/report"), &Origin::default(), false).unwrap();
    let html = fs::read_to_string(path).unwrap();
    (folder, html)
}

#[test]
fn the_page_is_well_formed_and_every_id_stands_once() {
    let (_folder, html) = written();
    // Empty elements are the only thing that XML would have otherwise.
    let (head, body) = html.split_once("<body>").unwrap();
    assert!(head.contains("name=\"viewport\"") && head.contains("<title>Runs &lt;b&gt; &amp; more</title>"));
    let script = body.find("<script>").unwrap();
    let text = body[..script]
        .replace("\"></div><figcaption>", "\"/></div><figcaption>")
        .replace("hidden>", "hidden=\"\">");
    let text = format!("<body>{text}</body>");
    let document = roxmltree::Document::parse(&text);
    let document = document.unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    for link in document.descendants().filter_map(|node| node.attribute("href")) {
        assert!(ids.contains(&link.strip_prefix('#').unwrap()), "{link}");
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
    let levels = ["h1", "h2", "h3"].map(|tag| document.descendants().filter(|n| n.has_tag_name(tag)).count());
    assert_eq!(levels, [1, 3, 4]);
}

#[test]
fn the_page_needs_nothing_else() {
    let (_folder, html) = written();
    for load in ["http://", "https://", "<link", "@import", "url(http", "file:", "src=\"//"] {
        assert!(!html.contains(load), "{load}");
    }
    for source in html.split(" src=\"").skip(1) {
        assert!(source.starts_with("data:image/png;base64,"), "{}", &source[..40]);
    }
    for drawn in html.split("url(").skip(1) {
        assert!(drawn.starts_with('#'), "{}", &drawn[..20]);
    }
}

#[test]
fn what_is_missing_is_explained_below_its_table_and_warnings_are_open() {
    let (_folder, html) = written();
    assert_eq!(html.matches(">C&amp;W was not run</li>").count(), 1, "one note for two cells");
    assert_eq!(html.matches("#table-note-1\"").count(), 2);
    assert!(html.contains("<b>natural</b> C&amp;W fails on 71 of 400 images; give it more iterations.</li>"));
    let folded = html.find("<details><summary>Hyper-parameters").unwrap();
    assert!(html.find("class=\"notes\"").unwrap() < folded);
    assert!(html.contains("0 &lt;&amp;&gt;") && !html.contains("0 <&>"));
}

#[test]
fn everything_lies_beside_the_page_as_files_of_its_own() {
    let (folder, _) = written();
    let mut names = Vec::new();
    for part in ["", "figures", "tables", "pictures"] {
        let entries = fs::read_dir(folder.path().join("deep/report").join(part)).unwrap();
        let files = entries.map(Result::unwrap).filter(|entry| entry.path().is_file());
        names.extend(files.map(|entry| format!("{part}/{}", entry.file_name().to_string_lossy())));
    }
    names.sort();
    let expected = [
        "/report.html",
        "/report.json",
        "figures/curve-2.csv",
        "figures/curve-2.png",
        "figures/curve-2.svg",
        "figures/curve.csv",
        "figures/curve.png",
        "figures/curve.svg",
        "pictures/sheet.png",
        "tables/table.csv",
        "tables/table.json",
    ];
    assert_eq!(names, expected);
    let read = |name: &str| fs::read_to_string(folder.path().join("deep/report").join(name)).unwrap();
    assert_eq!(read("figures/curve.csv").lines().nth(1), Some("natural,1,0.5,,,,,"));
    let table: serde_json::Value = serde_json::from_str(&read("tables/table.json")).unwrap();
    assert_eq!(table["rows"][1][1]["note"], "C&W was not run");
}
