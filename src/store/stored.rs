//! The records as they lie on disk. They differ from the public ones in what bincode cannot read back (untagged and
//! skipped fields), and in what stands elsewhere (ids in keys, vectors in their own family).

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize};

use super::key::EventKey;
use super::view::session_number;
use crate::counters::CountedEvent;
use crate::record::{Attributes, Event, Item, Timestamp, User, Value};

/// An attribute value. There are no lists in lists, and none is read: damaged bytes could nest them as deep as they are long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StoredValue {
    Bool(bool),
    Number(f64),
    Text(String),
    List(#[serde(deserialize_with = "single_values")] Vec<StoredValue>),
}

/// A value that is no list, in the same bytes.
#[derive(Deserialize)]
enum SingleValue {
    Bool(bool),
    Number(f64),
    Text(String),
}

fn single_values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StoredValue>, D::Error> {
    let values = Vec::<SingleValue>::deserialize(deserializer)?;
    let stored = values.into_iter().map(|value| match value {
        SingleValue::Bool(flag) => StoredValue::Bool(flag),
        SingleValue::Number(number) => StoredValue::Number(number),
        SingleValue::Text(text) => StoredValue::Text(text),
    });
    Ok(stored.collect())
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

    /// Stands for the session that it names.
    pub fn session(&self) -> Option<NonZeroU32> {
        self.session.as_deref().map(session_number)
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
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::record::{ItemId, UserId};
    use crate::store::codec;

    fn single() -> impl Strategy<Value = Value> {
        let number = any::<f64>().prop_filter("finite", |number| number.is_finite());
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            number.prop_map(Value::Number),
            any::<String>().prop_map(Value::Text)
        ]
    }

    fn described() -> impl Strategy<Value = Attributes> {
        let value = prop_oneof![3 => single(), 1 => vec(single(), 0..4).prop_map(Value::List)];
        btree_map(any::<String>(), value, 0..5)
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.millis()..=Timestamp::MAX.millis()).prop_map(|millis| Timestamp::from_millis(millis).unwrap())
    }

    proptest! {
        #[test]
        fn any_item_and_any_user_are_read_as_written(
            dense: u32, categories: Vec<String>, attributes in described(), time in prop::option::of(time()), hidden: bool,
        ) {
            let user = User { attributes: attributes.clone(), ..User::new("u") };
            let item = Item { categories, attributes, time, hidden, ..Item::new("i") };
            let bytes = codec::encode(&StoredItem::new(dense, &item)).unwrap();
            prop_assert_eq!(codec::decode_first::<u32>("an item", &bytes).unwrap(), dense);
            prop_assert_eq!(codec::decode::<StoredItem>("an item", &bytes).unwrap().into_item("i".into()), item);
            let bytes = codec::encode(&StoredUser::new(dense, &user)).unwrap();
            prop_assert_eq!(codec::decode_first::<u32>("a user", &bytes).unwrap(), dense);
            prop_assert_eq!(codec::decode::<StoredUser>("a user", &bytes).unwrap().into_user("u".into()), user);
        }

        #[test]
        fn any_event_is_read_as_written(
            value in prop::option::of(-1e300..1e300f64), session: Option<String>, dwell_ms: Option<u64>,
            context in described(), recommendation_id: Option<String>, position: Option<u32>, id: String, time in time(),
        ) {
            let event = Event {
                value, session, dwell_ms, context, recommendation_id, position,
                id: (!id.is_empty()).then(|| id.clone()),
                ..Event::new("u", "i", "view").at(time)
            };
            let bytes = codec::encode(&StoredEvent::new(&event)).unwrap();
            let stored: StoredEvent = codec::decode("an event", &bytes).unwrap();
            let key = EventKey { time, user: UserId::new(1), item: ItemId::new(2), kind: "view", id: &id };
            prop_assert_eq!(stored.into_event("u".into(), "i".into(), key), event);
        }
    }

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
    fn a_list_in_a_list_is_refused_however_deep() {
        let nested = |depth: usize| [&[1, 7, 1, 1, b'k'][..], &[3, 1].repeat(depth), &[0, 1]].concat();
        assert!(codec::decode::<StoredUser>("a user", &nested(1)).is_ok());
        for depth in [2, 3, 1_000_000] {
            assert_eq!(codec::decode::<StoredUser>("a user", &nested(depth)).unwrap_err().code(), "corrupt");
        }
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
