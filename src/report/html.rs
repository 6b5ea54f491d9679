//! The page: one HTML file that needs nothing else, neither a network nor scripts. A few lines of script add the values
//! under the pointer.

mod blocks;

use super::files::{Names, palette};
use super::lettering::{escape, sentence};
use super::page::{Fact, Page, Section};
use super::palette::dark_rules;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");
/// From so many sections on the page begins with a list of them.
const SECTIONS_WITH_CONTENTS: usize = 3;

/// The whole file.
pub fn page(page: &Page) -> String {
    let palette = palette(page);
    let mut names = Names::default();
    let ids: Vec<String> = page.sections.iter().map(|section| names.unique(&section.id)).collect();
    let mut body =
        format!("<header><h1>{}</h1>{}</header>\n", escape(&page.title), paragraphs(&page.summary));
    body += &facts("How this was made", &page.facts);
    if page.sections.len() >= SECTIONS_WITH_CONTENTS {
        body += &contents(&page.sections, &ids);
    }
    for (section, id) in page.sections.iter().zip(&ids) {
        let text = match section.text.is_empty() {
            true => String::new(),
            false => format!("<div class=\"text\">{}</div>\n", paragraphs(&section.text)),
        };
        body += &format!(
            "<section id=\"{id}\"><h2>{}</h2>\n{text}{}</section>\n",
            escape(&section.title),
            blocks::all(&section.blocks, &palette, &mut names)
        );
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n{STYLE}{}\n</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <div id=\"tip\" role=\"status\" hidden></div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(&page.title),
        dark_rules()
    )
}

fn paragraphs(texts: &[String]) -> String {
    texts.iter().map(|text| format!("<p>{}</p>", sentence(text))).collect()
}

fn contents(sections: &[Section], ids: &[String]) -> String {
    let entries = sections.iter().zip(ids);
    let links: String =
        entries.map(|(s, id)| format!("<li><a href=\"#{id}\">{}</a></li>", escape(&s.title))).collect();
    format!("<nav aria-label=\"Contents\"><ol>{links}</ol></nav>\n")
}

/// Names and values, folded away; nothing if there are none.
fn facts(title: &str, facts: &[Fact]) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let entry = |f: &Fact| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(&f.name), escape(&f.value));
    let list: String = facts.iter().map(entry).collect();
    format!("<details><summary>{}</summary><dl>{list}</dl></details>\n", escape(title))
}
