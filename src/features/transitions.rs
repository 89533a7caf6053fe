//! What people take next: transitions between items within visits, with time decay, normalised against popularity. A visit
//! ends with a pause; where events name their session, with that, too.

use rustc_hash::FxHashMap;

use super::csr::Csr;
use super::log::TimedSignal;
use super::weights::Signal;
use crate::config::TransitionsConfig;
use crate::record::{ItemId, Timestamp};

/// Added to an item's count of transitions: what was seen once or twice is not sure.
const PRIOR: f64 = 5.0;
/// So many of the latest items tell what comes next.
const LATEST: usize = 5;
/// Each of them counts this share of the one after it.
const FADING: f32 = 0.5;

/// Notes one of the latest items, given from the newest on, each once: those that tell what comes next.
pub fn note_latest(latest: &mut Vec<u32>, row: Option<u32>) {
    if let Some(row) = row.filter(|row| latest.len() < LATEST && !latest.contains(row)) {
        latest.push(row);
    }
}

/// What follows items, given from the newest on: Σ 2⁻ˢ t(s-th last, column), by column, each once. Costs a look at one row for
/// each of the latest.
pub fn followers(next: &Csr, latest: impl IntoIterator<Item = u32>) -> Vec<(u32, f32)> {
    let (mut weight, mut all) = (1.0, Vec::new());
    for row in latest {
        if (row as usize) < next.n_rows() {
            let (columns, values) = next.row(row as usize);
            all.extend(columns.iter().zip(values).map(|(column, value)| (*column, weight * value)));
        }
        weight *= FADING;
    }
    all.sort_by_key(|(column, _)| *column);
    let sum = |same: &[(u32, f32)]| same.iter().map(|(_, value)| value).sum();
    all.chunk_by(|a, b| a.0 == b.0).filter_map(|same| Some((same.first()?.0, sum(same)))).collect()
}

/// The items that follow others, given from the newest on, and are allowed: the likeliest first, equal ones by column, at most so many.
pub fn likeliest(
    next: &Csr,
    latest: impl IntoIterator<Item = u32>,
    is_allowed: impl Fn(u32) -> bool,
    most: usize,
) -> Vec<u32> {
    let mut found = followers(next, latest);
    found.retain(|(column, _)| is_allowed(*column));
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.into_iter().take(most).map(|(column, _)| column).collect()
}

