//! What the engine must hold, as a few maps: obviously right, and slow. Each lane of writers has names of its own, so that
//! its part of the engine changes by its own operations alone, one after the other; at most one of them is in doubt when
//! the process is killed.

use std::collections::{BTreeMap, BTreeSet};

use savor::{Engine, Event, ExperimentDesign, Item, ItemPatch, Scenario, User, UserPatch};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::finding::{Finding, Kind, mixed};

/// A write of a lane. Each is whole or not there, but for an import, which may stop between two batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    Events(Vec<Event>),
    Items(Vec<Item>),
    Users(Vec<User>),
    PatchItem(String, ItemPatch),
    PatchUser(String, UserPatch),
    DeleteItem(String),
    DeleteUser(String),
    Merge {
        into: String,
        from: String,
    },
    /// Events from a file, in batches of this many rows.
    Import {
        events: Vec<Event>,
        batch: usize,
    },
    Scenario(String, Box<Scenario>),
    DeleteScenario(String),
    Experiment(String, Box<ExperimentDesign>),
    StartExperiment(String),
    StopExperiment(String),
    DeleteExperiment(String),
}

/// A lane's part of the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub items: BTreeMap<String, Item>,
    pub users: BTreeMap<String, User>,
    /// By id: each event has one of its own.
    pub events: BTreeMap<String, Event>,
    /// Events whose item is deleted, by user: they count, and cannot be read.
    pub orphans: BTreeMap<String, u64>,
    /// The last is how it answers; `None` is a deletion.
    pub scenarios: BTreeMap<String, Vec<Option<Scenario>>>,
    /// Design and state, as JSON.
    pub experiments: BTreeMap<String, (ExperimentDesign, String)>,
}

impl State {
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Events(events) | Op::Import { events, .. } => events.iter().for_each(|event| self.event(event)),
            Op::Items(items) => items.iter().for_each(|item| drop(self.items.insert(item.id.clone(), item.clone()))),
            Op::Users(users) => users.iter().for_each(|user| drop(self.users.insert(user.id.clone(), user.clone()))),
            Op::PatchItem(id, patch) => {
                if let Some(item) = self.items.remove(id) {
                    self.items.insert(id.clone(), patch.clone().apply(item));
                }
            }
            Op::PatchUser(id, patch) => {
                if let Some(user) = self.users.remove(id) {
                    self.users.insert(id.clone(), patch.clone().apply(user));
                }
            }
            Op::DeleteItem(id) => {
                self.items.remove(id);
                let orphans = &mut self.orphans;
                self.events.retain(|_, event| {
                    let stays = event.item != *id;
                    if !stays {
                        *orphans.entry(event.user.clone()).or_default() += 1;
                    }
                    stays
                });
            }
            Op::DeleteUser(id) => self.forget(id),
            Op::Merge { into, from } => self.merge(into, from),
            Op::Scenario(name, scenario) => {
                self.scenarios.entry(name.clone()).or_default().push(Some((**scenario).clone()));
            }
            Op::DeleteScenario(name) => self.scenarios.entry(name.clone()).or_default().push(None),
            Op::Experiment(id, design) => {
                drop(self.experiments.insert(id.clone(), ((**design).clone(), "draft".into())))
            }
            Op::StartExperiment(id) => self.set_experiment(id, "running"),
            Op::StopExperiment(id) => self.set_experiment(id, "stopped"),
            Op::DeleteExperiment(id) => drop(self.experiments.remove(id)),
        }
    }

    /// What there may be after an operation that nobody has acknowledged: all of it or, of an import, its first batches.
    /// What was there before comes first.
    pub fn outcomes(&self, op: &Op) -> Vec<State> {
        let mut outcomes = vec![self.clone()];
        let parts = match op {
            Op::Import { events, batch } => (1..=events.len().div_ceil(*batch))
                .map(|batches| Op::Events(events.iter().take(batches * batch).cloned().collect()))
                .collect(),
            op => vec![op.clone()],
        };
        outcomes.extend(parts.iter().map(|op| {
            let mut after = self.clone();
            after.apply(op);
            after
        }));
        outcomes
    }

    /// How many events of an operation are not stored yet; none of an operation without events.
    pub fn new_in(&self, op: &Op) -> Option<u64> {
        let (Op::Events(events) | Op::Import { events, .. }) = op else { return None };
        let ids: BTreeSet<_> = events.iter().filter_map(|event| event.id.as_ref()).collect();
        Some(ids.iter().filter(|id| !self.events.contains_key(**id)).count() as u64)
    }

    /// Events that the engine counts.
    pub fn counted(&self) -> u64 {
        self.events.len() as u64 + self.orphans.values().sum::<u64>()
    }

    fn event(&mut self, event: &Event) {
        self.users.entry(event.user.clone()).or_insert_with(|| User::new(&event.user));
        self.items.entry(event.item.clone()).or_insert_with(|| Item::new(&event.item));
        self.events.insert(event.id.clone().unwrap_or_default(), event.clone());
    }

    fn forget(&mut self, user: &str) {
        self.users.remove(user);
        self.orphans.remove(user);
        self.events.retain(|_, event| event.user != user);
    }

    fn merge(&mut self, into: &str, from: &str) {
        let attributes = self.users.get(from).map(|user| user.attributes.clone()).unwrap_or_default();
        let target = self.users.entry(into.to_owned()).or_insert_with(|| User::new(into));
        for (name, value) in attributes {
            target.attributes.entry(name).or_insert(value);
        }
        for event in self.events.values_mut().filter(|event| event.user == from) {
            into.clone_into(&mut event.user);
        }
        if let Some(orphans) = self.orphans.remove(from) {
            *self.orphans.entry(into.to_owned()).or_default() += orphans;
        }
        self.forget(from);
    }

    fn set_experiment(&mut self, id: &str, state: &str) {
        if let Some((_, known)) = self.experiments.get_mut(id) {
            state.clone_into(known);
        }
    }

    /// The first difference, in words.
    pub fn difference(&self, seen: &State) -> Option<String> {
        differ("item", &self.items, &seen.items)
            .or_else(|| differ("user", &self.users, &seen.users))
            .or_else(|| differ("event", &self.events, &seen.events))
            .or_else(|| differ("scenario", &self.scenarios, &seen.scenarios))
            .or_else(|| differ("experiment", &self.experiments, &seen.experiments))
    }
}

