//! A lane: one thread of writers with names of its own, its part of the model, and the one operation that is in doubt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand_chacha::ChaCha8Rng;
use savor::{Event, ExperimentDesign, Item, Scenario, Timestamp, User};
use serde_json::json;

use crate::Result;
use crate::finding::wrong_answer;
use crate::model::{Op, State, lane_of};
use crate::target::{Line, Reply, Request, SPACE};
use crate::world::LANES;

/// Names of each kind that a lane has.
const USERS: u64 = 12;
const ITEMS: u64 = 16;
/// Items that are put at once, now and then: enough for a space of vectors to be indexed anew.
const MANY: u64 = 1_100;
/// 2026-01-01.
const START: i64 = 1_767_225_600_000;

/// Shared by the lane's thread and who looks at it.
#[derive(Default)]
pub struct Lane {
    inner: Mutex<Inner>,
}

#[derive(Clone, Default)]
pub struct Inner {
    /// What was acknowledged.
    pub state: State,
    /// What was sent and not acknowledged.
    pub doubt: Option<Op>,
    /// What was acknowledged while a backup was made.
    journal: Option<(State, Vec<Op>)>,
    /// Event ids given.
    events: u64,
}

/// A state and what may have been added to it, each of which a backup may hold.
pub struct Window(Vec<State>);

impl Window {
    pub fn states(&self) -> &[State] {
        &self.0
    }
}

impl Lane {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A backup begins.
    pub fn open_window(&self) {
        let mut inner = self.lock();
        inner.journal = Some((inner.state.clone(), Vec::new()));
    }

    /// A backup has ended, or its process has: what it may hold.
    pub fn close_window(&self) -> Window {
        let mut inner = self.lock();
        let (mut state, ops) = inner.journal.take().unwrap_or_default();
        let mut states = vec![state.clone()];
        for op in ops.iter().chain(&inner.doubt) {
            states.extend(state.outcomes(op).into_iter().skip(1));
            state.apply(op);
        }
        Window(states)
    }
}

