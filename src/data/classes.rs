//! Names of classes: written the same however the operating system writes them, and compared wherever data meet a model.
//! A model answers with numbers, so data whose classes are other ones would be judged wrongly without a sign.

use std::path::Path;
use unicode_normalization::UnicodeNormalization;

/// How many differing names a message shows.
const SHOWN: usize = 3;

/// `name` in Unicode's composed form (NFC), so that names that read the same are the same.
pub fn normal(name: &str) -> String {
    name.nfc().collect()
}

/// Classes that are not those of a model. Each says which names differ, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassMismatch {
    /// One has more classes.
    #[error(
        "the model has {model} classes and the data have {data}{only_model}{only_data}; use the data that the model was trained on, or give both the same classes"
    )]
    Number {
        /// Classes of the model.
        model: usize,
        /// Classes of the data.
        data: usize,
        /// `, only the model has …`, or nothing.
        only_model: String,
        /// `, only the data have …`, or nothing.
        only_data: String,
    },
    /// The same names with other numbers.
    #[error(
        "the model and the data have the same classes in another order: {differing}; bring the data's classes into the model's order"
    )]
    Order {
        /// Some of the numbers whose names differ.
        differing: String,
    },
    /// Names that only one of them has.
    #[error(
        "the classes of the model and the data have other names: {differing}; use the data that the model was trained on, or rename the data's classes if they mean the same"
    )]
    Names {
        /// Some of the numbers whose names differ.
        differing: String,
    },
}

/// A note about the model in `file`, whose classes could not be compared.
pub fn not_compared(file: &Path) -> String {
    format!("{} does not tell its classes, so they were not compared with those of the data", file.display())
}

/// Compares the class names of a model with those of data, both in the order of their labels and after [`normal`].
///
/// `Ok(false)` says that they could not be compared, because the model does not know its names.
pub fn compare(model: &[String], data: &[String]) -> Result<bool, ClassMismatch> {
    if model.is_empty() {
        return Ok(false);
    }
    let (model, data) = (normalised(model), normalised(data));
    if model.len() != data.len() {
        let (only_model, only_data) =
            (only(&model, &data, "the model has"), only(&data, &model, "the data have"));
        return Err(ClassMismatch::Number { model: model.len(), data: data.len(), only_model, only_data });
    }
    let pairs = model.iter().zip(&data).enumerate();
    let differing: Vec<String> = pairs
        .filter(|(_, (model, data))| model != data)
        .map(|(class, (model, data))| {
            format!("class {class} is {model:?} in the model and {data:?} in the data")
        })
        .collect();
    if differing.is_empty() {
        return Ok(true);
    }
    let differing = some_of(&differing);
    let [mut sorted_model, mut sorted_data] = [model, data];
    sorted_model.sort_unstable();
    sorted_data.sort_unstable();
    Err(match sorted_model == sorted_data {
        true => ClassMismatch::Order { differing },
        false => ClassMismatch::Names { differing },
    })
}

fn normalised(names: &[String]) -> Vec<String> {
    names.iter().map(|name| normal(name)).collect()
}

/// The names that only `one` has, as the end of a sentence.
fn only(one: &[String], other: &[String], whose: &str) -> String {
    let names: Vec<String> =
        one.iter().filter(|name| !other.contains(name)).map(|name| format!("{name:?}")).collect();
    if names.is_empty() { String::new() } else { format!(", only {whose} {}", some_of(&names)) }
}

/// The first few of `all`, and how many there are beyond them.
pub(super) fn some_of(all: &[String]) -> String {
    let shown = all[..all.len().min(SHOWN)].join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn sentence(model: &str, data: &str) -> String {
        compare(&names(model), &names(data)).expect_err("they differ").to_string()
    }

    #[test]
    fn equal_names_in_equal_order_fit_however_they_are_written() {
        assert_eq!(compare(&names("cat dog"), &names("cat dog")), Ok(true));
        // An umlaut as one character and as two.
        assert_eq!(compare(&names("b\u{e4}r cat"), &names("ba\u{308}r cat")), Ok(true));
    }

    #[test]
    fn a_model_that_does_not_know_its_names_is_not_compared() {
        assert_eq!(compare(&[], &names("cat dog")), Ok(false));
    }

    #[test]
    fn other_names_another_order_and_another_number_are_told_apart() {
        let renamed = sentence("cat dog", "cat kitty");
        assert!(renamed.contains("class 1 is \"dog\" in the model and \"kitty\" in the data"), "{renamed}");
        let order = sentence("cat dog", "dog cat");
        assert!(order.contains("another order: class 0 is \"cat\""), "{order}");
        let number = sentence("cat dog owl", "cat dog");
        assert!(number.contains("3 classes") && number.contains("only the model has \"owl\""), "{number}");
        let number = sentence("cat dog", "cat emu");
        assert!(!number.contains("only"), "{number}");
    }

    #[test]
    fn only_a_few_of_many_names_are_shown() {
        let text = sentence("a b c d e f", "g h i j k l");
        assert!(
            text.contains("class 2 is \"c\"") && !text.contains("class 3") && text.contains("and 3 more"),
            "{text}"
        );
    }
}
