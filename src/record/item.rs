//! What can be recommended.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::validate_attributes;
use super::{Attributes, Timestamp, Value, validate_id};
use crate::error::{Error, Result};

const MAX_CATEGORIES: usize = 256;
const MAX_DIMENSION: usize = 8192;

/// An item with its metadata.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// External id.
    #[serde(default)]
    pub id: String,
    /// Categories it belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Everything else that is known: title, brand, price, stock.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
    /// When it was published; the `latest` list sorts by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// A hidden item is kept and learned from, but never recommended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Embeddings of yours, by space: `{"image": [0.1, …]}`. All vectors of one space have the same length.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vectors: BTreeMap<String, Vec<f32>>,
}

impl Item {
    /// An item of which nothing but the id is known.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        validate_id("id", &self.id)?;
        if self.categories.len() > MAX_CATEGORIES {
            return Err(Error::invalid(
                "categories",
                format!("has {} entries, expected at most {MAX_CATEGORIES}", self.categories.len()),
            ));
        }
        for (place, category) in self.categories.iter().enumerate() {
            validate_id(&format!("categories[{place}]"), category)?;
        }
        for (space, vector) in &self.vectors {
            let field = format!("vectors.{space}");
            validate_id("vectors", space)?;
            validate_vector(&field, vector)?;
        }
        validate_attributes("attributes", &self.attributes)
    }
}

/// Checks a raw vector: 1 to 8,192 finite numbers.
pub(super) fn validate_vector(field: &str, vector: &[f32]) -> Result<()> {
    if vector.is_empty() || vector.len() > MAX_DIMENSION {
        return Err(Error::invalid(field, format!("has {} numbers, expected 1 to {MAX_DIMENSION}", vector.len())));
    }
    match vector.iter().position(|number| !number.is_finite()) {
        Some(place) => Err(Error::invalid(format!("{field}[{place}]"), "is not a finite number")),
        None => Ok(()),
    }
}

/// Changes to an item: absent fields stay as they are; an attribute or a vector given as `null` is removed.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemPatch {
    /// Replaces all categories.
    pub categories: Option<Vec<String>>,
    /// Sets or removes single attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, Option<Value>>,
    /// Replaces the publishing time.
    pub time: Option<Timestamp>,
    /// Hides or shows the item.
    pub hidden: Option<bool>,
    /// Sets or removes the vectors of single spaces.
    #[serde(default)]
    pub vectors: BTreeMap<String, Option<Vec<f32>>>,
}

impl ItemPatch {
    /// The item with these changes made.
    pub fn apply(self, mut item: Item) -> Item {
        item.categories = self.categories.unwrap_or(item.categories);
        item.time = self.time.or(item.time);
        item.hidden = self.hidden.unwrap_or(item.hidden);
        merge(&mut item.attributes, self.attributes);
        merge(&mut item.vectors, self.vectors);
        item
    }
}

/// Sets each named entry, or removes it where the change is `None`.
pub(super) fn merge<V>(entries: &mut BTreeMap<String, V>, changes: BTreeMap<String, Option<V>>) {
    for (name, change) in changes {
        match change {
            Some(value) => entries.insert(name, value),
            None => entries.remove(&name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_sets_removes_and_leaves() {
        let item: Item = serde_json::from_str(r#"{"id":"i","attributes":{"a":1,"b":"x"},"categories":["c"]}"#).unwrap();
        let patch: ItemPatch = serde_json::from_str(r#"{"attributes":{"a":null,"d":true},"hidden":true}"#).unwrap();
        let patched = patch.apply(item);
        assert_eq!(patched.attributes.keys().collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(patched.categories, ["c"]);
        assert!(patched.hidden);
    }

    #[test]
    fn a_vector_with_a_nan_is_refused_with_its_place() {
        let mut item = Item::new("i");
        item.vectors.insert("image".into(), vec![0.0, f32::NAN]);
        assert_eq!(item.validate().unwrap_err().to_string(), "vectors.image[1]: is not a finite number");
    }
}
