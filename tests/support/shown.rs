//! What an engine has shown and people took, counted by the test, at its own times.

use std::sync::Mutex;

use savor::{ClickRate, Engine, Outcomes, Query, Result, SnapshotId, Timestamp};

/// Rows of when, by which snapshot, how many items were shown, and how many were taken.
#[derive(Default)]
pub struct Shown(Mutex<Vec<(Timestamp, SnapshotId, u64, u64)>>);

impl Outcomes for Shown {
    fn click_rate(&self, snapshot: Option<SnapshotId>, from: Timestamp, until: Timestamp) -> Result<Option<ClickRate>> {
        let rows = self.0.lock().unwrap();
        let is_asked_for = |(time, id, ..): &&(Timestamp, SnapshotId, u64, u64)| {
            (from..until).contains(time) && snapshot.is_none_or(|snapshot| snapshot == *id)
        };
        let asked_for = rows.iter().filter(is_asked_for);
        let (shown, taken) = asked_for.fold((0, 0), |sum, (.., shown, taken)| (sum.0 + shown, sum.1 + taken));
        Ok((shown > 0).then(|| ClickRate::of(shown, taken)))
    }
}

impl Shown {
    /// So many users ask for five items each, and take every second one of those that are for them.
    pub fn ask(&self, engine: &Engine, users: usize, time: Timestamp, is_for: impl Fn(usize, &str) -> bool) {
        for user in 0..users {
            let answer = engine.recommend(&Query::for_user(format!("u{user}")).limit(5)).unwrap();
            let meant = answer.items.iter().filter(|shown| is_for(user, &shown.item)).count() as u64;
            self.note(time, answer.snapshot.unwrap(), answer.items.len() as u64, meant.div_ceil(2));
        }
    }

    /// So many items were shown, and so many taken.
    pub fn note(&self, time: Timestamp, snapshot: SnapshotId, shown: u64, taken: u64) {
        self.0.lock().unwrap().push((time, snapshot, shown, taken));
    }
}
