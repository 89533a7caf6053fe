//! A month of visits under one policy. All policies meet the same population with the same luck: what differs is what
//! they show, and what comes of it.

use std::collections::HashSet;

use rand::RngExt;
use rand::seq::index::sample;
use serde_json::{Value, json};

use crate::Result;
use crate::clicks::clicked;
use crate::population::{Population, Purpose, stream};
use crate::server::{Client, Server};

/// Items of a list.
const SHOWN: usize = 10;
/// Days before the first visit, in which people find things by themselves: what the first model learns from.
const WARM_UP: usize = 10;
/// Probability that somebody visits on a day.
const VISITS: f64 = 0.4;
/// Probability that he finds something by himself on a day, among so many that he meets.
const SEARCHES: f64 = 0.2;
const MET: usize = 20;
const DAY_MS: i64 = 86_400_000;
/// 2026-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// Who chooses what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// Anything, by lot: the floor
    Random,
    /// What was clicked most in the past week
    Popular,
    /// Savor, trained once and told nothing more
    Static,
    /// Savor, trained once and told every event: fold-in alone
    Live,
    /// Savor, told every event and trained at the end of each day
    Retrained,
    /// The same, with a share of the places for exploring
    Explored,
    /// Savor, told every event; it trains by its own policy
    Alone,
    /// Who knows the true tastes: the ceiling
    Oracle,
}

impl Policy {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether a server answers.
    pub fn asks(self) -> bool {
        !matches!(self, Self::Random | Self::Popular | Self::Oracle)
    }

    /// What its server is started with.
    pub fn settings(self, explore: f64) -> Vec<String> {
        let mut settings = vec!["events.half_life=3d".into(), "recommend.popular_half_life=7d".into()];
        match self {
            Self::Explored => settings.push(format!("recommend.explore.share={explore}")),
            Self::Alone => settings.extend(
                ["retrain.enabled=true", "retrain.events=1", "retrain.pause=1s", "monitor.every=1s"].map(String::from),
            ),
            _ => (),
        }
        settings
    }
}

/// One day of a month.
#[derive(Clone, Copy, Default)]
pub struct Day {
    pub shown: usize,
    pub clicks: usize,
}

pub struct Month {
    pub policy: Policy,
    pub days: Vec<Day>,
    /// Trainings after the first, and how many of their snapshots went live.
    pub trained: usize,
    pub live: usize,
}

impl Month {
    /// Click-through of these days, as a share of what was shown.
    pub fn rate(&self, days: std::ops::Range<usize>) -> f64 {
        let days = &self.days[days.start.min(self.days.len())..days.end.min(self.days.len())];
        let (clicks, shown) = days.iter().fold((0, 0), |sum, day| (sum.0 + day.clicks, sum.1 + day.shown));
        clicks as f64 / shown.max(1) as f64
    }
}

/// What has happened, by user; and by day, with what was clicked.
pub struct World {
    pub population: Population,
    pub taken: Vec<HashSet<usize>>,
    clicks: Vec<Vec<usize>>,
}

impl World {
    /// The population at the end of the warm-up, and the events of it.
    pub fn warmed_up(seed: u64) -> (Self, Vec<Value>) {
        let mut world = Self { population: Population::new(seed), taken: Vec::new(), clicks: vec![Vec::new()] };
        let mut events = world.searches(1.0);
        for _ in 1..WARM_UP {
            world.next_day(false);
            events.extend(world.searches(1.0));
        }
        (world, events)
    }

    pub fn next_day(&mut self, planted: bool) {
        self.population.next_day(planted);
        self.clicks.push(Vec::new());
    }

