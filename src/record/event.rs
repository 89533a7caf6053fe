//! One interaction between a user and an item.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::validate_attributes;
use super::{Attributes, Timestamp, validate_id};
use crate::error::{Error, Result};

const MAX_KIND_BYTES: usize = 64;
const MAX_DWELL_MS: u64 = 7 * 86_400_000;

/// One interaction: who did what with which item, and when. Time, user, item, type and `id` together are its identity:
/// the same event sent twice is stored once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// External id of the user.
    pub user: String,
    /// External id of the item.
    pub item: String,
    /// What happened: `view`, `click`, `purchase`, `rating`, `dislike`, or any word of yours.
    #[serde(rename = "type")]
    pub kind: String,
    /// A number that belongs to it: the rating, the price, the quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// When it happened; the time of receipt if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Distinguishes events that agree in everything else of the identity: an order line, a message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The visit it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// How long the user stayed, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u64>,
    /// Circumstances: device, place, page.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub context: Attributes,
    /// The answer that showed the item, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation_id: Option<String>,
    /// The place in that answer, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
}

impl Event {
    /// An event that happens now.
    ///
    /// ```
    /// let event = savor::Event::new("u1", "i9", "click").with_value(1.0);
    /// assert!(event.validate().is_ok());
    /// ```
    pub fn new(user: impl Into<String>, item: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            item: item.into(),
            kind: kind.into(),
            value: None,
            time: None,
            id: None,
            session: None,
            dwell_ms: None,
            context: Attributes::new(),
            recommendation_id: None,
            position: None,
        }
    }

    /// The same event with a value.
    pub fn with_value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// The same event at a given time.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        validate_id("user", &self.user)?;
        validate_id("item", &self.item)?;
        if self.kind.is_empty() || self.kind.len() > MAX_KIND_BYTES {
            return Err(Error::invalid(
                "type",
                format!("has {} bytes, expected 1 to {MAX_KIND_BYTES}", self.kind.len()),
            ));
        }
        if self.value.is_some_and(|value| !value.is_finite()) {
            return Err(Error::invalid("value", "is not a finite number"));
        }
        if self.dwell_ms.is_some_and(|dwell| dwell > MAX_DWELL_MS) {
            return Err(Error::invalid("dwell_ms", format!("is more than {MAX_DWELL_MS} (a week)")));
        }
        for (field, id) in
            [("id", &self.id), ("session", &self.session), ("recommendation_id", &self.recommendation_id)]
        {
            if let Some(id) = id {
                validate_id(field, id)?;
            }
        }
        validate_attributes("context", &self.context)
    }
}
