//! Who is recommended to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::item::merge;
use super::value::validate_attributes;
use super::{Attributes, Value, validate_id};
use crate::error::Result;

/// A user with the profile that is known.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// External id.
    #[serde(default)]
    pub id: String,
    /// What is known: age, country, language, interests.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

impl User {
    /// A user of whom nothing but the id is known.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        validate_id("id", &self.id)?;
        validate_attributes("attributes", &self.attributes)
    }
}

/// Changes to a user: absent attributes stay, `null` removes.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    /// Sets or removes single attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, Option<Value>>,
}

impl UserPatch {
    /// The user with these changes made.
    pub fn apply(self, mut user: User) -> User {
        merge(&mut user.attributes, self.attributes);
        user
    }
}
