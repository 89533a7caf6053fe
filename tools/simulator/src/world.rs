//! What has happened to the population, in the order of time: what people found by themselves and took of what they were shown.

use std::collections::HashSet;

use rand::RngExt;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::population::{Population, Purpose, stream};

/// Items of a list.
pub const SHOWN: usize = 10;
/// Days before the first visit, in which people find things by themselves: what the first model learns from.
const WARM_UP: usize = 10;
/// Items that somebody meets who finds something by himself.
const MET: usize = 20;
const DAY_MS: i64 = 86_400_000;
/// 2026-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// What has happened, by user; and by day, with what was clicked.
pub struct World {
    pub population: Population,
    taken: Vec<HashSet<usize>>,
    clicks: Vec<Vec<usize>>,
}

/// Somebody does something.
pub struct Happening {
    /// Milliseconds since 1970.
    pub time: i64,
    pub user: usize,
    /// A search or a visit.
    pub purpose: Purpose,
    /// What is drawn further on.
    pub luck: ChaCha8Rng,
}

impl World {
    /// The population at the end of the warm-up, and the events of it.
    pub fn warmed_up(seed: u64) -> (Self, Vec<Value>) {
        let mut world = Self { population: Population::new(seed), taken: Vec::new(), clicks: vec![Vec::new()] };
        let mut events = Vec::new();
        for day in 0..WARM_UP {
            if day > 0 {
                world.next_day(false);
            }
            let searches = world.happenings(&[(Purpose::Search, 1.0)]);
            events.extend(searches.into_iter().filter_map(|search| world.search(search)));
        }
        (world, events)
    }

    pub fn next_day(&mut self, planted: bool) {
        self.population.next_day(planted);
        self.clicks.push(Vec::new());
    }

    /// A moment of this day, from 0 at its beginning to 1 at its end.
    pub fn time(&self, within_day: f64) -> i64 {
        EPOCH_MS + self.population.day as i64 * DAY_MS + (within_day * DAY_MS as f64) as i64
    }

    pub fn items(&self, from: usize) -> Vec<Value> {
        let items = self.population.items.iter().enumerate().skip(from);
        items
            .map(|(number, item)| {
                let time = EPOCH_MS + item.born as i64 * DAY_MS;
                json!({ "id": format!("i{number}"), "categories": [format!("c{}", item.category)], "time": time })
            })
            .collect()
    }

    /// What people do on this day, each with a probability, in the order of time.
    pub fn happenings(&self, doings: &[(Purpose, f64)]) -> Vec<Happening> {
        let Population { seed, day, ref users, .. } = self.population;
        let mut happenings = Vec::new();
        for (user, _) in users.iter().enumerate().filter(|(_, user)| user.present) {
            for &(purpose, probability) in doings {
                let mut luck = stream(seed, purpose, day, user);
                if luck.random_bool(probability) {
                    happenings.push(Happening { time: self.time(luck.random()), user, purpose, luck });
                }
            }
        }
        happenings.sort_by_key(|happening| (happening.time, happening.user));
        happenings
    }

    /// What somebody finds without us: the most attractive of what he meets.
    pub fn search(&mut self, Happening { time, user, mut luck, .. }: Happening) -> Option<Value> {
        let met = sample(&mut luck, self.population.items.len(), MET);
        let new = met.into_iter().filter(|item| !self.has(user, *item));
        let attraction = |item: &usize| self.population.attraction(user, *item);
        let found = new.max_by(|a, b| attraction(a).total_cmp(&attraction(b)))?;
        self.give(user, found);
        Some(json!({ "user": format!("u{user}"), "item": format!("i{found}"), "type": "view", "time": time }))
    }

    pub fn has(&self, user: usize, item: usize) -> bool {
        self.taken.get(user).is_some_and(|taken| taken.contains(&item))
    }

    pub fn taken(&self, user: usize) -> impl Iterator<Item = usize> + '_ {
        self.taken.get(user).into_iter().flatten().copied()
    }

    fn give(&mut self, user: usize, item: usize) {
        if self.taken.len() <= user {
            self.taken.resize_with(user + 1, HashSet::new);
        }
        self.taken[user].insert(item);
    }

    /// Somebody takes what he was shown.
    pub fn click(&mut self, user: usize, item: usize) {
        self.give(user, item);
        if let Some(today) = self.clicks.last_mut() {
            today.push(item);
        }
    }

    /// The best that `score` finds among what the user does not have.
    pub fn best(&self, user: usize, score: impl Fn(usize) -> f64) -> Vec<usize> {
        let items = (0..self.population.items.len()).filter(|item| !self.has(user, *item));
        let mut scored: Vec<(f64, usize)> = items.map(|item| (score(item), item)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().take(SHOWN).map(|(_, item)| item).collect()
    }

    /// Clicks of each item in the past week.
    pub fn popularity(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.population.items.len()];
        for item in self.clicks.iter().rev().take(8).flatten() {
            counts[*item] += 1.0;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_that_the_user_has() {
        let (mut world, _) = World::warmed_up(5);
        let all = world.best(0, |item| item as f64);
        world.click(0, all[0]);
        assert!(!world.best(0, |item| item as f64).contains(&all[0]));
    }

    #[test]
    fn a_day_goes_by_in_the_order_of_time() {
        let (mut world, _) = World::warmed_up(5);
        world.next_day(false);
        let day = world.happenings(&[(Purpose::Search, 0.5), (Purpose::Visit, 0.5)]);
        assert!(day.windows(2).all(|pair| pair[0].time <= pair[1].time));
        assert!(day.first().is_some_and(|first| first.time >= world.time(0.0)));
        assert!(day.last().is_some_and(|last| last.time < world.time(1.0)));
        assert!([Purpose::Search, Purpose::Visit].iter().all(|purpose| day.iter().any(|of| of.purpose == *purpose)));
    }
}
