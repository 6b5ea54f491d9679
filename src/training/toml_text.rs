//! How a TOML text of settings is read, and how its errors name line and key.

use super::TrainError;
use crate::files;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::path::Path;
use toml::Value;

/// Parses the TOML text of the file `path`; an error names the line and its key.
pub fn from_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, TrainError> {
    toml::from_str(text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(String::new(), |text| format!("line {}: ", 1 + text.matches('\n').count()));
        let problem = value_problem(before.and_then(key_before), e.message());
        TrainError::Run { path: path.to_path_buf(), problem: format!("{line}{problem}") }
    })
}

/// The table that a TOML text describes; `None` if it describes none. Whole numbers from 2^63 on, which a seed may be and which
/// a table has no room for, are texts in it.
pub fn table_of(text: &str) -> Option<toml::Table> {
    text.parse().ok().or_else(|| {
        let all: serde_json::Map<String, Json> = toml::from_str(text).ok()?;
        Some(all.into_iter().map(|(key, value)| (key, value_of(value))).collect())
    })
}

/// A value of a table, with texts for the numbers that do not fit.
fn value_of(value: Json) -> Value {
    match value {
        // JSON has no number for it.
        Json::Null => Value::Float(f64::NAN),
        Json::Bool(value) => Value::Boolean(value),
        Json::Number(number) => match (number.as_i64(), number.as_f64().filter(|_| number.is_f64())) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(real)) => Value::Float(real),
            (None, None) => Value::String(number.to_string()),
        },
        Json::String(text) => Value::String(text),
        Json::Array(values) => Value::Array(values.into_iter().map(value_of).collect()),
        Json::Object(all) => {
            Value::Table(all.into_iter().map(|(key, value)| (key, value_of(value))).collect())
        }
    }
}

/// What a TOML parser says of a value, with its key and without the names of Rust's types.
pub fn value_problem(key: Option<&str>, message: &str) -> String {
    let whole = "expected a whole number from 0 on";
    let plain = [
        ("expected usize", whole),
        ("expected u64", whole),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected f32", "expected a number"),
        (" as i128", ""),
        ("\n", ", "),
    ];
    let message = plain.iter().fold(message.to_string(), |text, (own, plain)| text.replace(own, plain));
    // A terminal would obey what a file has between quotation marks.
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let message: String = message.chars().map(shown).collect();
    let message = files::foreign(message);
    match key.filter(|key| !message.contains(&format!("\"{key}\""))) {
        Some(key) => format!("{key}: {message}"),
        None => message,
    }
}

/// The key of the value at which `text` ends, if it stands on the same line.
fn key_before(text: &str) -> Option<&str> {
    let (key, _) = text.rsplit('\n').next()?.split_once('=')?;
    let key = key.trim().trim_matches('"');
    let of_a_key = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!key.is_empty() && key.chars().all(of_a_key)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::training::config::RateChange;
    use crate::training::{Preset, TrainConfig};

    #[test]
    fn a_text_with_numbers_that_no_table_has_room_for_is_the_same_table_otherwise() {
        let changes = vec![RateChange { step: 3, lr: Some(0.1), generator_lr: None }];
        let config = TrainConfig {
            changes,
            clip_norm: Some(1e-7),
            ..TrainConfig::preset(Preset::Small, DatasetKind::Digits)
        };
        let text = |seed| toml::to_string(&TrainConfig { seed, ..config.clone() }).unwrap();
        let (mut small, mut large) = (table_of(&text(7)).unwrap(), table_of(&text(u64::MAX)).unwrap());
        assert!(text(u64::MAX).parse::<toml::Table>().is_err(), "it needs no help");
        assert_eq!(small.remove("seed"), Some(Value::Integer(7)));
        assert_eq!(large.remove("seed"), Some(Value::String(u64::MAX.to_string())));
        assert_eq!(small, large);
        assert_eq!(table_of("seed = ="), None);
    }
}