fn differ<V: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &BTreeMap<String, V>,
    seen: &BTreeMap<String, V>,
) -> Option<String> {
    for (id, value) in expected {
        match seen.get(id) {
            None => return Some(format!("{what} {id} is lost: {value:?}")),
            Some(other) if other != value => return Some(format!("{what} {id} is {other:?}, expected {value:?}")),
            Some(_) => {}
        }
    }
    let more = seen.iter().find(|(id, _)| !expected.contains_key(*id));
    more.map(|(id, value)| format!("{what} {id} should not be there: {value:?}"))
}

/// How many records are not what all of `states` say of them, which so was acknowledged.
pub fn lost(states: &[State], seen: &State) -> u64 {
    disputed(states, seen, |state| &state.items)
        + disputed(states, seen, |state| &state.users)
        + disputed(states, seen, |state| &state.events)
        + disputed(states, seen, |state| &state.scenarios)
        + disputed(states, seen, |state| &state.experiments)
}

fn disputed<V: PartialEq>(states: &[State], seen: &State, of: fn(&State) -> &BTreeMap<String, V>) -> u64 {
    let names: BTreeSet<&String> = states.iter().chain([seen]).flat_map(|state| of(state).keys()).collect();
    let is_disputed = |name: &&String| {
        let mut said = states.iter().map(|state| of(state).get(*name));
        let first = said.next().flatten();
        said.all(|other| other == first) && of(seen).get(*name) != first
    };
    names.into_iter().filter(is_disputed).count() as u64
}

/// The lane that a name belongs to: `w2-u17` is of lane 2.
pub fn lane_of(name: &str) -> Option<usize> {
    name.strip_prefix('w')?.split('-').next()?.parse().ok()
}

/// Reads everything back, by lane. Orphans cannot be told apart by user: they come with the counts.
pub fn read_all(engine: &Engine, lanes: usize) -> Result<Vec<State>> {
    let mut states = vec![State::default(); lanes];
    let mut of = |name: &str, put: &mut dyn FnMut(&mut State)| -> Result<()> {
        let lane = lane_of(name).and_then(|lane| states.get_mut(lane));
        put(lane.ok_or_else(|| Finding::new(Kind::Mixed, format!("\"{name}\" was written by nobody")))?);
        Ok(())
    };
    let mut cursor = None;
    loop {
        let page = engine.items(cursor.as_deref(), 1000)?;
        for item in page.entries {
            of(&item.id.clone(), &mut |state| drop(state.items.insert(item.id.clone(), item.clone())))?;
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    loop {
        let page = engine.users(cursor.as_deref(), 1000)?;
        for user in page.entries {
            of(&user.id.clone(), &mut |state| drop(state.users.insert(user.id.clone(), user.clone())))?;
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut events = Vec::new();
    engine.for_each_event(&mut |event| {
        events.push(event.clone());
        Ok(())
    })?;
    for event in events {
        let id = event.id.clone().unwrap_or_default();
        of(&event.user.clone(), &mut |state| drop(state.events.insert(id.clone(), event.clone())))?;
    }
    for name in engine.scenarios().into_iter().map(|version| version.name) {
        of(&name, &mut |state| drop(state.scenarios.insert(name.clone(), Vec::new())))?;
    }
    for experiment in engine.experiments()? {
        let state = serde_json::to_value(experiment.state)?.as_str().unwrap_or_default().to_owned();
        let design = experiment.design.clone();
        of(&experiment.id, &mut |lane| {
            lane.experiments.insert(experiment.id.clone(), (design.clone(), state.clone()));
        })?;
    }
    Ok(states)
}

/// The versions of scenarios, which only their names lead to.
pub fn read_versions(engine: &Engine, names: impl Iterator<Item = String>, state: &mut State) -> Result<()> {
    for name in names {
        let versions = match engine.scenario_versions(&name) {
            Ok(versions) => versions,
            Err(error) if error.code() == "not_found" => continue,
            Err(error) => return Err(error.into()),
        };
        for (place, version) in versions.iter().rev().enumerate() {
            if version.version != place as u64 + 1 {
                return mixed(format!("scenario {name} has version {} in place {place}", version.version));
            }
        }
        let versions = versions.into_iter().rev().map(|version| version.scenario).collect();
        state.scenarios.insert(name, versions);
    }
    Ok(())
}
