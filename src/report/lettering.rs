//! Letters in figures and pages: escaping, and estimates of how wide a text is, since the reader's browser chooses
//! the font.

/// Text as XML and HTML have it, also within quotes; characters that XML forbids become a replacement character.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A sentence as HTML: what stands between backticks is code, and numbers keep their per cent.
pub fn sentence(text: &str) -> String {
    let escaped = escape(text).replace(" %", "\u{a0}%");
    let parts: Vec<&str> = escaped.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escaped;
    }
    let code = |(i, part): (usize, &&str)| {
        if i % 2 == 1 { format!("<code>{part}</code>") } else { (*part).to_string() }
    };
    parts.iter().enumerate().map(code).collect()
}

/// Estimated width of `text` at a font size, for common sans-serif fonts; rather too wide than too narrow.
pub fn width(text: &str, size: f64) -> f64 {
    let em: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 'I' | '|' | '.' | ',' | ':' | ';' | '\'' | '!' => 0.29,
            ' ' | '\u{a0}' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | '-' => 0.38,
            'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' | '—' => 0.93,
            'A'..='Z' | '&' | '+' | '=' | '<' | '>' | '−' | '×' => 0.71,
            c if (c as u32) < 0x1100 => 0.62,
            _ => 1.0,
        })
        .sum();
    em * size
}

/// `text` cut off with an ellipsis where it would be wider than `most`.
pub fn shortened(text: &str, size: f64, most: f64) -> String {
    if width(text, size) <= most {
        return text.to_string();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width(&kept, size) + width("…", size) > most {
            kept.pop();
            break;
        }
    }
    format!("{}…", kept.trim_end())
}

/// `text` in lines of at most `most`; a single word that is wider is cut off.
pub fn wrapped(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line, size) + width(" ", size) + width(word, size) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shortened(word, size, most)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_markup_is_escaped_and_what_xml_forbids_is_replaced() {
        assert_eq!(escape("a<b & \"c\" > 'd'"), "a&lt;b &amp; &quot;c&quot; &gt; &#39;d&#39;");
        assert_eq!(escape("a\u{0}\u{1b}b"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn commands_in_sentences_are_code_and_a_single_backtick_is_itself() {
        assert_eq!(sentence("run `a < b` at 5 %"), "run <code>a &lt; b</code> at 5\u{a0}%");
        assert_eq!(sentence("it`s"), "it`s");
    }

    #[test]
    fn a_long_text_is_wrapped_between_words_and_a_long_word_is_cut() {
        let lines = wrapped("benign accuracy against the mean norm", 10.0, 100.0);
        assert!(lines.len() > 1 && lines.iter().all(|line| width(line, 10.0) <= 100.0), "{lines:?}");
        assert_eq!(lines.join(" "), "benign accuracy against the mean norm");
        let cut = shortened(&"x".repeat(50), 10.0, 60.0);
        assert!(cut.ends_with('…') && width(&cut, 10.0) <= 60.0);
    }
}
