//! A part of some work, for one of several processes that share it: `--shard i/n` on the command line.

use std::fmt;
use std::str::FromStr;

/// More are refused.
const MOST: usize = 65_536;

/// Part `number` of `of` equal ones; the first is 1 of n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// A shard, if there is one of this number: the first is 1, the last is `of`.
    pub fn new(number: usize, of: usize) -> Option<Self> {
        ((1..=of).contains(&number) && of <= MOST).then_some(Self { number, of })
    }

    /// Its number, from 1 on.
    pub fn number(self) -> usize {
        self.number
    }

    /// How many shards there are.
    pub fn of(self) -> usize {
        self.of
    }

    /// Whether the point number `index`, from 0, belongs to it: every n-th does.
    pub fn has(self, index: usize) -> bool {
        index % self.of + 1 == self.number
    }

    /// The positions of its images among so many, rising; none if there are more shards than images. Of every n images in a
    /// row each of n shards has one. From one row to the next the shard's place moves on by one: where classes come in turns, a
    /// shard gets all of them.
    pub fn positions(self, images: usize) -> Vec<u32> {
        let place = |row: usize| row * self.of + (self.number - 1 + row) % self.of;
        let rows = images.div_ceil(self.of);
        (0..rows).map(place).filter(|&place| place < images).map(|place| place as u32).collect()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let (number, of): (usize, usize) =
            parts.ok_or("it must be the shard's number and the number of shards, such as 1/4")?;
        Self::new(number, of).ok_or_else(|| match of {
            0 => "there must be at least 1 shard, such as 1/1".to_string(),
            of if of > MOST => format!("there can be at most {MOST} shards"),
            _ => format!(
                "a shard is i/n with i from 1 to n: the first of {of} is 1/{of} and the last {of}/{of}"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(text: &str, images: usize) -> Vec<u32> {
        text.parse::<Shard>().unwrap().positions(images)
    }

    #[test]
    fn shards_have_every_image_once_and_differ_by_one_image_at_most() {
        for (of, images) in [(1, 1), (1, 7), (2, 7), (3, 9), (4, 10), (7, 7), (10, 103)] {
            let shards: Vec<_> = (1..=of).map(|i| positions(&format!("{i}/{of}"), images)).collect();
            let sizes = shards.iter().map(Vec::len);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{of} of {images}");
            assert!(shards.iter().all(|own| own.is_sorted()));
            let mut all = shards.concat();
            all.sort_unstable();
            assert_eq!(all, (0..images as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_shard_has_all_classes_where_classes_come_in_turns() {
        for of in [2, 5, 10, 20] {
            let mut classes: Vec<u32> = positions(&format!("2/{of}"), 400).iter().map(|i| i % 10).collect();
            classes.sort_unstable();
            classes.dedup();
            assert_eq!(classes.len(), 10, "{of} shards");
        }
    }

    #[test]
    fn a_shard_that_is_none_is_named() {
        let refused = |text: &str| text.parse::<Shard>().unwrap_err();
        for text in ["5/3", "0/3"] {
            assert!(refused(text).contains("the first of 3 is 1/3 and the last 3/3"), "{}", refused(text));
        }
        assert!(refused("1/0").contains("at least 1 shard"));
        assert!(refused("1/1000000").contains("at most 65536"));
        for text in ["", "1", "a/b", "1/", "-1/3", "1/2/3"] {
            assert!(refused(text).contains("such as 1/4"), "{text}");
        }
    }
}
