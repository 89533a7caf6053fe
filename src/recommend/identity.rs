//! The name of an answer: 20 letters and digits, sorted by time as they stand. Milliseconds (48 bits), a counter within them (12
//! bits) and 40 bits by chance, in Crockford's base 32: unique within a process, and nobody guesses the name of an answer that
//! somebody else was given, or how many there were.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use xxhash_rust::xxh3::xxh3_64;

use crate::record::Timestamp;

/// The length of a name.
pub const NAME_BYTES: usize = 20;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const COUNTER_BITS: u32 = 12;
const RANDOM_BITS: u32 = 40;

/// A name for an answer given at this time. Those of one process sort in the order in which they are given; where the clock goes
/// back, or a millisecond has more than 4,096, the time in the name runs ahead.
pub fn recommendation_id(now: Timestamp) -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = (now.millis().max(0).cast_unsigned()) << COUNTER_BITS;
    let next = |last: u64| Some(now.max(last + 1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
    id(now.max(last + 1), by_chance())
}

/// `moment`: milliseconds and the counter.
fn id(moment: u64, random: u64) -> String {
    let number = (u128::from(moment) << RANDOM_BITS) | u128::from(random & ((1 << RANDOM_BITS) - 1));
    let letter = |place: usize| {
        let digit = (number >> (5 * (NAME_BYTES - 1 - place))) as usize % ALPHABET.len();
        char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
    };
    (0..NAME_BYTES).map(letter).collect()
}

/// A number that does not follow from those before.
fn by_chance() -> u64 {
    thread_local! {
        static RANDOM: RefCell<ChaCha12Rng> = RefCell::new(ChaCha12Rng::from_seed(seed()));
    }
    RANDOM.with_borrow_mut(Rng::next_u64)
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    if let Err(error) = getrandom::fill(&mut seed) {
        tracing::error!(%error, "the system gives no random numbers: the names of answers can be guessed");
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as u64);
        let thread = format!("{:?} {} {nanos}", std::thread::current().id(), std::process::id());
        seed[..8].copy_from_slice(&xxh3_64(thread.as_bytes()).to_le_bytes());
    }
    seed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_in_the_order_of_their_moments(a in 0u64..1 << 60, b in 0u64..1 << 60, c: u64, d: u64) {
            prop_assume!(a != b);
            prop_assert_eq!(id(a, c).cmp(&id(b, d)), a.cmp(&b));
        }
    }

    #[test]
    fn ids_are_short_in_order_and_none_is_given_twice() {
        let now = Timestamp::now();
        let mut ids: Vec<String> = (0..10_000).map(|_| recommendation_id(now)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == NAME_BYTES));
        ids.dedup();
        assert_eq!(ids.len(), 10_000);
        // Whoever knows one does not know the end of the next.
        let ends: std::collections::BTreeSet<&str> = ids.iter().map(|id| &id[NAME_BYTES - 8..]).collect();
        assert_eq!(ends.len(), 10_000);
    }
}
