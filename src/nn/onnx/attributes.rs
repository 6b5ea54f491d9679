//! The attributes of a node, with their defaults.

use super::constant::{Constant, Loader};
use super::message::{Attribute, Node};

/// Attributes by name.
pub struct Attributes<'a>(&'a [(String, Attribute<'a>)]);

impl<'a> Attributes<'a> {
    /// Those of a node.
    pub fn of(node: &'a Node<'a>) -> Self {
        Self(&node.attributes)
    }

    fn get(&self, name: &str) -> Option<&'a Attribute<'a>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, attribute)| attribute)
    }

    /// A whole number.
    pub fn integer(&self, name: &str, default: i64) -> i64 {
        self.get(name).and_then(|attribute| attribute.integer).unwrap_or(default)
    }

    /// A number.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.get(name).and_then(|attribute| attribute.float).unwrap_or(default)
    }

    /// A word.
    pub fn text(&self, name: &str, default: &'a str) -> &'a str {
        self.get(name).and_then(|attribute| attribute.text.as_deref()).unwrap_or(default)
    }

    /// Whole numbers.
    pub fn integers(&self, name: &str) -> Option<Vec<i64>> {
        self.get(name).map(|attribute| attribute.integers.clone())
    }

    /// A tensor.
    pub fn tensor(&self, name: &str) -> Result<Option<Constant>, String> {
        let tensor = self.get(name).and_then(|attribute| attribute.tensor.as_ref());
        tensor.map(|tensor| Loader::new(None).load(tensor)).transpose()
    }

    /// What a `Constant` node holds, in whichever of its attributes.
    pub fn constant(&self) -> Result<Constant, String> {
        let mut constant = match self.0 {
            [(name, one)] => match name.as_str() {
                "value" => self.tensor("value")?,
                "value_float" => one.float.map(|value| Constant::floats(&[], vec![value])),
                "value_floats" => Some(Constant::floats(&[one.floats.len()], one.floats.clone())),
                "value_int" => one.integer.map(|value| Constant::integers(&[], vec![value])),
                "value_ints" => Some(Constant::integers(&[one.integers.len()], one.integers.clone())),
                _ => None,
            },
            _ => None,
        }
        .ok_or("holds no tensor of numbers")?;
        // A tensor within a node may have a name, but it is no weight.
        constant.origin = None;
        Ok(constant)
    }

    /// Whether one of them is a graph: a branch or a loop.
    pub fn have_graphs(&self) -> bool {
        self.0.iter().any(|(_, attribute)| attribute.is_graph)
    }
}
