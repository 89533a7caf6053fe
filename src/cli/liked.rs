//! What a user liked last, in the sense of the configuration: for people who judge an answer by looking at it.

use super::context::Place;
use super::failure::Failure;
use crate::config::EventsConfig;
use crate::record::Event;

const READ: usize = 1_000;

/// External ids of the last items that the user liked, the newest first, each once.
pub fn liked(place: &Place, user: &str, limit: usize, config: &EventsConfig) -> Result<Vec<String>, Failure> {
    let mut items: Vec<String> = Vec::new();
    for event in place.user_events(user, READ)? {
        if items.len() == limit {
            break;
        }
        if is_positive(&event, config) && !items.contains(&event.item) {
            items.push(event.item);
        }
    }
    Ok(items)
}

/// Whether an event says yes.
fn is_positive(event: &Event, config: &EventsConfig) -> bool {
    let weight = config.weights.get(&event.kind).copied().unwrap_or(config.default_weight);
    let rated_low =
        config.rating.contains(&event.kind) && event.value.is_some_and(|value| value < config.rating_threshold);
    weight > 0.0 && !config.negative.contains(&event.kind) && !rated_low
}
