//! Flags that are numbers: each has a range, and a value outside it, or one that is no number, is refused in one
//! sentence that names the flag, the value and the range in words.

use clap::builder::TypedValueParser;
use clap::error::{Error, ErrorKind};
use clap::{Arg, Command};
use std::ffi::OsStr;
use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;

/// A kind of number that a flag may have.
pub trait Value: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static {
    /// As sentences call it.
    const KIND: &'static str;
    /// Whether it is a number at all, and not infinite.
    fn is_number(self) -> bool;
}

macro_rules! values {
    ($kind:literal, $is_number:expr, $($value:ty),*) => {
        $(impl Value for $value {
            const KIND: &'static str = $kind;
            fn is_number(self) -> bool {
                ($is_number)(self as f64)
            }
        })*
    };
}
values!("a whole number", |_| true, u32, u64, usize);
values!("a finite number", f64::is_finite, f32, f64);

/// Reads a number within a range.
#[derive(Clone, Copy, Debug)]
pub struct Number<T> {
    low: Bound<T>,
    high: Bound<T>,
}

/// Numbers within `range`, such as `1..=100_u32`; [`above`] has those that Rust's ranges lack.
pub fn number<T: Value>(range: impl RangeBounds<T>) -> Number<T> {
    Number { low: range.start_bound().cloned(), high: range.end_bound().cloned() }
}

/// Numbers above `low`, and up to `high` if there is one.
pub fn above<T: Value>(low: T, high: Option<T>) -> Number<T> {
    Number { low: Bound::Excluded(low), high: high.map_or(Bound::Unbounded, Bound::Included) }
}

impl<T: Value> Number<T> {
    /// The number that `text` says, if it is one of these.
    pub fn read(&self, text: &str) -> Option<T> {
        let value: T = text.parse().ok()?;
        (value.is_number() && (self.low, self.high).contains(&value)).then_some(value)
    }

    /// The range in words.
    pub fn words(&self) -> String {
        let (low, high) = (self.low, self.high);
        let range = match (low, high) {
            (Bound::Unbounded, Bound::Unbounded) => String::new(),
            (Bound::Included(low), Bound::Unbounded) => format!(" from {low} on"),
            (Bound::Excluded(low), Bound::Unbounded) => format!(" above {low}"),
            (Bound::Included(low), Bound::Included(high)) => format!(" from {low} to {high}"),
            (Bound::Included(low), Bound::Excluded(high)) => format!(" from {low} to below {high}"),
            (Bound::Excluded(low), Bound::Included(high)) => format!(" above {low} and at most {high}"),
            (Bound::Excluded(low), Bound::Excluded(high)) => format!(" above {low} and below {high}"),
            (Bound::Unbounded, Bound::Included(high)) => format!(" of at most {high}"),
            (Bound::Unbounded, Bound::Excluded(high)) => format!(" below {high}"),
        };
        format!("{}{range}", T::KIND)
    }
}

impl<T: Value> TypedValueParser for Number<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, flag: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let text = value.to_string_lossy();
        self.read(&text).ok_or_else(|| {
            let name = flag.map_or_else(String::new, |flag| match flag.get_long() {
                Some(long) => format!("--{long}"),
                None => flag.get_id().to_string(),
            });
            let shown = if text.is_empty() { "without a value" } else { &text };
            let sentence = format!("{name} {shown} is not possible; it must be {}\n", self.words());
            Error::raw(ErrorKind::ValueValidation, sentence).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_within_its_range_only() {
        let epochs = number(1..=100_u32);
        let read = ["1", "100", "0", "101", "-1", "1e2", "1.5", "", "abc"].map(|text| epochs.read(text));
        assert_eq!(read[..2], [Some(1), Some(100)]);
        assert!(read[2..].iter().all(Option::is_none), "{read:?}");
        let rate = above(0.0, Some(10.0_f32));
        let read = ["1e-3", "10", "0", "-1", "10.1", "nan", "inf", "1e99"].map(|text| rate.read(text));
        assert_eq!(read[..2], [Some(1e-3), Some(10.0)]);
        assert!(read[2..].iter().all(Option::is_none), "{read:?}");
        assert!(number(0.0..).read("inf").or(number(0.0_f32..).read("1e99").map(f64::from)).is_none());
    }

    #[test]
    fn the_words_say_what_is_taken() {
        assert_eq!(number(1..=100_u32).words(), "a whole number from 1 to 100");
        assert_eq!(number(1_usize..).words(), "a whole number from 1 on");
        assert_eq!(number(0.0..1.0_f32).words(), "a finite number from 0 to below 1");
        assert_eq!(above(0.0, Some(10.0_f32)).words(), "a finite number above 0 and at most 10");
        assert_eq!(above(0.0_f32, None).words(), "a finite number above 0");
    }

    #[test]
    fn a_refusal_names_the_flag_the_value_and_the_range() {
        let command =
            || Command::new("line").arg(Arg::new("epochs").long("epochs").value_parser(number(1..=9_u32)));
        let error = command().try_get_matches_from(["line", "--epochs", "ten"]).unwrap_err().to_string();
        let first = error.lines().next().unwrap();
        assert_eq!(first, "error: --epochs ten is not possible; it must be a whole number from 1 to 9");
        let matches = command().try_get_matches_from(["line", "--epochs", "9"]).unwrap();
        assert_eq!(matches.get_one::<u32>("epochs"), Some(&9));
    }
}
