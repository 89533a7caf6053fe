//! A counter as bytes:
//!
//! ```text
//! version u8 = 1, or 129 with values | events | dwells | dwell_ms | values, value f64 if there are any
//! for each resolution, the finest first: number of buckets | newest bucket, count | steps back, count | …
//! ```
//!
//! Numbers are variable-length: seven bits a byte, the least first, the sign in the lowest bit (zigzag). Reading is
//! bounded by the buckets that a counter may have and never panics.

use super::buckets::{Bucket, Buckets, LEVELS};
use super::counter::EventCounter;

const VERSION: u8 = 1;
/// Set in the version of a counter with values. Their number alone does not tell: of a change it may be 0.
const VALUES: u8 = 0x80;

impl EventCounter {
    /// Appends the bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let has_values = self.values != 0 || self.value != 0.0;
        out.push(if has_values { VERSION | VALUES } else { VERSION });
        for number in [self.events, self.dwells, self.dwell_ms] {
            write_number(number, out);
        }
        if has_values {
            write_number(self.values, out);
            out.extend_from_slice(&self.value.to_le_bytes());
        }
        for level in LEVELS {
            let buckets = self.buckets.of(level);
            out.push(buckets.len() as u8);
            let mut last = 0;
            for bucket in buckets {
                write_number(i64::from(last) - i64::from(bucket.at), out);
                write_number(bucket.count, out);
                last = bucket.at;
            }
        }
    }

    /// Reads all of the bytes; `None` if they are not those of a counter.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        if version & !VALUES != VERSION {
            return None;
        }
        let rest = &mut rest;
        let [events, dwells, dwell_ms] = [read_number(rest)?, read_number(rest)?, read_number(rest)?];
        let (mut values, mut value) = (0, 0.0);
        if version & VALUES != 0 {
            values = read_number(rest)?;
            let (float, after) = rest.split_first_chunk()?;
            (value, *rest) = (f64::from_le_bytes(*float), after);
        }
        let mut buckets = Vec::new();
        for level in LEVELS {
            let (count, after) = rest.split_first()?;
            *rest = after;
            if usize::from(*count) > level.most() {
                return None;
            }
            let mut last = 0i64;
            for _ in 0..*count {
                last = last.checked_sub(read_number(rest)?)?;
                buckets.push(Bucket { level, at: i32::try_from(last).ok()?, count: read_number(rest)? });
            }
        }
        let buckets = Buckets::from_all(buckets)?;
        rest.is_empty().then_some(Self { events, buckets, dwells, dwell_ms, values, value })
    }
}

fn write_number(number: i64, out: &mut Vec<u8>) {
    let mut left = (number << 1 ^ number >> 63) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::counters::CountedEvent;
    use crate::record::Timestamp;

    proptest! {
        #[test]
        fn counters_are_read_as_written(
            events in proptest::collection::vec((Timestamp::MIN.millis()..=Timestamp::MAX.millis(), any::<Option<i32>>(), any::<Option<u32>>(), any::<bool>()), 0..90),
        ) {
            let mut counter = EventCounter::default();
            for (time, value, dwell_ms, is_added) in events {
                let time = Timestamp::from_millis(time).unwrap();
                let event = CountedEvent { time, value: value.map(f64::from), dwell_ms: dwell_ms.map(u64::from) };
                if is_added { counter.add(event) } else { counter.remove(event) }
            }
            let mut bytes = Vec::new();
            counter.write(&mut bytes);
            prop_assert!(bytes.len() < 1200);
            prop_assert_eq!(EventCounter::read(&bytes), Some(counter));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = EventCounter::read(&bytes);
        }

        #[test]
        fn numbers_are_read_as_written(number: i64) {
            let mut bytes = Vec::new();
            write_number(number, &mut bytes);
            prop_assert_eq!(read_number(&mut &bytes[..]), Some(number));
        }
    }

    #[test]
    fn the_bytes_of_version_1_stay() {
        let mut counter = EventCounter::default();
        let time = Timestamp::from_millis(1_700_000_000_000).unwrap();
        counter.add(CountedEvent { time, value: Some(2.0), dwell_ms: Some(1000) });
        counter.add(CountedEvent { time: time.before("1h".parse().unwrap()), value: None, dwell_ms: None });
        let mut bytes = Vec::new();
        counter.write(&mut bytes);
        let expected = [
            0x81, 4, 2, 0xd0, 0x0f, 2, 0, 0, 0, 0, 0, 0, 0, 0x40, 2, 0xd3, 0xdd, 0xb3, 0x05, 2, 0x18, 2, 2, 0xbb, 0xd2,
            0x39, 2, 2, 2, 1, 0xb5, 0xb3, 0x02, 4, 1, 0xfb, 0x0a, 4,
        ];
        assert_eq!(bytes, expected);
        assert_eq!(EventCounter::read(&bytes), Some(counter));
    }
}
