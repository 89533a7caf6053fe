//! The keys, byte by byte. Numbers are big-endian, so that the order of the bytes is the order of the meaning.
//!
//! ```text
//! events        time u64 (sign bit flipped) | user u32 | item u32 | type length u8 | type | event id
//! user_events   user u32 | reversed time u64 | item u32 | type length u8 | type | event id
//! item_vectors  space length u16 | space | item u32
//! user_factors, item_factors   snapshot u64 | dense id u32
//! user_ids, item_ids           dense id u32
//! snapshots, jobs, trials      number u64
//! users, items                 the external id
//! item_index    term (see `term`) | item u32
//! experiments      the experiment's id
//! exposures        0 u8 | time u64 | answer; 1 u8 | answer; 2 u8 | user length u16 | user | reversed time u64 | answer;
//!                  rows as the ranker saw them: 3 u8 | number u64
//! event_counters   0 user, 1 item u8 | dense id u32 | type; journal: 2 u8 | number u64
//! ```

use crate::counters::Owner;
use crate::record::{ItemId, SnapshotId, Timestamp, UserId};

/// What identifies an event, borrowed from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKey<'a> {
    /// When it happened.
    pub time: Timestamp,
    /// Who.
    pub user: UserId,
    /// With which item.
    pub item: ItemId,
    /// What.
    pub kind: &'a str,
    /// The caller's distinction of events that agree in all else; empty if there is none.
    pub id: &'a str,
}

impl<'a> EventKey<'a> {
    /// Appends the key in `events`.
    pub fn write_log(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&ordered(self.time).to_be_bytes());
        out.extend_from_slice(&self.user.get().to_be_bytes());
        self.write_rest(out);
    }

    /// Appends the key in `user_events`.
    pub fn write_user(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.user.get().to_be_bytes());
        out.extend_from_slice(&(!ordered(self.time)).to_be_bytes());
        self.write_rest(out);
    }

    fn write_rest(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.item.get().to_be_bytes());
        out.push(self.kind.len() as u8);
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(self.id.as_bytes());
    }

    /// Reads a key of `events`; `None` if it is not one.
    pub fn read_log(key: &'a [u8]) -> Option<Self> {
        let (time, key) = key.split_first_chunk()?;
        let (user, key) = key.split_first_chunk()?;
        Self::read_rest(u64::from_be_bytes(*time), u32::from_be_bytes(*user), key)
    }

    /// Reads a key of `user_events`; `None` if it is not one.
    pub fn read_user(key: &'a [u8]) -> Option<Self> {
        let (user, key) = key.split_first_chunk()?;
        let (time, key) = key.split_first_chunk()?;
        Self::read_rest(!u64::from_be_bytes(*time), u32::from_be_bytes(*user), key)
    }

    fn read_rest(time: u64, user: u32, key: &'a [u8]) -> Option<Self> {
        let (item, key) = key.split_first_chunk()?;
        let (kind_length, key) = key.split_first()?;
        let (kind, id) = key.split_at_checked(usize::from(*kind_length))?;
        Some(Self {
            time: Timestamp::from_millis((time ^ SIGN) as i64).ok()?,
            user: UserId::new(user),
            item: ItemId::new(u32::from_be_bytes(*item)),
            kind: std::str::from_utf8(kind).ok()?,
            id: std::str::from_utf8(id).ok()?,
        })
    }
}

const SIGN: u64 = 1 << 63;

fn ordered(time: Timestamp) -> u64 {
    time.millis() as u64 ^ SIGN
}

/// The first possible key of `events` at a time.
pub fn log_from(time: Timestamp) -> [u8; 8] {
    ordered(time).to_be_bytes()
}

/// A dense id as a key, and as the prefix of all `user_events` of a user.
pub fn dense(id: u32) -> [u8; 4] {
    id.to_be_bytes()
}

/// The first possible key of a user's `user_events` from before a time: the newest of them.
pub fn user_events_before(user: UserId, time: Timestamp) -> Vec<u8> {
    [&dense(user.get())[..], &earlier(time)].concat()
}

/// The first bytes of reversed times that are before a time.
fn earlier(time: Timestamp) -> [u8; 8] {
    (!ordered(time)).saturating_add(1).to_be_bytes()
}

/// The number in a key of four bytes.
pub fn read_dense(key: &[u8]) -> Option<u32> {
    key.try_into().ok().map(u32::from_be_bytes)
}

/// The number of a record.
pub fn number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in a key of eight bytes.
pub fn read_number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// What all rows begin with that a ranker saw.
pub const SERVED: [u8; 1] = [3];

/// The rows of an answer.
pub fn served(number: u64) -> Vec<u8> {
    [&SERVED[..], &number.to_be_bytes()].concat()
}

/// A factor's key.
pub fn factor(snapshot: SnapshotId, id: u32) -> [u8; 12] {
    let mut key = [0; 12];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&snapshot.0.to_be_bytes());
    tail.copy_from_slice(&id.to_be_bytes());
    key
}

/// The dense id in a factor's key.
pub fn read_factor(key: &[u8]) -> Option<u32> {
    key.get(8..).and_then(read_dense)
}

