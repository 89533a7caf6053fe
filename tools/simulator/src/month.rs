//! A month of visits under one policy. All policies meet the same population with the same luck: what differs is what
//! they show, and what comes of it.

use rand::RngExt;
use serde_json::{Value, json};

use crate::Result;
use crate::clicks::clicked;
use crate::population::{Purpose, stream};
use crate::server::{Client, Server};
use crate::world::{Happening, SHOWN, World};

/// Probability that somebody visits on a day.
const VISITS: f64 = 0.4;
/// Probability that he finds something by himself on a day.
const SEARCHES: f64 = 0.2;
/// So many milliseconds after an answer its first item is clicked.
const LOOKING_MS: i64 = 1000;

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
    /// Savor, told every event; it trains by its own policy, watches what it makes, and goes back
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
                // At the end of each day, however long the training of the day before took.
                ["retrain.enabled=true", "retrain.every=20h"].map(String::from),
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

/// Lives through `days` days, with the drift planted at the beginning of day `planted`, counted from 0.
pub fn live(policy: Policy, server: Option<&Server>, seed: u64, days: usize, planted: usize) -> Result<Month> {
    let (world, events) = World::warmed_up(seed);
    let mut told = Told { policy, server, world };
    told.now(told.world.time(1.0))?;
    if let Some(client) = told.client() {
        client.put("/v1/items", &told.world.items(0))?;
        client.put("/v1/events", &events)?;
        client.train("always")?;
    }
    let mut month = Month { policy, days: Vec::new(), trained: 0, live: 0 };
    for number in 0..days {
        month.days.push(told.day(number == planted)?);
        let client = told.client();
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

/// What one server is told and asked.
struct Told<'a> {
    policy: Policy,
    server: Option<&'a Server>,
    world: World,
}

impl Told<'_> {
    fn client(&self) -> Option<&Client> {
        self.server.map(|server| &server.client)
    }

    /// It is this time, for the server as well.
    fn now(&self, millis: i64) -> Result<()> {
        self.server.map_or(Ok(()), |server| server.set_clock(millis))
    }

    fn tell(&self, events: &[Value]) -> Result<()> {
        let told = self.client().filter(|_| self.policy != Policy::Static && !events.is_empty());
        told.map_or(Ok(()), |client| client.put("/v1/events", events))
    }

    fn day(&mut self, planted: bool) -> Result<Day> {
        let known = self.world.population.items.len();
        self.world.next_day(planted);
        self.now(self.world.time(0.0))?;
        if let Some(client) = self.client() {
            client.put("/v1/items", &self.world.items(known))?;
        }
        let popularity = self.world.popularity();
        let mut counted = Day::default();
        for happening in self.world.happenings(&[(Purpose::Search, SEARCHES), (Purpose::Visit, VISITS)]) {
            self.now(happening.time)?;
            match happening.purpose {
                Purpose::Visit => {
                    let (shown, clicks) = self.visit(happening, &popularity)?;
                    counted.shown += shown;
                    counted.clicks += clicks;
                }
                _ => {
                    let found = self.world.search(happening);
                    self.tell(found.as_slice())?;
                }
            }
        }
        self.now(self.world.time(1.0))?;
        Ok(counted)
    }

    /// How much somebody is shown, and how much he clicks.
    fn visit(&mut self, visit: Happening, popularity: &[f64]) -> Result<(usize, usize)> {
        let Happening { time, user, mut luck, .. } = visit;
        let world = &mut self.world;
        let client = self.server.map(|server| &server.client);
        let (items, answer) = match (self.policy, client) {
            (Policy::Oracle, _) => (world.best(user, |item| world.population.attraction(user, item)), None),
            (Policy::Popular, _) => (world.best(user, |item| popularity[item]), None),
            (Policy::Static, Some(client)) => {
                let taken: Vec<String> = world.taken(user).map(|item| format!("i{item}")).collect();
                let question = json!({ "user": format!("u{user}"), "limit": SHOWN, "exclude_items": taken });
                shown(client.post("/v1/recommendations", &question)?)
            }
            (_, Some(client)) => shown(client.get(&format!("/v1/users/u{user}/recommendations?limit={SHOWN}"))?),
            (_, None) => {
                let mut lot = stream(world.population.seed, Purpose::Policy, world.population.day, user);
                let scores: Vec<f64> = world.population.items.iter().map(|_| lot.random()).collect();
                (world.best(user, |item| scores[item]), None)
            }
        };
        let attraction =
            |item: &usize| if world.has(user, *item) { 0.0 } else { world.population.attraction(user, *item) };
        let clicks = clicked(&items.iter().map(attraction).collect::<Vec<_>>(), &mut luck);
        let mut events = Vec::new();
        for position in &clicks {
            let item = items[*position];
            world.click(user, item);
            if let Some(id) = &answer {
                events.push(json!({
                    "user": format!("u{user}"), "item": format!("i{item}"), "type": "click",
                    "time": time + LOOKING_MS + *position as i64, "recommendation_id": id, "position": position,
                }));
            }
        }
        if !events.is_empty() {
            self.now(time + 2 * LOOKING_MS)?;
        }
        self.tell(&events)?;
        Ok((items.len(), clicks.len()))
    }
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
}