/// Writes until the victim is gone or `enough` says so; waits while somebody else holds the gate. Errors: a refusal of what should be done, or a wrong count.
pub fn write_until(
    lane: &Lane,
    number: usize,
    mut random: ChaCha8Rng,
    mut line: Line,
    acknowledged: &AtomicU64,
    gate: &RwLock<()>,
    enough: &dyn Fn() -> bool,
) -> Result<()> {
    while !enough() {
        let _open = gate.read().unwrap_or_else(PoisonError::into_inner);
        let (op, stored) = {
            let mut inner = lane.lock();
            let op = inner.next(number, &mut random);
            let stored = inner.state.new_in(&op);
            inner.doubt = Some(op.clone());
            (op, stored)
        };
        match line.send(&Request::Write(op.clone())) {
            None => return Ok(()),
            Some(Reply::Done(counted)) => {
                if let Some(stored) = stored.filter(|stored| *stored != counted) {
                    return wrong_answer(format!("lane {number}: {counted} events stored, {stored} were new: {op:?}"));
                }
                let mut inner = lane.lock();
                inner.state.apply(&op);
                inner.doubt = None;
                if let Some((_, ops)) = &mut inner.journal {
                    ops.push(op);
                }
            }
            Some(other) => return wrong_answer(format!("lane {number}: {op:?} was answered by {other:?}")),
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
        // Questions between writes: they must be answered.
        if random.random_ratio(1, 8) {
            let user = format!("w{number}-u{}", random.random_range(0..USERS));
            match line.send(&Request::Ask(user)) {
                None => return Ok(()),
                Some(Reply::Items(items)) => {
                    let is_strange = |item: &&String| lane_of(item).is_none_or(|lane| lane >= LANES);
                    if let Some(item) = items.iter().find(is_strange) {
                        return wrong_answer(format!("lane {number}: \"{item}\" is a tenant's"));
                    }
                }
                Some(other) => {
                    return wrong_answer(format!("lane {number}: a question was answered by {other:?}"));
                }
            }
        }
    }
    Ok(())
}

impl Inner {
    /// A valid operation.
    pub fn next(&mut self, lane: usize, random: &mut ChaCha8Rng) -> Op {
        let state = &self.state;
        let scenario = format!("w{lane}-s{}", random.random_range(0..2));
        let experiment = format!("w{lane}-x{}", random.random_range(0..2));
        match random.random_range(0..100) {
            0..40 => {
                let count = *[1, 1, 1, 2, 5, 40].choose(random).unwrap_or(&1);
                Op::Events(self.new_events(lane, count, random))
            }
            40..52 => {
                let count = *[1, 1, 3, 10].choose(random).unwrap_or(&1);
                Op::Items(
                    (0..count).map(|_| item(format!("w{lane}-i{}", random.random_range(0..ITEMS)), random)).collect(),
                )
            }
            52..53 => Op::Items((0..MANY).map(|number| item(format!("w{lane}-v{number}"), random)).collect()),
            53..60 => {
                let count = *[1, 1, 5].choose(random).unwrap_or(&1);
                Op::Users(
                    (0..count).map(|_| user(format!("w{lane}-u{}", random.random_range(0..USERS)), random)).collect(),
                )
            }
            60..64 => match some(&state.items, random) {
                Some(id) => {
                    let patch = json!({"hidden": random.random_bool(0.2), "attributes": {"stock": random.random_range(0..9), "old": null}});
                    serde_json::from_value(patch).map_or(Op::DeleteItem(id.clone()), |patch| Op::PatchItem(id, patch))
                }
                None => Op::Events(self.new_events(lane, 1, random)),
            },
            64..67 => match some(&state.users, random) {
                Some(id) => {
                    let patch = json!({"attributes": {"age": random.random_range(10..90), "city": null}});
                    serde_json::from_value(patch).map_or(Op::DeleteUser(id.clone()), |patch| Op::PatchUser(id, patch))
                }
                None => Op::Events(self.new_events(lane, 1, random)),
            },
            67..72 => match some(&state.items, random) {
                Some(id) => Op::DeleteItem(id),
                None => Op::Events(self.new_events(lane, 1, random)),
            },
            72..76 => match some(&state.users, random) {
                Some(id) => Op::DeleteUser(id),
                None => Op::Events(self.new_events(lane, 1, random)),
            },
            76..81 => {
                let into = format!("w{lane}-u{}", random.random_range(0..USERS));
                match state.users.keys().filter(|from| **from != into).choose(random).cloned() {
                    Some(from) => Op::Merge { into, from },
                    None => Op::Events(self.new_events(lane, 1, random)),
                }
            }
            81..85 => Op::Import { events: self.new_events(lane, 100, random), batch: 30 },
            85..90 => Op::Scenario(
                scenario,
                Box::new(Scenario { description: random.random::<u32>().to_string(), ..Scenario::default() }),
            ),
            90..92 => match state.scenarios.get(&scenario).and_then(|versions| versions.last()) {
                Some(Some(_)) => Op::DeleteScenario(scenario),
                _ => Op::Scenario(scenario, Box::default()),
            },
            _ => match state.experiments.get(&experiment).map(|(_, state)| state.as_str()) {
                None => Op::Experiment(experiment, Box::new(design(random))),
                Some("draft") => match random.random_range(0..3) {
                    0 => Op::Experiment(experiment, Box::new(design(random))),
                    1 => Op::DeleteExperiment(experiment),
                    _ => Op::StartExperiment(experiment),
                },
                Some("running") => Op::StopExperiment(experiment),
                Some(_) => Op::DeleteExperiment(experiment),
            },
        }
    }

    /// Mostly new ones; now and then one that is stored already.
    pub fn new_events(&mut self, lane: usize, count: usize, random: &mut ChaCha8Rng) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..count {
            if random.random_ratio(1, 10)
                && let Some(known) = self.state.events.values().choose(random)
            {
                events.push(known.clone());
                continue;
            }
            self.events += 1;
            let (user, item) = (random.random_range(0..USERS), random.random_range(0..ITEMS));
            let mut event = Event::new(format!("w{lane}-u{user}"), format!("w{lane}-i{item}"), "click");
            event.id = Some(format!("w{lane}-e{}", self.events));
            event.time = Timestamp::from_millis(START + random.random_range(0..50_000_000)).ok();
            event.value = random.random_bool(0.3).then(|| f64::from(random.random_range(1..6)));
            events.push(event);
        }
        events
    }
}

fn some<V>(map: &std::collections::BTreeMap<String, V>, random: &mut ChaCha8Rng) -> Option<String> {
    map.keys().choose(random).cloned()
}

fn item(id: String, random: &mut ChaCha8Rng) -> Item {
    let mut item = Item::new(id);
    item.categories = vec![format!("c{}", random.random_range(0..3))];
    item.attributes.insert("stock".into(), f64::from(random.random_range(0..9)).into());
    item.attributes.insert("old".into(), "yes".to_owned().into());
    if random.random_bool(0.5) {
        item.vectors.insert(SPACE.into(), (0..4).map(|_| random.random_range(-1.0f32..1.0)).collect());
    }
    item
}

fn user(id: String, random: &mut ChaCha8Rng) -> User {
    let mut user = User::new(id);
    user.attributes.insert("age".into(), f64::from(random.random_range(10..90)).into());
    if random.random_bool(0.5) {
        user.attributes.insert("city".into(), format!("city{}", random.random_range(0..5)).into());
    }
    user
}

/// Experiments of one layer share its users.
fn design(random: &mut ChaCha8Rng) -> ExperimentDesign {
    let design = json!({
        "about": random.random::<u32>().to_string(), "layer": "torture", "traffic": 100,
        "variants": [{"name": "A"}, {"name": "B", "query": {"limit": 3}}],
    });
    serde_json::from_value(design).unwrap_or_else(|error| unreachable!("a design that is none: {error}"))
}
