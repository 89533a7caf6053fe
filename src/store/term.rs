//! Terms: what the item index says of one item under one key, as bytes whose order is the order of the values. An entry
//! of `item_index` is a term and the item; a condition on one key is a range of terms.
//!
//! ```text
//! term       key length u8 | key | tag u8 | value
//! 0 count    how many values, u32: 0 for an empty list, nothing where the attribute is absent
//! 1 bool     u8
//! 2 number   f64, negative ones inverted, the sign bit of others set; −0 is 0
//! 3 text     up to 255 bytes: the bytes, each 0 followed by 255, and 0 0 at the end
//! 4 digest   of a longer text: XXH3, 128 bits
//! 5 time     milliseconds u64, sign bit flipped: of `time`, and of texts that are datetimes
//! ```
//!
//! Digests of two long texts that differ are equal by chance once in 2^64 texts; who makes them equal on purpose gets an
//! item that matches as if it had the other text, which could have been given to it as well.

use std::collections::BTreeSet;
use std::ops;

use xxhash_rust::xxh3::xxh3_128;

use super::key::after_prefix;
use crate::record::{Bound, CATEGORIES, Item, Range, TIME, Timestamp, Value};

const COUNT: u8 = 0;
const BOOL: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 3;
const DIGEST: u8 = 4;
const TIMES: u8 = 5;

const MAX_TEXT_BYTES: usize = 255;
const SIGN: u64 = 1 << 63;

/// The terms of an item, in order, each once.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Terms(BTreeSet<Box<[u8]>>);

impl Terms {
    /// All that the index says of an item.
    pub fn of(item: &Item) -> Self {
        let mut terms = Self::default();
        if !item.categories.is_empty() {
            terms.count(CATEGORIES, item.categories.len());
            item.categories.iter().for_each(|category| terms.add(CATEGORIES, |out| write_text(category, out)));
        }
        if let Some(time) = item.time {
            terms.count(TIME, 1);
            terms.add(TIME, |out| write_number(time.millis() as f64, out));
            terms.add(TIME, |out| write_time(time, out));
        }
        for (key, value) in item.attributes.iter().filter(|(key, _)| *key != CATEGORIES && *key != TIME) {
            terms.count(key, value.each().len());
            for value in value.each() {
                terms.add(key, |out| write_value(value, out));
                if let Some(time) = value.as_time() {
                    terms.add(key, |out| write_time(time, out));
                }
            }
        }
        terms
    }

    fn count(&mut self, key: &str, count: usize) {
        self.add(key, |out| write_count(count as u32, out));
    }

    /// Adds a term; none for a key that is too long or a value that has none.
    fn add(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(mut term) = key_prefix(key) else { return };
        let empty = term.len();
        write(&mut term);
        if term.len() > empty {
            self.0.insert(term.into());
        }
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|term| &**term)
    }

    /// Those of `self` that `other` has not.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a [u8]> {
        self.0.difference(&other.0).map(|term| &**term)
    }

    /// Whether one of them is in a range.
    pub fn meet(&self, range: &TermRange) -> bool {
        // A range that ends before it starts holds nothing, and is none that a set can be asked for.
        let bounds = (ops::Bound::Included(&*range.start), ops::Bound::Excluded(&*range.end));
        range.start < range.end && self.0.range::<[u8], _>(bounds).next().is_some()
    }
}

/// What the item index is asked: the items that have a term from `start` on and before `end`. Two that are equal ask for
/// the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TermRange {
    start: Box<[u8]>,
    end: Box<[u8]>,
}

impl TermRange {
    /// Items with this value under a key, alone or in a list; `None` if no item can have it.
    pub fn equal(key: &str, value: &Value) -> Option<Self> {
        let mut start = key_prefix(key)?;
        let empty = start.len();
        write_value(value, &mut start);
        if start.len() == empty {
            return None;
        }
        Self::of_prefix(start)
    }

    /// Items with a value in a range under a key; `None` if no item can have one.
    pub fn between(key: &str, range: &Range) -> Option<Self> {
        let tag = if range.is_of_times() { TIMES } else { NUMBER };
        let write = |bound: Bound| {
            let mut term = key_prefix(key)?;
            match bound {
                Bound::Number(number) => write_number(number, &mut term),
                Bound::Time(time) => write_time(time, &mut term),
            }
            Some(term)
        };
        let mut all = key_prefix(key)?;
        all.push(tag);
        let mut whole = Self::of_prefix(all)?;
        for start in [range.gte.and_then(write), range.gt.and_then(write).and_then(|term| after_prefix(&term))] {
            whole.start = start.map_or(whole.start.clone(), |start| whole.start.max(start.into()));
        }
        for end in [range.lt.and_then(write), range.lte.and_then(write).and_then(|term| after_prefix(&term))] {
            whole.end = end.map_or(whole.end.clone(), |end| whole.end.min(end.into()));
        }
        (whole.start < whole.end).then_some(whole)
    }

