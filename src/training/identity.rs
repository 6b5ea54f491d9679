//! Which run a configuration is: what two configurations differ in, and a fingerprint that tells runs apart.

use super::config::TrainConfig;

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

    /// The keys as `config.toml` has them.
    fn table(&self) -> toml::Table {
        let text = toml::to_string(self).ok();
        // A path that is no Unicode text; it cannot be trained, so all that matters is that it differs.
        let whole = || toml::Table::from_iter([("path".to_string(), format!("{self:?}").into())]);
        text.and_then(|text| text.parse().ok()).unwrap_or_else(whole)
    }
}
