//! The records as they lie on disk. They differ from the public ones in what bincode cannot read back (untagged and
//! skipped fields), and in what stands elsewhere (ids in keys, vectors in their own family).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::EventKey;
use crate::counters::CountedEvent;
use crate::record::{Attributes, Event, Item, Timestamp, User, Value};

/// An attribute value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StoredValue {
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<StoredValue>),
}

impl From<Value> for StoredValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Bool(flag) => Self::Bool(flag),
            Value::Number(number) => Self::Number(number),
            Value::Text(text) => Self::Text(text),
            Value::List(values) => Self::List(values.into_iter().map(Into::into).collect()),
        }
    }
}

impl From<StoredValue> for Value {
    fn from(value: StoredValue) -> Self {
        match value {
            StoredValue::Bool(flag) => Self::Bool(flag),
            StoredValue::Number(number) => Self::Number(number),
            StoredValue::Text(text) => Self::Text(text),
            StoredValue::List(values) => Self::List(values.into_iter().map(Into::into).collect()),
        }
    }
}

type StoredAttributes = BTreeMap<String, StoredValue>;

fn stored(attributes: &Attributes) -> StoredAttributes {
    attributes.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
}

fn attributes(stored: StoredAttributes) -> Attributes {
    stored.into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// A value of `items`. The dense id comes first, so that it can be read alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredItem {
    pub dense: u32,
    categories: Vec<String>,
    attributes: StoredAttributes,
    time: Option<i64>,
    hidden: bool,
}

impl StoredItem {
    pub fn new(dense: u32, item: &Item) -> Self {
        Self {
            dense,
            categories: item.categories.clone(),
            attributes: stored(&item.attributes),
            time: item.time.map(Timestamp::millis),
            hidden: item.hidden,
        }
    }

    /// The public record, without vectors.
    pub fn into_item(self, id: String) -> Item {
        Item {
            id,
            categories: self.categories,
            attributes: attributes(self.attributes),
            time: self.time.and_then(|millis| Timestamp::from_millis(millis).ok()),
            hidden: self.hidden,
            vectors: BTreeMap::new(),
        }
    }
}

/// A value of `users`. The dense id comes first, so that it can be read alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredUser {
    pub dense: u32,
    attributes: StoredAttributes,
}

impl StoredUser {
    pub fn new(dense: u32, user: &User) -> Self {
        Self { dense, attributes: stored(&user.attributes) }
    }

    pub fn into_user(self, id: String) -> User {
        User { id, attributes: attributes(self.attributes) }
    }
}

/// A value of `events`. Value and session come first: training reads nothing else. `user_events` has it alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    pub value: Option<f64>,
    session: Option<String>,
    dwell_ms: Option<u64>,
    context: StoredAttributes,
    recommendation_id: Option<String>,
    position: Option<u32>,
}

impl StoredEvent {
    pub fn new(event: &Event) -> Self {
        Self {
            value: event.value,
            session: event.session.clone(),
            dwell_ms: event.dwell_ms,
            context: stored(&event.context),
            recommendation_id: event.recommendation_id.clone(),
            position: event.position,
        }
    }

    /// What a counter takes from it.
    pub fn counted(&self, time: Timestamp) -> CountedEvent {
        CountedEvent { time, value: self.value, dwell_ms: self.dwell_ms }
    }

    /// What an experiment takes from it: the answer that it names, and the visit it belongs to.
    pub fn answer_and_session(self) -> (Option<String>, Option<String>) {
        (self.recommendation_id, self.session)
    }

    /// The place in an answer at which it was shown.
    pub fn position(&self) -> Option<u32> {
        self.position
    }

    /// Its circumstances.
    pub fn context(self) -> Attributes {
        attributes(self.context)
    }

    pub fn into_event(self, user: String, item: String, key: EventKey<'_>) -> Event {
        Event {
            user,
            item,
            kind: key.kind.to_owned(),
            value: self.value,
            time: Some(key.time),
            id: (!key.id.is_empty()).then(|| key.id.to_owned()),
            session: self.session,
            dwell_ms: self.dwell_ms,
            context: attributes(self.context),
            recommendation_id: self.recommendation_id,
            position: self.position,
        }
    }
}

/// The value of `counters` in `meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    pub next_user: u32,
    pub next_item: u32,
    pub users: u64,
    pub items: u64,
    pub events: u64,
    /// Events ever stored plus events ever removed.
    pub log_changes: u64,
    pub newest_event: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec;

    #[test]
    fn records_are_read_as_written() {
        let item: Item = serde_json::from_str(
            r#"{"id":"i","categories":["a"],"attributes":{"t":"x","n":1.5,"b":true,"l":["y",2]},"time":5,"hidden":true}"#,
        )
        .unwrap();
        let bytes = codec::encode(&StoredItem::new(7, &item)).unwrap();
        assert_eq!(codec::decode_first::<u32>("item", &bytes).unwrap(), 7);
        assert_eq!(codec::decode::<StoredItem>("item", &bytes).unwrap().into_item("i".into()), item);
    }

    #[test]
    fn the_bytes_of_version_1_stay() {
        let item = Item { categories: vec!["a".into()], hidden: true, ..Item::new("i") };
        assert_eq!(codec::encode(&StoredItem::new(7, &item)).unwrap(), [1, 7, 1, 1, b'a', 0, 0, 1]);
        let event = Event::new("u", "i", "click").with_value(1.0);
        let expected = [1, 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0];
        assert_eq!(codec::encode(&StoredEvent::new(&event)).unwrap(), expected);
    }
}