/// For each of `items`, ascending, those that follow it: c_ab / (c_a + prior) / (share of b)^γ, the largest `neighbours`.
/// Events are in the order of time. Memory: an entry for each pair of items that follow one another.
pub fn transitions(events: &[TimedSignal], items: &[ItemId], now: Timestamp, config: &TransitionsConfig) -> Csr {
    if config.neighbours == 0 {
        return Csr::default();
    }
    let column = |item: ItemId| items.binary_search(&item).ok().map(|column| column as u32);
    let mut positive: Vec<&TimedSignal> =
        events.iter().filter(|event| matches!(event.signal, Signal::Positive(_))).collect();
    // Stable: a user's events stay in the order of time, those of sessions at the same time beside one another.
    positive.sort_by_key(|event| (event.user, event.session));
    let mut counts: FxHashMap<(u32, u32), f64> = FxHashMap::default();
    let is_one_visit = |a: &&TimedSignal, b: &&TimedSignal| {
        (a.user, a.session) == (b.user, b.session) && b.time.millis() - a.time.millis() <= config.gap.millis()
    };
    for visit in positive.chunk_by(is_one_visit) {
        for (place, from) in visit.iter().enumerate() {
            let Some(from_column) = column(from.item) else { continue };
            for (step, to) in visit.iter().skip(place + 1).take(config.steps).enumerate() {
                let Some(to_column) = column(to.item).filter(|to| *to != from_column) else { continue };
                let age = (now.millis() - to.time.millis()).max(0) as f64;
                let half_lives = age / config.half_life.millis().max(1) as f64;
                *counts.entry((from_column, to_column)).or_default() += (-half_lives).exp2() / (step + 1) as f64;
            }
        }
    }
    let (mut out, mut into, mut total) = (vec![0.0; items.len()], vec![0.0; items.len()], 0.0);
    for ((from, to), count) in &counts {
        out[*from as usize] += count;
        into[*to as usize] += count;
        total += count;
    }
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); items.len()];
    for ((from, to), count) in counts {
        let share: f64 = into[to as usize] / total;
        let value = count / (out[from as usize] + PRIOR) / share.powf(config.popularity_exponent);
        // What is older than some hundred half-lives has counted for nothing.
        if value.is_finite() && value > 0.0 {
            rows[from as usize].push((to, value as f32));
        }
    }
    for row in &mut rows {
        row.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        row.truncate(config.neighbours);
    }
    Csr::from_rows(items.len(), rows)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::record::UserId;

    fn events(visits: &[(u32, i64, &[u32])]) -> Vec<TimedSignal> {
        let of_visit = |&(user, start, items): &(u32, i64, &[u32])| {
            let event = move |(place, item): (usize, &u32)| TimedSignal {
                time: Timestamp::from_millis(start + place as i64 * 60_000).unwrap(),
                user: UserId::new(user),
                item: ItemId::new(*item),
                signal: Signal::Positive(1.0),
                session: None,
            };
            items.iter().enumerate().map(event).collect::<Vec<_>>()
        };
        let mut events: Vec<TimedSignal> = visits.iter().flat_map(of_visit).collect();
        events.sort_by_key(|event| event.time);
        events
    }

    fn counted(events: &[TimedSignal], config: &TransitionsConfig) -> Csr {
        let items: Vec<ItemId> = (0..6).map(ItemId::new).collect();
        transitions(events, &items, events.last().unwrap().time, config)
    }

    #[test]
    fn what_follows_more_often_leads_and_nothing_follows_over_a_gap_or_to_another_user() {
        const DAY: i64 = 86_400_000;
        let log = events(&[
            (1, 0, &[0, 1]),
            (2, 1000, &[0, 1]),
            (3, 2000, &[0, 2]),
            (4, 3000, &[3]),
            (1, DAY, &[4]),
            (5, DAY + 1, &[5]),
        ]);
        let config = TransitionsConfig { popularity_exponent: 0.0, ..TransitionsConfig::default() };
        let next = counted(&log, &config);
        let (to, values) = next.row(0);
        assert_eq!(to, [1, 2]);
        assert!(values[0] > 1.9 * values[1]);
        assert_eq!(next.nnz(), 2);
        let only = counted(&log, &TransitionsConfig { neighbours: 1, ..config });
        assert_eq!(only.row(0).0, [1]);
        assert_eq!(counted(&log, &TransitionsConfig { neighbours: 0, ..TransitionsConfig::default() }).nnz(), 0);
    }

    #[test]
    fn nothing_follows_from_one_session_to_the_next_nor_between_two_at_the_same_time() {
        let minute = |minute: i64, item: u32, session: Option<u32>| TimedSignal {
            time: Timestamp::from_millis(minute * 60_000).unwrap(),
            user: UserId::new(1),
            item: ItemId::new(item),
            signal: Signal::Positive(1.0),
            session: session.and_then(NonZeroU32::new),
        };
        let log = [minute(0, 0, Some(7)), minute(1, 3, Some(9)), minute(2, 1, Some(7)), minute(3, 4, Some(9))];
        let pairs = |log: &[TimedSignal]| -> Vec<(u32, u32)> {
            let next = counted(log, &TransitionsConfig::default());
            (0..6).flat_map(|from| next.row(from as usize).0.iter().map(move |to| (from, *to))).collect()
        };
        assert_eq!(pairs(&log), [(0, 1), (3, 4)]);
        let without = log.map(|event| TimedSignal { session: None, ..event });
        assert_eq!(pairs(&without), [(0, 1), (0, 3), (0, 4), (1, 4), (3, 1), (3, 4)]);
    }

    #[test]
    fn old_transitions_fade_and_popular_items_are_held_back() {
        const YEAR: i64 = 365 * 86_400_000;
        let log = events(&[(1, 0, &[0, 1]), (2, 0, &[0, 1]), (3, 2 * YEAR, &[0, 2])]);
        let next = counted(&log, &TransitionsConfig { popularity_exponent: 0.0, ..TransitionsConfig::default() });
        let value = |to: u32| next.row(0).1[next.row(0).0.binary_search(&to).unwrap()];
        assert!(value(2) > value(1));
        // 1 follows everything; 2 follows 0 alone.
        let log = events(&[(1, 0, &[0, 1]), (2, 0, &[0, 2]), (3, 0, &[3, 1]), (4, 0, &[4, 1]), (5, 0, &[5, 1])]);
        let next = counted(&log, &TransitionsConfig::default());
        assert!(next.row(0).1[1] > next.row(0).1[0]);
    }
}