    /// Items with a count of values in a range under a key; an item without the key is in none.
    pub fn counted(key: &str, counts: std::ops::RangeInclusive<u32>) -> Option<Self> {
        let term = |count| {
            let mut term = key_prefix(key)?;
            write_count(count, &mut term);
            Some(term)
        };
        let end = after_prefix(&term(*counts.end())?)?;
        Some(Self { start: term(*counts.start())?.into(), end: end.into() })
    }

    fn of_prefix(prefix: Vec<u8>) -> Option<Self> {
        Some(Self { end: after_prefix(&prefix)?.into(), start: prefix.into() })
    }

    /// Whether a term is in it.
    pub fn contains(&self, term: &[u8]) -> bool {
        *self.start <= *term && *term < *self.end
    }

    /// The first term, and the bytes after the last.
    pub fn bounds(&self) -> (&[u8], &[u8]) {
        (&self.start, &self.end)
    }

    /// What all its terms begin with, and all terms of other keys and kinds do not.
    pub fn kind(&self) -> &[u8] {
        kind(&self.start)
    }
}

/// Key and tag of a term.
pub fn kind(term: &[u8]) -> &[u8] {
    let length = term.first().map_or(0, |length| usize::from(*length) + 2);
    term.get(..length).unwrap_or(term)
}

/// `None` for a key longer than any attribute's name.
fn key_prefix(key: &str) -> Option<Vec<u8>> {
    let length = u8::try_from(key.len()).ok()?;
    let mut prefix = Vec::with_capacity(key.len() + 16);
    prefix.push(length);
    prefix.extend_from_slice(key.as_bytes());
    Some(prefix)
}

fn write_count(count: u32, out: &mut Vec<u8>) {
    out.push(COUNT);
    out.extend_from_slice(&count.to_be_bytes());
}

/// Writes nothing for a list: there are none in lists.
fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(flag) => out.extend_from_slice(&[BOOL, u8::from(*flag)]),
        Value::Number(number) => write_number(*number, out),
        Value::Text(text) => write_text(text, out),
        Value::List(_) => {}
    }
}

