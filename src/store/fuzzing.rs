//! What a fuzzer does to keys and values. The first byte of an input says what the rest is read as.

#![allow(clippy::unwrap_used)]

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::{self, EventKey};
use super::stored::{Counters, StoredEvent, StoredItem, StoredUser};
use super::{ServedAnswer, Terms, codec, counters, exposures, term_kind};
use crate::counters::{CountedEvent, EventCounter, Fading, Window};
use crate::record::{ItemId, SnapshotId, Timestamp};

/// A key that is read is written as the same bytes.
pub fn keys(bytes: &[u8]) {
    let Some((kind, raw)) = bytes.split_first() else { return };
    if let Some(written) = rewritten(*kind, raw) {
        assert_eq!(written, raw);
    }
    if let Some(after) = key::after_prefix(raw) {
        assert!(after[..] > *raw && after > [raw, &[u8::MAX; 3]].concat());
    }
}

fn rewritten(kind: u8, raw: &[u8]) -> Option<Vec<u8>> {
    let mut written = Vec::new();
    match kind {
        0 => EventKey::read_log(raw)?.write_log(&mut written),
        1 => EventKey::read_user(raw)?.write_user(&mut written),
        2 => {
            let item = key::read_vector(raw)?;
            let space = std::str::from_utf8(raw.get(2..raw.len() - 4)?).ok()?;
            written = key::vector(space, item);
        }
        3 => {
            let snapshot = SnapshotId(u64::from_be_bytes(*raw.first_chunk()?));
            written.extend(key::factor(snapshot, key::read_factor(raw)?));
        }
        4 => {
            let (time, answer) = key::read_exposure(raw)?;
            assert!(raw >= &key::exposures_from(time)[..]);
            written = key::exposure(time, answer);
        }
        5 => {
            let prefix = key::exposures_of("user");
            let own = [&prefix[..], raw].concat();
            let (time, answer) = key::read_exposure_of("user", &own)?;
            written = key::exposure_of("user", time, answer).split_off(prefix.len());
        }
        6 => {
            let (owner, kind) = key::read_counter(raw)?;
            written = [&key::owner(owner)[..], kind.as_bytes()].concat();
        }
        7 => written.extend(key::journal(key::read_journal(raw)?)),
        8 => written.extend(key::dense(key::read_dense(raw)?)),
        _ => written.extend(key::number(key::read_number(raw)?)),
    }
    Some(written)
}

/// A value that is read is written and read as the same, and becomes a public record.
pub fn records(bytes: &[u8]) {
    let Some((kind, raw)) = bytes.split_first() else { return };
    match kind {
        0 => {
            if let Some(stored) = read_again::<StoredItem>(raw) {
                assert_eq!(codec::decode_first::<u32>("an item", raw).unwrap(), stored.dense);
                let item = stored.into_item("i".into());
                assert!(Terms::of(&item).iter().all(|term| term.starts_with(term_kind(term))));
            }
        }
        1 => _ = read_again::<StoredUser>(raw).map(|stored| stored.into_user("u".into())),
        2 => {
            if let Some(stored) = read_again::<StoredEvent>(raw) {
                let key = EventKey {
                    time: Timestamp::default(),
                    user: crate::record::UserId::new(0),
                    item: ItemId::new(0),
                    kind: "view",
                    id: "",
                };
                let again = StoredEvent::new(&stored.clone().into_event("u".into(), "i".into(), key));
                assert_eq!(codec::encode(&again).unwrap(), codec::encode(&stored).unwrap());
            }
        }
        3 => _ = read_again::<Counters>(raw),
        4 => _ = read_again::<u64>(raw),
        5 => {
            if let Ok(read) = ServedAnswer::decode(raw) {
                let written = read.encode().unwrap();
                assert_eq!(ServedAnswer::decode(&written).unwrap().encode().unwrap(), written);
            }
        }
        6 => _ = exposures::read(&key::exposure(Timestamp::default(), "answer"), raw),
        _ => {
            let mut floats = Vec::new();
            if codec::decode_floats(raw, &mut floats).is_ok() {
                assert_eq!(codec::encode_floats(&floats), raw);
            }
        }
    }
}

/// A counter, alone and in the journal: read, written, added up, asked.
pub fn counters(bytes: &[u8]) {
    let Some((kind, raw)) = bytes.split_first() else { return };
    if *kind == 0 {
        let mut rest = raw;
        while let Some((_, _, counter, after)) = counters::read_journaled(rest) {
            try_counter(&counter);
            rest = after;
        }
        return;
    }
    let (first, second) = raw.split_at(raw.len().min(usize::from(*kind)));
    let first = EventCounter::read(first).inspect(try_counter);
    let second = EventCounter::read(second).inspect(try_counter);
    if let (Some(mut sum), Some(other)) = (first, second) {
        sum.merge(&other);
        try_counter(&sum);
    }
}

