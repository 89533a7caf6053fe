//! How much memory load can take, whoever asks whatever: a sum that follows from the settings alone. What the data take (catalogue,
//! indexes, models, a running training) comes beside it.

use super::{Config, EXPOSURE_BYTES};

const MIB: usize = 1 << 20;
/// What hyper buffers of a connection, both ways, and what the connection's task takes.
const CONNECTION: usize = 80 << 10;
/// Bodies of the largest size that may be in memory at once; a body's buffer may be twice as long as what is in it.
const BODIES: usize = 16 * 2;
/// Records take so many times the bytes that they were written in.
const PARSED: usize = 10;
/// An explained answer of 100 items, each split over a thousand events, and its JSON.
const ANSWER: usize = 16 * MIB;
/// An answer that waits to be written, beside its bytes.
const EXPOSURE: usize = 300;
/// Where answers ended, showings for rules, and the working memory of questions.
const REMEMBERED: usize = (32 + 64 + 64) * MIB;
/// What Argon2 takes for a secret (19 MiB), where as many are made and proven at once as may be.
const SECRETS: usize = (4 + 2) * 19 * MIB;
/// What RocksDB has not yet written to files: as much as its log may hold, and what is being written.
const UNWRITTEN: usize = 512 * MIB;
/// Questions in work at once for each processor, at most.
pub const QUESTIONS_EACH: usize = 8;

/// What one part of the load may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounded {
    /// What it is.
    pub what: &'static str,
    /// Bytes at most.
    pub bytes: usize,
}

impl Config {
    /// What load may take on a machine with so many processors, part by part.
    ///
    /// ```
    /// let parts = savor::Config::default().load_bound(2);
    /// let bytes: usize = parts.iter().map(|part| part.bytes).sum();
    /// assert!(bytes < 3 << 30);
    /// ```
    pub fn load_bound(&self, processors: usize) -> Vec<Bounded> {
        let (server, overload) = (&self.server, &self.server.overload);
        let questions = server.max_concurrent_requests.min(QUESTIONS_EACH * processors);
        let bulk = if overload.bulk_places == 0 { processors } else { overload.bulk_places };
        let large = bulk.saturating_mul(server.max_body_bytes);
        let small = (questions + server.max_concurrent_requests).saturating_mul(overload.bulk_body_bytes);
        let most = BODIES / 2 * server.max_body_bytes;
        let part = |what, bytes| Bounded { what, bytes };
        let caches = self.store.cache_mib + self.recommend.cache_mib + self.recommend.filter_cache_mib;
        vec![
            part("connections", server.max_connections.saturating_mul(CONNECTION)),
            part("bodies", BODIES.saturating_mul(server.max_body_bytes)),
            part("records of bodies", PARSED.saturating_mul(large.saturating_add(small).min(most))),
            part("answers", (questions + bulk).saturating_mul(ANSWER)),
            part("answers to be written", self.exposures.queue.saturating_mul(EXPOSURE + EXPOSURE_BYTES as usize)),
            part("caches", caches.saturating_mul(MIB)),
            part("remembered answers", REMEMBERED),
            part("secrets of keys", SECRETS),
            part("unwritten data", UNWRITTEN),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_smaller_takes_less() {
        let sum = |config: &Config| config.load_bound(4).iter().map(|part| part.bytes).sum::<usize>();
        let usual = Config::default();
        for change in [
            |config: &mut Config| config.server.max_connections = 10,
            |config: &mut Config| config.server.max_body_bytes = 1 << 20,
            |config: &mut Config| config.server.max_concurrent_requests = 4,
            |config: &mut Config| config.exposures.queue = 10,
            |config: &mut Config| config.recommend.cache_mib = 0,
            |config: &mut Config| config.store.cache_mib = 8,
        ] {
            let mut smaller = usual.clone();
            change(&mut smaller);
            assert!(sum(&smaller) < sum(&usual));
        }
    }
}
