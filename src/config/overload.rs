//! What a server does when more is asked than it can answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::{Error, Result};
use crate::record::Span;

/// What a server does when more is asked than it can answer: who waits, for how long, what is left out of answers, and who is
/// refused. Work of each class (questions, writes, bulk, long) has places of its own and waits in a queue of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OverloadConfig {
    /// Requests of a class that may wait for a place; of more, somebody is refused at once: who has most that waits, or else
    /// the newest.
    pub queue: usize,
    /// A request waits so long for a place before it is refused.
    pub queue_time: Span,
    /// So long once the queue has not been empty for `queue_time`; the newest is then answered first (CoDel and adaptive LIFO).
    /// It is also the unit of the thresholds below.
    pub queue_target: Span,
    /// Requests that read or write much (batches, large bodies, lists of everything) in work at once; 0: one for each processor.
    pub bulk_places: usize,
    /// Requests that take long (back-ups, comparisons, replays) in work at once.
    pub long_places: usize,
    /// A body of so many bytes is bulk.
    pub bulk_body_bytes: usize,
    /// From this pressure on answers are in the order of retrieval, without the ranker. Pressure is how long who comes now would wait in turn, as a
    /// share of `queue_target`, over the last moments.
    pub unranked_from: f64,
    /// From this pressure on an answer that was kept from before is given, where there is one.
    pub kept_from: f64,
    /// From this pressure on popular items answer where no answer was kept.
    pub popular_from: f64,
    /// A kept answer that is given under pressure is not older than this.
    pub kept_for: Span,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self {
            queue: 1_024,
            queue_time: Span::millis_of(100),
            queue_target: Span::millis_of(10),
            bulk_places: 0,
            long_places: 2,
            bulk_body_bytes: 64 << 10,
            unranked_from: 0.25,
            kept_from: 0.5,
            popular_from: 1.0,
            kept_for: Span::seconds(300),
        }
    }
}

impl OverloadConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("queue", self.queue as f64, 0.0..=1e6)?;
        check("queue_time", self.queue_time.millis() as f64, 1.0..=60_000.0)?;
        check("queue_target", self.queue_target.millis() as f64, 1.0..=60_000.0)?;
        check("bulk_places", self.bulk_places as f64, 0.0..=1e4)?;
        check("long_places", self.long_places as f64, 1.0..=1e4)?;
        check("bulk_body_bytes", self.bulk_body_bytes as f64, 1024.0..=f64::from(1u32 << 30))?;
        check("unranked_from", self.unranked_from, 0.0..=1e9)?;
        check("kept_from", self.kept_from, 0.0..=1e9)?;
        check("popular_from", self.popular_from, 0.0..=1e9)?;
        check("kept_for", self.kept_for.millis() as f64, 0.0..=86_400_000.0)?;
        let steps = [self.unranked_from, self.kept_from, self.popular_from];
        if !steps.is_sorted() {
            return Err(Error::invalid("popular_from", "comes before kept_from, or that before unranked_from"));
        }
        Ok(())
    }

    /// The step of the ladder at a pressure.
    pub fn effort(&self, pressure: f64) -> crate::record::Effort {
        use crate::record::Effort;
        match pressure {
            of if of >= self.popular_from => Effort::Popular,
            of if of >= self.kept_from => Effort::Kept,
            of if of >= self.unranked_from => Effort::Unranked,
            _ => Effort::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Effort;

    #[test]
    fn the_ladder_is_climbed_in_its_order() {
        let config = OverloadConfig::default();
        let steps = [0.0, 0.3, 0.7, 5.0].map(|pressure| config.effort(pressure));
        assert_eq!(steps, [Effort::Full, Effort::Unranked, Effort::Kept, Effort::Popular]);
        let upside_down = OverloadConfig { popular_from: 0.1, ..config };
        assert!(upside_down.validate().is_err());
    }
}
