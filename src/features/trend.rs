//! Which items people turn to of late: each item's share of the recent events over its share of all of them.

use super::log::TimedSignal;
use super::weights::Signal;
use crate::record::{ItemId, Span, Timestamp};

/// So many events of an item that is as popular as ever are taken for granted: few events say little.
const PRIOR: f64 = 20.0;
/// So many of them are recent at least: a single click of today beside a log that ended years ago says as little.
const RECENT: f64 = 1.0;

/// The trend of `items`, ascending: (recent events + m) / (s·all events + m), where an event of age a counts 2^(−a / half-life)
/// as recent, s is the share of all events that is recent, and m the prior. 1 is an item that is as popular as ever.
pub fn trend(events: &[TimedSignal], items: &[ItemId], half_life: Span, now: Timestamp) -> Vec<f32> {
    let half_life = half_life.millis().max(1) as f64;
    let mut of_items = vec![(0.0f64, 0.0f64); items.len()];
    let positive = events.iter().filter(|event| matches!(event.signal, Signal::Positive(_)));
    for event in positive {
        let place = items.binary_search(&event.item).ok();
        if let Some((recent, all)) = place.and_then(|place| of_items.get_mut(place)) {
            let age = (now.millis() - event.time.millis()).max(0) as f64;
            *recent += (-age / half_life).exp2();
            *all += 1.0;
        }
    }
    let (recent, all) = of_items.iter().fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let share = recent / all;
    if !(share.is_finite() && share > 0.0) {
        return Vec::new();
    }
    let prior = (PRIOR * share).max(RECENT);
    of_items.iter().map(|(recent, all)| ((recent + prior) / (share * all + prior)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::UserId;

    #[test]
    fn what_people_turn_to_is_above_one_and_what_they_leave_below() {
        let event = |day: i64, item: u32, signal| TimedSignal {
            time: Timestamp::from_millis(day * 86_400_000).unwrap(),
            user: UserId::new(0),
            item: ItemId::new(item),
            signal,
            session: None,
        };
        // Item 0 at all times, item 1 early, item 2 late, item 3 once; what says no says nothing here.
        let mut events = Vec::new();
        for day in 0..100 {
            events.extend((0..4).map(|_| event(day, 0, Signal::Positive(1.0))));
            events.extend((0..4).map(|_| event(day, if day < 50 { 1 } else { 2 }, Signal::Positive(1.0))));
            events.push(event(day, 1, Signal::Negative));
        }
        events.push(event(100, 3, Signal::Positive(1.0)));
        let now = Timestamp::from_millis(100 * 86_400_000).unwrap();
        let of = |events: &[TimedSignal]| trend(events, &[0, 1, 2, 3].map(ItemId::new), Span::days(10), now);
        let [steady, left, rising, new] = of(&events)[..] else { panic!("four items") };
        assert!((steady - 1.0).abs() < 0.05 && (new - 1.0).abs() < 0.4, "{steady} {new}");
        assert!(left < 0.2 && rising > 1.7, "{left} {rising}");
        // A click years later is news, and no reason to turn the rest around.
        let years_later = 4_000;
        events.push(event(years_later, 1, Signal::Positive(1.0)));
        let now = Timestamp::from_millis(years_later * 86_400_000).unwrap();
        let late = trend(&events, &[0, 1, 2, 3].map(ItemId::new), Span::days(10), now);
        assert!(late[1] > 1.5 && late[1] < 2.5, "{late:?}");
        assert!([0, 2, 3].iter().all(|place| (0.6..=1.0).contains(&late[*place])), "{late:?}");
        assert!(of(&[]).is_empty());
    }
}
