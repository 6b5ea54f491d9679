//! Which run a configuration is: what two configurations differ in, and a fingerprint that tells runs apart.

use super::config::TrainConfig;
use super::toml_text::table_of;

/// Keys that say where and how long a run is trained, not which run it is.
pub const MAY_DIFFER: [&str; 7] =
    ["adapter", "data", "kernels", "epochs", "max-steps", "checkpoint-every", "changes"];

/// A key in which two configurations differ, with both values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key as in `config.toml`.
    pub key: String,
    /// Its value in the first, or `not set`.
    pub first: String,
    /// Its value in the second, or `not set`.
    pub second: String,
}

impl TrainConfig {
    /// The first key in which two configurations differ, `ignored` ones aside.
    pub fn difference(&self, other: &Self, ignored: &[&str]) -> Option<Difference> {
        let (own, other) = (self.table(), other.table());
        let shown = |value: Option<&toml::Value>| value.map_or("not set".to_string(), ToString::to_string);
        let mut keys = own.keys().chain(other.keys());
        let key = keys.find(|key| !ignored.contains(&key.as_str()) && own.get(*key) != other.get(*key))?;
        Some(Difference { key: key.clone(), first: shown(own.get(key)), second: shown(other.get(key)) })
    }

    /// Tells runs apart, however long and wherever they are trained; kept in their models.
    pub fn fingerprint(&self) -> String {
        format!("{:08x}", crc32c::crc32c(self.identity(&MAY_DIFFER).as_bytes()))
    }

    /// The same text for two configurations exactly if they have no [`difference`](Self::difference).
    pub fn identity(&self, ignored: &[&str]) -> String {
        let mut table = self.table();
        for key in ignored {
            table.remove(*key);
        }
        table.to_string()
    }

    /// The keys as `config.toml` has them. A seed from 2^63 on, for which TOML's values have no room, is a text.
    pub(crate) fn table(&self) -> toml::Table {
        let text = toml::to_string(self).ok();
        // A path that is no Unicode text; it cannot be trained, so all that matters is that it differs.
        let whole = || toml::Table::from_iter([("path".to_string(), format!("{self:?}").into())]);
        text.and_then(|text| table_of(&text)).unwrap_or_else(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::training::Preset;

    #[test]
    fn a_run_with_the_largest_seed_may_change_what_any_other_may() {
        for seed in [0, 1 << 63, u64::MAX] {
            let one = TrainConfig { seed, ..TrainConfig::preset(Preset::Small, DatasetKind::Digits) };
            let longer = TrainConfig { epochs: 500, max_steps: Some(9), ..one.clone() };
            assert_eq!(one.difference(&longer, &MAY_DIFFER), None, "{seed}");
            assert_eq!(one.fingerprint(), longer.fingerprint(), "{seed}");
            let other = TrainConfig { seed: seed ^ 1, ..one.clone() };
            let difference = one.difference(&other, &MAY_DIFFER).unwrap();
            assert_eq!((difference.key.as_str(), one.fingerprint() == other.fingerprint()), ("seed", false));
            assert!(difference.first.contains(&seed.to_string()), "{difference:?}");
        }
    }
}
