//! The name of an answer: 20 letters and digits, sorted by time as they stand. Milliseconds (48 bits), a counter (24 bits)
//! and a number of the process (28 bits), in Crockford's base 32: unique within a process, and between processes and
//! machines but for one chance in 270 million of those that begin at once.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::record::Timestamp;

/// The length of a name.
pub const NAME_BYTES: usize = 20;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LETTERS: usize = NAME_BYTES;
const COUNTER_BITS: u32 = 24;
const PROCESS_BITS: u32 = 28;

/// A name for an answer given at this time. Those of one process sort in the order in which they are given, as long as the
/// clock does not go back and a millisecond has fewer than 16 million.
pub fn recommendation_id(now: Timestamp) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static PROCESS: LazyLock<u64> = LazyLock::new(process);
    id(now.millis().max(0) as u64, COUNTER.fetch_add(1, Ordering::Relaxed), *PROCESS)
}

fn id(millis: u64, count: u64, process: u64) -> String {
    let low = |number: u64, bits: u32| u128::from(number & ((1 << bits) - 1));
    let number = (u128::from(millis) << (COUNTER_BITS + PROCESS_BITS))
        | (low(count, COUNTER_BITS) << PROCESS_BITS)
        | low(process, PROCESS_BITS);
    let letter = |place: usize| {
        let digit = (number >> (5 * (LETTERS - 1 - place))) as usize % ALPHABET.len();
        char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
    };
    (0..LETTERS).map(letter).collect()
}

fn process() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as u64);
    // Where the loader puts things differs between processes that begin at once.
    xxh3_64_with_seed(&nanos.to_le_bytes(), u64::from(std::process::id()) ^ std::ptr::from_ref(ALPHABET).addr() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_in_the_order_of_time_and_count(
            a in (0u64..1 << 48, 0u64..1 << 24), b in (0u64..1 << 48, 0u64..1 << 24), process: u64,
        ) {
            prop_assert_eq!(id(a.0, a.1, process).cmp(&id(b.0, b.1, process)), a.cmp(&b));
        }
    }

    #[test]
    fn ids_are_short_and_none_is_given_twice() {
        let now = Timestamp::now();
        let mut ids: Vec<String> = (0..1000).map(|_| recommendation_id(now)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == LETTERS));
        ids.dedup();
        assert_eq!(ids.len(), 1000);
    }
}