fn try_counter(counter: &EventCounter) {
    let mut bytes = Vec::new();
    counter.write(&mut bytes);
    let again = EventCounter::read(&bytes).unwrap();
    let mut twice = Vec::new();
    again.write(&mut twice);
    assert_eq!(twice, bytes);
    let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
    for now in [Timestamp::MIN, Timestamp::default(), now, Timestamp::MAX] {
        for window in [1, 3_600_000, 5_400_000, 86_400_000, 30 * 86_400_000, 40 * 86_400_000, i64::MAX] {
            assert!(counter.buckets.within(&Window::new(window, now)) >= 0.0);
        }
        assert!(counter.buckets.decayed(&Fading::new(1e9, now)) >= 0.0);
        assert!(counter.buckets.newest(now).is_none_or(|newest| newest <= now.millis()));
        assert!(counter.buckets.oldest(now).is_none_or(|oldest| oldest <= now.millis()));
        let mut more = counter.clone();
        more.add(CountedEvent { time: now, value: Some(1.0), dwell_ms: Some(u64::MAX) });
        more.remove(CountedEvent { time: now, value: Some(1.0), dwell_ms: Some(u64::MAX) });
    }
}

fn read_again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let read: T = codec::decode("a record", bytes).ok()?;
    let written = codec::encode(&read).unwrap();
    let again: T = codec::decode("a record", &written).unwrap();
    assert_eq!(codec::encode(&again).unwrap(), written);
    Some(read)
}

#[cfg(test)]
pub use seeds::{counter_seeds, key_seeds, record_seeds};

#[cfg(test)]
mod seeds {
    use super::super::ServedRow;
    use super::*;
    use crate::counters::Owner;
    use crate::record::{Event, Item, User, UserId};

    fn item() -> Item {
        let text = r#"{"id":"i","categories":["a"],"attributes":{"t":"x","n":1.5,"b":true,"l":["y",2]},"time":5}"#;
        serde_json::from_str(text).unwrap()
    }

    fn tagged(kind: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        [&[kind], bytes.as_ref()].concat()
    }

    /// Inputs to begin with.
    pub fn key_seeds() -> Vec<Vec<u8>> {
        let (time, user, item) = (Timestamp::from_millis(1_700_000_000_000).unwrap(), UserId::new(1), ItemId::new(2));
        let event = EventKey { time, user, item, kind: "click", id: "x" };
        let (mut log, mut own) = (Vec::new(), Vec::new());
        event.write_log(&mut log);
        event.write_user(&mut own);
        let answer = key::exposure_of("user", time, "r1");
        vec![
            tagged(0, log),
            tagged(1, own),
            tagged(2, key::vector("image", item)),
            tagged(3, key::factor(SnapshotId(7), 2)),
            tagged(4, key::exposure(time, "r1")),
            tagged(5, &answer[key::exposures_of("user").len()..]),
            tagged(6, [&key::owner(Owner::Item(item))[..], b"view"].concat()),
            tagged(7, key::journal(9)),
            tagged(8, key::dense(9)),
            tagged(9, key::number(9)),
            tagged(9, b"a\xff"),
        ]
    }

    /// Inputs to begin with.
    pub fn record_seeds() -> Vec<Vec<u8>> {
        let user: User = serde_json::from_str(r#"{"id":"u","attributes":{"age":40,"tags":["a","b"]}}"#).unwrap();
        let event = Event { context: item().attributes, session: Some("s".into()), ..Event::new("u", "i", "view") };
        let served = ServedAnswer {
            at: 5,
            snapshot: 1,
            user: Some(0),
            user_events: 1,
            profile: 7,
            context: crate::record::Attributes::new(),
            visits: vec![(0, "view".into())],
            metadata: vec![(0, 9)],
            rows: vec![ServedRow { item: 0, item_events: 2, values: vec![1.5, -1.0] }],
        };
        vec![
            tagged(0, codec::encode(&StoredItem::new(7, &item())).unwrap()),
            tagged(1, codec::encode(&StoredUser::new(7, &user)).unwrap()),
            tagged(2, codec::encode(&StoredEvent::new(&event)).unwrap()),
            tagged(
                3,
                codec::encode(&Counters { next_item: 3, newest_event: Some(-5), ..Counters::default() }).unwrap(),
            ),
            tagged(4, codec::encode(&300u64).unwrap()),
            tagged(5, served.encode().unwrap()),
            tagged(
                6,
                [&[1, 1, 1, b'u', 0, 1, 3, 1, 1, b'x', 0, 1, 1, b'i'][..], &[0; 4], b"\x08personal", &[0; 5]].concat(),
            ),
            tagged(7, codec::encode_floats(&[1.0, -2.5])),
            // A value that is a list in a list in a list, and so on, would be as deep as it is long.
            tagged(1, [&[1, 7, 1, 1, b'k'][..], &[3, 1].repeat(2000)].concat()),
        ]
    }

    /// Inputs to begin with.
    pub fn counter_seeds() -> Vec<Vec<u8>> {
        let mut counter = EventCounter::default();
        for (day, value) in [(0, None), (1, Some(2.0)), (40, Some(-1.0))] {
            let time = Timestamp::from_millis(1_700_000_000_000 + day * 86_400_000).unwrap();
            counter.add(CountedEvent { time, value, dwell_ms: Some(1000) });
        }
        let mut bytes = Vec::new();
        counter.write(&mut bytes);
        let key = [&key::owner(Owner::User(UserId::new(3)))[..], b"view"].concat();
        let journal = [&[key.len() as u8][..], &key, &(bytes.len() as u16).to_le_bytes(), &bytes].concat();
        vec![
            tagged(0, journal.repeat(2)),
            tagged(bytes.len() as u8, bytes.repeat(2)),
            // The most that a number can be, twice.
            tagged(14, [&[1u8, 254][..], &[255; 8], &[1, 0, 0, 0], &[0; 4]].concat().repeat(2)),
        ]
    }
}