    fn time(&self, within_day: f64) -> i64 {
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

    /// What people find without us, on this day: each the most attractive of what he meets.
    fn searches(&mut self, probability: f64) -> Vec<Value> {
        let (day, seed) = (self.population.day, self.population.seed);
        self.taken.resize_with(self.population.users.len(), HashSet::new);
        let mut events = Vec::new();
        for user in 0..self.population.users.len() {
            let mut rng = stream(seed, Purpose::Search, day, user);
            if !rng.random_bool(probability) || !self.population.users[user].present {
                continue;
            }
            let met = sample(&mut rng, self.population.items.len(), MET);
            let new = met.into_iter().filter(|item| !self.taken[user].contains(item));
            let attraction = |item: &usize| self.population.attraction(user, *item);
            if let Some(item) = new.max_by(|a, b| attraction(a).total_cmp(&attraction(b))) {
                self.taken[user].insert(item);
                let time = self.time(rng.random());
                events.push(
                    json!({ "user": format!("u{user}"), "item": format!("i{item}"), "type": "view", "time": time }),
                );
            }
        }
        events
    }

    /// The best that `score` finds among what the user does not have.
    fn best(&self, user: usize, score: impl Fn(usize) -> f64) -> Vec<usize> {
        let items = (0..self.population.items.len()).filter(|item| !self.taken[user].contains(item));
        let mut scored: Vec<(f64, usize)> = items.map(|item| (score(item), item)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().take(SHOWN).map(|(_, item)| item).collect()
    }

    fn popularity(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.population.items.len()];
        for item in self.clicks.iter().rev().take(8).flatten() {
            counts[*item] += 1.0;
        }
        counts
    }
}

/// Lives through `days` days, with the drift planted at the beginning of day `planted`, counted from 0.
pub fn live(policy: Policy, server: Option<&Server>, seed: u64, days: usize, planted: usize) -> Result<Month> {
    let client = server.map(|server| &server.client);
    let (mut world, events) = World::warmed_up(seed);
    if let Some(client) = client {
        client.put("/v1/items", &world.items(0))?;
        client.put("/v1/events", &events)?;
        client.train("always")?;
    }
    let tells = policy.asks() && policy != Policy::Static;
    let mut month = Month { policy, days: Vec::new(), trained: 0, live: 0 };
    for number in 0..days {
        let known = world.population.items.len();
        world.next_day(number == planted);
        if let Some(client) = client {
            client.put("/v1/items", &world.items(known))?;
        }
        let found = world.searches(SEARCHES);
        if let Some(client) = client.filter(|_| tells) {
            client.put("/v1/events", &found)?;
        }
        month.days.push(visits(policy, client, &mut world)?);
        match (client, policy) {
            (Some(client), Policy::Retrained | Policy::Explored) => {
                month.trained += 1;
                match client.train("gate")? {
                    None => month.live += 1,
                    Some(why) => eprintln!("{}, day {}: {why}", policy.name(), number + 1),
                }
            }
            (Some(client), Policy::Alone) => {
                let before = month.trained;
                client.await_retraining(before)?;
                let trained = client.retrained()?;
                month.trained = trained.len();
                match trained.into_iter().max().and_then(|(_, refused)| refused) {
                    None => month.live += 1,
                    Some(why) => eprintln!("{}, day {}: {why}", policy.name(), number + 1),
                }
            }
            _ => (),
        }
    }
    Ok(month)
}

/// The visits of one day.
fn visits(policy: Policy, client: Option<&Client>, world: &mut World) -> Result<Day> {
    let (seed, day) = (world.population.seed, world.population.day);
    let popularity = world.popularity();
    let mut counted = Day::default();
    for user in 0..world.population.users.len() {
        let mut luck = stream(seed, Purpose::Visit, day, user);
        if !luck.random_bool(VISITS) || !world.population.users[user].present {
            continue;
        }
        let time = world.time(luck.random());
        let (items, answer) = match (policy, client) {
            (Policy::Oracle, _) => (world.best(user, |item| world.population.attraction(user, item)), None),
            (Policy::Popular, _) => (world.best(user, |item| popularity[item]), None),
            (Policy::Static, Some(client)) => {
                let taken: Vec<String> = world.taken[user].iter().map(|item| format!("i{item}")).collect();
                let question = json!({ "user": format!("u{user}"), "limit": SHOWN, "exclude_items": taken });
                shown(client.post("/v1/recommendations", &question)?)
            }
            (_, Some(client)) => shown(client.get(&format!("/v1/users/u{user}/recommendations?limit={SHOWN}"))?),
            (_, None) => {
                let mut lot = stream(seed, Purpose::Policy, day, user);
                let scores: Vec<f64> = world.population.items.iter().map(|_| lot.random()).collect();
                (world.best(user, |item| scores[item]), None)
            }
        };
        let new = |item: &usize| !world.taken[user].contains(item);
        let attraction = |item: &usize| if new(item) { world.population.attraction(user, *item) } else { 0.0 };
        let clicks = clicked(&items.iter().map(attraction).collect::<Vec<_>>(), &mut luck);
        counted.shown += items.len();
        counted.clicks += clicks.len();
        let mut events = Vec::new();
        for position in clicks {
            let item = items[position];
            world.taken[user].insert(item);
            if let Some(today) = world.clicks.last_mut() {
                today.push(item);
            }
            if let Some(id) = &answer {
                events.push(json!({
                    "user": format!("u{user}"), "item": format!("i{item}"), "type": "click",
                    "time": time + 1000 * position as i64, "recommendation_id": id, "position": position,
                }));
            }
        }
        if let Some(client) = client.filter(|_| policy != Policy::Static && !events.is_empty()) {
            client.put("/v1/events", &events)?;
        }
    }
    Ok(counted)
}

/// The items of an answer, and its number.
fn shown(answer: Value) -> (Vec<usize>, Option<Value>) {
    let items = answer["items"].as_array().into_iter().flatten();
    let numbers = items.filter_map(|item| item["item"].as_str()?.strip_prefix('i')?.parse().ok()).collect();
    (numbers, Some(answer["recommendation_id"].clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(policy: Policy) -> f64 {
        live(policy, None, 5, 6, 3).unwrap().rate(0..6)
    }

    #[test]
    fn a_month_is_decided_by_its_seed() {
        assert_eq!(rate(Policy::Popular), rate(Policy::Popular));
    }

    #[test]
    fn the_oracle_is_far_above_what_knows_nobody() {
        let (random, popular, oracle) = (rate(Policy::Random), rate(Policy::Popular), rate(Policy::Oracle));
        assert!(2.0 * random < oracle && 2.0 * popular < oracle, "{random} {popular} {oracle}");
    }

    #[test]
    fn nothing_is_shown_that_the_user_has() {
        let (mut world, _) = World::warmed_up(5);
        let all = world.best(0, |item| item as f64);
        world.taken[0].insert(all[0]);
        assert!(!world.best(0, |item| item as f64).contains(&all[0]));
    }
}