/// What all vectors of a space begin with.
pub fn space(name: &str) -> Vec<u8> {
    [&(name.len() as u16).to_be_bytes(), name.as_bytes()].concat()
}

/// A vector's key.
pub fn vector(space_name: &str, item: ItemId) -> Vec<u8> {
    let mut key = space(space_name);
    key.extend_from_slice(&dense(item.get()));
    key
}

/// The item in a vector's key.
pub fn read_vector(key: &[u8]) -> Option<ItemId> {
    let (length, key) = key.split_first_chunk()?;
    key.get(usize::from(u16::from_be_bytes(*length))..).and_then(read_dense).map(ItemId::new)
}

/// What all counters of an owner begin with.
pub fn owner(owner: Owner) -> [u8; 5] {
    let (side, id) = match owner {
        Owner::User(id) => (0, id.get()),
        Owner::Item(id) => (1, id.get()),
    };
    let [a, b, c, d] = dense(id);
    [side, a, b, c, d]
}

/// What the counters of all users begin with.
pub const USER_COUNTERS: [u8; 1] = [0];

/// What the counters of all items begin with.
pub const ITEM_COUNTERS: [u8; 1] = [1];

/// The key of an entry of the counters' journal.
pub fn journal(number: u64) -> [u8; 9] {
    let mut key = [2; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The number in a key of the journal.
pub fn read_journal(key: &[u8]) -> Option<u64> {
    key.strip_prefix(&[2]).and_then(read_number)
}

/// The owner and the event type in a counter's key.
pub fn read_counter(key: &[u8]) -> Option<(Owner, &str)> {
    let (side, key) = key.split_first()?;
    let (id, kind) = key.split_at_checked(4)?;
    let id = read_dense(id)?;
    let owner = match side {
        0 => Owner::User(UserId::new(id)),
        1 => Owner::Item(ItemId::new(id)),
        _ => return None,
    };
    Some((owner, std::str::from_utf8(kind).ok()?))
}

/// An answer in the order of time: what holds the exposure.
pub fn exposure(time: Timestamp, answer: &str) -> Vec<u8> {
    [&[0][..], &ordered(time).to_be_bytes(), answer.as_bytes()].concat()
}

/// What comes after the answers in the order of time.
pub const EXPOSURES_END: [u8; 1] = [1];

/// The first possible key of an exposure at a time.
pub fn exposures_from(time: Timestamp) -> [u8; 9] {
    let mut key = [0; 9];
    key[1..].copy_from_slice(&ordered(time).to_be_bytes());
    key
}

/// Time and answer in an exposure's key.
pub fn read_exposure(key: &[u8]) -> Option<(Timestamp, &str)> {
    let (time, answer) = key.strip_prefix(&[0])?.split_first_chunk()?;
    let time = Timestamp::from_millis((u64::from_be_bytes(*time) ^ SIGN) as i64).ok()?;
    Some((time, std::str::from_utf8(answer).ok()?))
}

/// Where an answer's time is found.
pub fn exposure_by_answer(answer: &str) -> Vec<u8> {
    [&[1][..], answer.as_bytes()].concat()
}

/// What the answers of a user begin with.
pub fn exposures_of(user: &str) -> Vec<u8> {
    [&[2][..], &(user.len() as u16).to_be_bytes(), user.as_bytes()].concat()
}

/// The first possible key of a user's answers from before a time: the newest of them.
pub fn exposures_of_before(user: &str, time: Timestamp) -> Vec<u8> {
    [&exposures_of(user)[..], &earlier(time)].concat()
}

/// An answer of a user, the newest first.
pub fn exposure_of(user: &str, time: Timestamp, answer: &str) -> Vec<u8> {
    [&exposures_of(user)[..], &(!ordered(time)).to_be_bytes(), answer.as_bytes()].concat()
}

/// Time and answer in the key of an answer of this user.
pub fn read_exposure_of<'k>(user: &str, key: &'k [u8]) -> Option<(Timestamp, &'k str)> {
    let (time, answer) = key.get(3 + user.len()..)?.split_first_chunk()?;
    let time = Timestamp::from_millis((!u64::from_be_bytes(*time) ^ SIGN) as i64).ok()?;
    Some((time, std::str::from_utf8(answer).ok()?))
}

/// User, time and answer in the key of an answer of a user.
pub fn read_exposure_user(key: &[u8]) -> Option<(&str, Timestamp, &str)> {
    let (length, rest) = key.strip_prefix(&[2])?.split_first_chunk()?;
    let user = std::str::from_utf8(rest.get(..usize::from(u16::from_be_bytes(*length)))?).ok()?;
    let (time, answer) = read_exposure_of(user, key)?;
    Some((user, time, answer))
}

/// The smallest key that is greater than all keys with a prefix; `None` if there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix.get(..=last)?.to_vec();
    *after.last_mut()? += 1;
    Some(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = (i64, u32, u32, String, String);

    fn parts() -> impl Strategy<Value = Parts> {
        let time = Timestamp::MIN.millis()..=Timestamp::MAX.millis();
        (time, any::<u32>(), any::<u32>(), "[a-z]{1,9}", "[a-z0-9]{0,9}")
    }

    fn key((time, user, item, kind, id): &Parts) -> EventKey<'_> {
        let time = Timestamp::from_millis(*time).unwrap();
        EventKey { time, user: UserId::new(*user), item: ItemId::new(*item), kind, id }
    }

    fn log(parts: &Parts) -> Vec<u8> {
        let mut out = Vec::new();
        key(parts).write_log(&mut out);
        out
    }

    fn user(parts: &Parts) -> Vec<u8> {
        let mut out = Vec::new();
        key(parts).write_user(&mut out);
        out
    }

    proptest! {
        #[test]
        fn event_keys_are_read_as_written(parts in parts()) {
            let (log, user) = (log(&parts), user(&parts));
            prop_assert_eq!(EventKey::read_log(&log), Some(key(&parts)));
            prop_assert_eq!(EventKey::read_user(&user), Some(key(&parts)));
        }

        #[test]
        fn bytes_are_in_the_order_of_time_and_user(a in parts(), b in parts()) {
            prop_assume!((a.0, a.1, a.2) != (b.0, b.1, b.2));
            prop_assert_eq!(log(&a).cmp(&log(&b)), (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
            let newest_first = (a.1, std::cmp::Reverse(a.0), a.2).cmp(&(b.1, std::cmp::Reverse(b.0), b.2));
            prop_assert_eq!(user(&a).cmp(&user(&b)), newest_first);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (EventKey::read_log(&bytes), EventKey::read_user(&bytes), read_vector(&bytes), read_factor(&bytes));
            let _ = (read_counter(&bytes), read_exposure(&bytes), read_exposure_of("u", &bytes));
            let _ = read_exposure_user(&bytes);
        }

        #[test]
        fn exposure_keys_are_read_as_written_and_in_order(
            (a, b) in (0..1i64 << 45, 0..1i64 << 45), user in "[a-zé]{1,9}", answer in "[a-z0-9-]{1,9}",
        ) {
            let (a, b) = (Timestamp::from_millis(a).unwrap(), Timestamp::from_millis(b).unwrap());
            let (by_time, by_user) = (exposure(a, &answer), exposure_of(&user, a, &answer));
            prop_assert_eq!(read_exposure(&by_time), Some((a, &answer[..])));
            prop_assert_eq!(read_exposure_of(&user, &by_user), Some((a, &answer[..])));
            prop_assert_eq!(read_exposure_user(&by_user), Some((&user[..], a, &answer[..])));
            prop_assert_eq!(exposure(a, "x").cmp(&exposure(b, "x")), a.cmp(&b));
            prop_assert_eq!(exposure_of(&user, a, "x").cmp(&exposure_of(&user, b, "x")), b.cmp(&a));
            prop_assert!(exposure(a, "x").starts_with(&exposures_from(a)));
            prop_assert_eq!(by_user >= exposures_of_before(&user, b), a < b);
        }

        #[test]
        fn counter_keys_are_read_as_written(id: u32, is_item: bool, kind in "[a-z]{0,9}") {
            let of = if is_item { Owner::Item(ItemId::new(id)) } else { Owner::User(UserId::new(id)) };
            let key = [&owner(of)[..], kind.as_bytes()].concat();
            prop_assert_eq!(read_counter(&key), Some((of, &kind[..])));
        }

        #[test]
        fn numbers_in_keys_are_read_as_written(number: u64, id: u32, space in "\\PC{0,9}") {
            prop_assert_eq!(read_dense(&dense(id)), Some(id));
            prop_assert_eq!(read_number(&super::number(number)), Some(number));
            prop_assert_eq!(read_factor(&factor(SnapshotId(number), id)), Some(id));
            prop_assert_eq!(read_journal(&journal(number)), Some(number));
            prop_assert_eq!(read_vector(&vector(&space, ItemId::new(id))), Some(ItemId::new(id)));
        }

        #[test]
        fn the_key_after_a_prefix_is_the_next_one(prefix in proptest::collection::vec(any::<u8>(), 1..5), rest: [u8; 3]) {
            let inside = [&prefix[..], &rest].concat();
            match after_prefix(&prefix) {
                Some(after) => prop_assert!(after > inside),
                None => prop_assert!(prefix.iter().all(|byte| *byte == 255)),
            }
        }
    }

    #[test]
    fn the_bytes_of_format_1_stay() {
        let parts = (1_700_000_000_000, 1, 2, "click".to_owned(), "x".to_owned());
        assert_eq!(log(&parts), b"\x80\x00\x01\x8b\xcf\xe5\x68\x00\0\0\0\x01\0\0\0\x02\x05clickx");
        assert_eq!(user(&parts), b"\0\0\0\x01\x7f\xff\xfe\x74\x30\x1a\x97\xff\0\0\0\x02\x05clickx");
        assert_eq!(vector("img", ItemId::new(3)), b"\0\x03img\0\0\0\x03");
        assert_eq!(factor(SnapshotId(1), 2), *b"\0\0\0\0\0\0\0\x01\0\0\0\x02");
    }
}