fn write_number(number: f64, out: &mut Vec<u8>) {
    // Adding 0 turns −0 into 0.
    let bits = (number + 0.0).to_bits();
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    out.push(NUMBER);
    out.extend_from_slice(&ordered.to_be_bytes());
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    if text.len() > MAX_TEXT_BYTES {
        out.push(DIGEST);
        out.extend_from_slice(&xxh3_128(text.as_bytes()).to_be_bytes());
        return;
    }
    out.push(TEXT);
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(u8::MAX);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    out.push(TIMES);
    out.extend_from_slice(&(time.millis() as u64 ^ SIGN).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn term(value: &Value) -> Vec<u8> {
        let mut out = key_prefix("k").unwrap();
        write_value(value, &mut out);
        out
    }

    fn number() -> impl Strategy<Value = f64> {
        let odd = vec![0.0, -0.0, f64::MIN, f64::MAX, f64::MIN_POSITIVE, -f64::MIN_POSITIVE, 5e-324, -5e-324];
        prop_oneof![any::<f64>().prop_filter("finite", |n| n.is_finite()), prop::sample::select(odd), -3.0..3.0f64]
    }

    /// Texts that begin alike, with zeros, and across the length from which a digest stands for them.
    fn text() -> impl Strategy<Value = String> {
        let hostile =
            prop::collection::vec(prop::sample::select(vec!['\0', '\u{1}', 'a', '\u{7f}', 'ÿ', '\u{10ffff}']), 0..9);
        let hostile = hostile.prop_map(|chars| chars.into_iter().collect::<String>());
        prop_oneof![hostile.clone(), (hostile, 250usize..258).prop_map(|(end, length)| "a".repeat(length) + &end)]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![any::<bool>().prop_map(Value::Bool), number().prop_map(Value::Number), text().prop_map(Value::Text)]
    }

    proptest! {
        #[test]
        fn numbers_are_in_their_order(a in number(), b in number()) {
            let order = a.partial_cmp(&b).unwrap();
            prop_assert_eq!(term(&a.into()).cmp(&term(&b.into())), order);
        }

        #[test]
        fn short_texts_are_in_their_order(a in text(), b in text()) {
            prop_assume!(a.len() <= MAX_TEXT_BYTES && b.len() <= MAX_TEXT_BYTES);
            prop_assert_eq!(term(&a.as_str().into()).cmp(&term(&b.as_str().into())), a.as_bytes().cmp(b.as_bytes()));
        }

        #[test]
        fn times_are_in_their_order(a in -62_135_596_800_000i64..253_402_128_000_000, b in -3i64..3) {
            let term = |millis| {
                let mut out = Vec::new();
                write_time(Timestamp::from_millis(millis).unwrap(), &mut out);
                out
            };
            prop_assert_eq!(term(a).cmp(&term(b)), a.cmp(&b));
        }

        #[test]
        fn a_term_meets_the_range_of_its_value_alone(a in value(), b in value(), item: u32) {
            let range = TermRange::equal("k", &b).unwrap();
            let item_of = |value: Value| {
                let mut item = Item::new("i");
                item.attributes.insert("k".into(), value);
                Terms::of(&item)
            };
            prop_assert_eq!(item_of(a.clone()).meet(&range), a == b);
            // With the item behind it a term lies where it lay.
            let entry = [&term(&a)[..], &item.to_be_bytes()].concat();
            prop_assert_eq!(range.contains(&entry), a == b);
            prop_assert_eq!(range.kind().to_vec(), kind(&term(&b)).to_vec());
        }

        #[test]
        fn keys_do_not_run_into_values(key in "[a-c\0]{0,3}", other in "[a-c\0]{0,3}", value in value()) {
            let mut item = Item::new("i");
            item.attributes.insert(other.clone(), value.clone());
            prop_assert_eq!(Terms::of(&item).meet(&TermRange::equal(&key, &value).unwrap()), key == other);
        }
    }

    #[test]
    fn the_bytes_of_format_3_stay() {
        let item: Item = serde_json::from_str(
            r#"{"id":"i","categories":["c"],"time":1,"attributes":{"b":true,"l":[],"n":-1.5,"t":["1970-01-02","a\u0000"]}}"#,
        )
        .unwrap();
        let expected: [&[u8]; 13] = [
            b"\x01b\0\0\0\0\x01",
            b"\x01b\x01\x01",
            b"\x01l\0\0\0\0\0",
            b"\x01n\0\0\0\0\x01",
            b"\x01n\x02\x40\x07\xff\xff\xff\xff\xff\xff",
            b"\x01t\0\0\0\0\x02",
            b"\x01t\x031970-01-02\0\0",
            b"\x01t\x03a\0\xff\0\0",
            b"\x01t\x05\x80\0\0\0\x05\x26\x5c\0",
            b"\x04time\0\0\0\0\x01",
            b"\x04time\x02\xbf\xf0\0\0\0\0\0\0",
            b"\x04time\x05\x80\0\0\0\0\0\0\x01",
            b"\x0acategories\0\0\0\0\x01",
        ];
        let terms = Terms::of(&item);
        assert_eq!(terms.iter().take(13).collect::<Vec<_>>(), expected);
        assert_eq!(terms.iter().last(), Some(&b"\x0acategories\x03c\0\0"[..]));
        let long = Item { categories: vec!["x".repeat(256)], ..Item::new("i") };
        let digest = &b"\x0acategories\x04"[..];
        assert!(Terms::of(&long).iter().any(|term| term.starts_with(digest) && term.len() == digest.len() + 16));
    }

    #[test]
    fn bounds_that_leave_nothing_make_no_range() {
        let range = |text: &str| TermRange::between("k", &serde_json::from_str(text).unwrap());
        assert!(range(r#"{"gte":1,"lte":1}"#).is_some());
        assert_eq!(range(r#"{"gt":1,"lte":1}"#), None);
        assert_eq!(range(r#"{"gte":1,"lt":1}"#), None);
        assert_eq!(range(r#"{"gt":1,"gte":5,"lt":7,"lte":9}"#), {
            let (five, seven) = (term(&5.0.into()), term(&7.0.into()));
            Some(TermRange { start: five.into(), end: seven.into() })
        });
    }
}
