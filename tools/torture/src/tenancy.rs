//! The thread beside the writers that makes tenants and keys, uses them and takes them away, and its part of the model. A tenant's
//! records are those of a lane of its own: what is another's shows by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand::seq::IteratorRandom;
use rand_chacha::ChaCha8Rng;
use savor::{Engine, Tenants};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::compare::check;
use crate::figures::Figures;
use crate::finding::{Finding, Kind, mixed, wrong_answer};
use crate::lane::Inner;
use crate::model::{Op, State, read_all};
use crate::plan::Focus;
use crate::target::{Line, Reply, Request};
use crate::world::{LANES, World};

/// Tenants that may be there at the same time.
const TENANTS: usize = 2;
/// Keys that let in at the same time.
const KEYS: usize = 3;
/// Tokens that let nobody in any more, and are tried all the same.
const DEAD_TOKENS: usize = 6;
/// What the key of the torture itself is called.
const OPERATOR: &str = "operator";

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Deed {
    MakeTenant(usize),
    DeleteTenant(usize),
    Write(usize, Op),
    /// Bound to a tenant, or to none.
    MakeKey {
        name: String,
        tenant: Option<usize>,
    },
    /// The secret before is refused at once.
    RotateKey(String),
    RevokeKey(String),
}

/// A key: its tokens, and whether they let in.
#[derive(Clone, Debug, Default)]
struct Key {
    name: String,
    tenant: Option<usize>,
    is_revoked: bool,
    tokens: Vec<(String, bool)>,
}

impl Key {
    fn end_tokens(&mut self) {
        self.tokens.iter_mut().for_each(|(_, lets_in)| *lets_in = false);
    }

    fn revoke(&mut self) {
        self.is_revoked = true;
        self.end_tokens();
    }
}

/// What was acknowledged of tenants and keys, and what is in doubt.
#[derive(Clone, Default)]
pub struct Estate {
    tenants: BTreeMap<usize, Inner>,
    /// By id; one whose making nobody has acknowledged has none.
    keys: BTreeMap<String, Key>,
    doubt: Option<Deed>,
    /// Keys ever made: each has a name of its own.
    made: u64,
}

/// What is there.
struct Seen {
    tenants: BTreeMap<usize, State>,
    /// Ids, names, and whether they are revoked.
    keys: BTreeMap<String, (String, bool)>,
    /// Tokens that let in, of those that are known.
    tokens: BTreeSet<String>,
}

/// What a tenant of a number is called.
pub fn tenant_name(number: usize) -> String {
    format!("t{number}")
}

/// The number of the lane whose names a tenant's records have.
fn lane_of_tenant(number: usize) -> usize {
    LANES + number
}

pub fn lock(estate: &Mutex<Estate>) -> MutexGuard<'_, Estate> {
    estate.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Estate {
    /// The key by which the torture asks servers from now on.
    pub fn add_operator(&mut self, id: String, token: String) {
        let key = Key { name: OPERATOR.into(), tokens: vec![(token, true)], ..Key::default() };
        self.keys.insert(id, key);
    }

    fn apply(&mut self, deed: &Deed) {
        match deed {
            Deed::MakeTenant(number) => drop(self.tenants.insert(*number, Inner::default())),
            Deed::DeleteTenant(number) => {
                self.tenants.remove(number);
                self.keys.values_mut().filter(|key| key.tenant == Some(*number)).for_each(|key| {
                    key.revoke();
                    key.tenant = None;
                });
            }
            Deed::Write(number, op) => {
                if let Some(inner) = self.tenants.get_mut(number) {
                    inner.state.apply(op);
                }
            }
            Deed::MakeKey { name, tenant } => {
                let key = Key { name: name.clone(), tenant: *tenant, ..Key::default() };
                self.keys.insert(String::new(), key);
            }
            Deed::RotateKey(id) => {
                if let Some(key) = self.keys.get_mut(id) {
                    key.end_tokens();
                }
            }
            Deed::RevokeKey(id) => {
                if let Some(key) = self.keys.get_mut(id) {
                    key.revoke();
                }
            }
        }
    }

    /// A new secret is told.
    fn learn(&mut self, id: String, token: String) {
        let mut key = self.keys.remove("").or_else(|| self.keys.remove(&id)).unwrap_or_default();
        key.tokens.push((token, true));
        self.keys.insert(id, key);
        let mut dead: usize = self.tokens().filter(|(_, lets_in)| !lets_in).count();
        for key in self.keys.values_mut() {
            key.tokens.retain(|(_, lets_in)| {
                let goes = !lets_in && dead > DEAD_TOKENS;
                dead -= usize::from(goes);
                !goes
            });
        }
    }

    fn tokens(&self) -> impl Iterator<Item = &(String, bool)> {
        self.keys.values().flat_map(|key| &key.tokens)
    }

    /// A valid deed.
    fn next(&mut self, random: &mut ChaCha8Rng, focus: Focus) -> Deed {
        let number = random.random_range(0..TENANTS);
        let is_there = self.tenants.contains_key(&number);
        let most = if focus == Focus::Tenants { 3 } else { 20 };
        // A server without keys answers everybody: none is made before the torture has one.
        let has_keys = !self.keys.is_empty();
        match random.random_range(0..20) {
            0..4 if has_keys => self.next_key(random),
            _ if !is_there => Deed::MakeTenant(number),
            _ if random.random_ratio(1, most) => Deed::DeleteTenant(number),
            _ => match self.tenants.get_mut(&number) {
                Some(inner) => Deed::Write(number, small(inner, lane_of_tenant(number), random)),
                None => Deed::MakeTenant(number),
            },
        }
    }

    fn next_key(&mut self, random: &mut ChaCha8Rng) -> Deed {
        let usable = || self.keys.iter().filter(|(_, key)| key.name != OPERATOR && !key.is_revoked);
        let count = usable().count();
        let id = usable().map(|(id, _)| id.clone()).choose(random);
        match (random.random_range(0..3), id) {
            (0, Some(id)) => Deed::RotateKey(id),
            (1, Some(id)) => Deed::RevokeKey(id),
            (_, Some(id)) if count >= KEYS => Deed::RevokeKey(id),
            _ => {
                let tenant = self.tenants.keys().choose(random).copied().filter(|_| random.random_bool(0.5));
                self.made += 1;
                Deed::MakeKey { name: format!("k{}", self.made), tenant }
            }
        }
    }

    /// What there may be: what was acknowledged and, with what is in doubt, that.
    fn outcomes(&self) -> Vec<Self> {
        let before = Self { doubt: None, ..self.clone() };
        let mut outcomes = vec![before.clone()];
        outcomes.extend(self.doubt.iter().map(|deed| {
            let mut after = before.clone();
            after.apply(deed);
            after
        }));
        outcomes
    }

    /// The first difference, in words. A key that was made and not acknowledged is known by its name, and has its id from now on.
    fn difference(&mut self, seen: &Seen) -> Option<String> {
        if let Some(key) = self.keys.remove("") {
            let id = seen.keys.iter().find(|(_, (name, _))| *name == key.name).map(|(id, _)| id.clone());
            self.keys.insert(id.unwrap_or_default(), key);
        }
        let (known, there): (Vec<_>, Vec<_>) = (self.tenants.keys().collect(), seen.tenants.keys().collect());
        if known != there {
            return Some(format!("tenants {there:?} are there, expected {known:?}"));
        }
        for (number, state) in &seen.tenants {
            let difference = self.tenants.get(number).and_then(|inner| inner.state.difference(state));
            if let Some(difference) = difference {
                return Some(format!("tenant {number}: {difference}"));
            }
        }
        let keys = self.keys.iter().map(|(id, key)| (id.clone(), (key.name.clone(), key.is_revoked)));
        let keys: BTreeMap<_, _> = keys.collect();
        if keys != seen.keys {
            return Some(format!("keys are {:?}, expected {keys:?}", seen.keys));
        }
        let wrong = self
            .keys
            .values()
            .find(|key| key.tokens.iter().any(|(token, lets_in)| seen.tokens.contains(token) != *lets_in));
        wrong.map(|key| format!("a secret of key \"{}\" lets in, or does not, against {key:?}", key.name))
    }
}

/// An operation of records alone: what else a directory has is the lanes' to try.
fn small(inner: &mut Inner, lane: usize, random: &mut ChaCha8Rng) -> Op {
    loop {
        match inner.next(lane, random) {
            Op::Items(items) if items.len() > 100 => {}
            Op::Import { .. } | Op::Scenario(..) | Op::DeleteScenario(_) => {}
            Op::Experiment(..) | Op::StartExperiment(_) | Op::StopExperiment(_) | Op::DeleteExperiment(_) => {}
            op => return op,
        }
    }
}

/// Makes, uses and removes until the victim is gone. Errors: a refusal of what should be done, an answer with what is another's, a
/// secret that lets in and should not, or the other way round.
pub fn manage(
    estate: &Mutex<Estate>,
    mut line: Line,
    mut random: ChaCha8Rng,
    focus: Focus,
    acknowledged: &AtomicU64,
    over: &AtomicBool,
) -> Result<()> {
    while !over.load(Ordering::Relaxed) {
        let deed = {
            let mut estate = lock(estate);
            let deed = estate.next(&mut random, focus);
            estate.doubt = Some(deed.clone());
            deed
        };
        let reply = line.send(&Request::Do(deed.clone()));
        let mut known = lock(estate);
        match reply {
            None => return Ok(()),
            Some(Reply::Done(_)) => known.apply(&deed),
            Some(Reply::Key { id, token }) => {
                known.apply(&deed);
                known.learn(id, token);
            }
            Some(other) => return wrong_answer(format!("{deed:?} was answered by {other:?}")),
        }
        known.doubt = None;
        drop(known);
        acknowledged.fetch_add(1, Ordering::Relaxed);
        let went_on = match random.random_range(0..6) {
            0 => ask(estate, &mut line, &mut random)?,
            1 => enter(estate, &mut line, &mut random)?,
            _ => true,
        };
        if !went_on {
            return Ok(());
        }
    }
    Ok(())
}

/// A tenant's answers have its items and no others. Tells whether the victim is still there.
fn ask(estate: &Mutex<Estate>, line: &mut Line, random: &mut ChaCha8Rng) -> Result<bool> {
    let Some(number) = lock(estate).tenants.keys().choose(random).copied() else { return Ok(true) };
    let user = format!("w{}-u0", lane_of_tenant(number));
    let reply = line.send(&Request::Of(tenant_name(number), Box::new(Request::Ask(user))));
    let items = match reply {
        None => return Ok(false),
        Some(Reply::Items(items)) => items,
        Some(other) => return wrong_answer(format!("a question in tenant {number} was answered by {other:?}")),
    };
    let known = lock(estate);
    let own = known.tenants.get(&number).map(|inner| &inner.state.items);
    let is_own = |item: &&String| own.is_some_and(|own| own.get(*item).is_some_and(|item| !item.hidden));
    match items.iter().find(|item| !is_own(item)) {
        Some(item) => wrong_answer(format!("tenant {number} was answered with \"{item}\"")),
        None => Ok(true),
    }
}

/// A token lets in exactly if it should.
fn enter(estate: &Mutex<Estate>, line: &mut Line, random: &mut ChaCha8Rng) -> Result<bool> {
    let Some((token, lets_in)) = lock(estate).tokens().choose(random).cloned() else { return Ok(true) };
    match line.send(&Request::Enter(token)) {
        None => Ok(false),
        Some(Reply::Done(entered)) if (entered == 1) == lets_in => Ok(true),
        Some(other) => wrong_answer(format!("a token was answered by {other:?}, whether it lets in: {lets_in}")),
    }
}

impl World {
    /// Compares tenants and keys with the model; what was in doubt is then known.
    pub fn compare_estate(&self, home: &Engine, figures: &mut Figures) -> Result<()> {
        let tenants = Tenants::around(home.clone())?;
        let mut estate = lock(&self.estate);
        let seen = see(&tenants, &estate)?;
        let mut outcomes = estate.outcomes();
        let mut differences = outcomes.iter_mut().map(|outcome| outcome.difference(&seen));
        let Some(place) = differences.position(|difference| difference.is_none()) else {
            let kind = if estate.doubt.is_none() { Kind::Lost(1) } else { Kind::Mixed };
            let difference = estate.outcomes().first_mut().and_then(|outcome| outcome.difference(&seen));
            let what = format!("{}; in doubt was {:?}", difference.unwrap_or_default(), estate.doubt);
            return Err(Finding::new(kind, what).into());
        };
        match (estate.doubt.is_some(), place) {
            (false, _) => {}
            (true, 0) => figures.undone += 1,
            (true, _) => figures.done += 1,
        }
        *estate = outcomes.into_iter().nth(place).unwrap_or_default();
        figures.compared_events += seen.tenants.values().map(|state| state.events.len() as u64).sum::<u64>();
        self.look_for_leftovers()
    }

    /// The folder of tenants has their directories and nothing else.
    fn look_for_leftovers(&self) -> Result<()> {
        for entry in fs::read_dir(self.data().join("tenants")).into_iter().flatten() {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                return mixed(format!("tenants/{name} is a leftover"));
            }
        }
        Ok(())
    }
}

fn see(tenants: &Tenants, estate: &Estate) -> Result<Seen> {
    let mut seen = Seen { tenants: BTreeMap::new(), keys: BTreeMap::new(), tokens: BTreeSet::new() };
    for name in tenants.names() {
        let Some(number) = (0..TENANTS).find(|number| tenant_name(*number) == name.as_str()) else {
            return mixed(format!("tenant \"{name}\" was made by nobody"));
        };
        let engine = tenants.get(&name)?;
        let mut states = read_all(&engine, LANES + TENANTS)?;
        let own = states.get_mut(lane_of_tenant(number)).map(std::mem::take).unwrap_or_default();
        if states.iter().any(|state| *state != State::default()) {
            return mixed(format!("tenant \"{name}\" has what is another's"));
        }
        check(&engine)?;
        seen.tenants.insert(number, own);
    }
    let home = tenants.home();
    seen.keys = home.keys().into_iter().map(|key| (key.id, (key.name, key.revoked.is_some()))).collect();
    let tokens = estate.tokens().map(|(token, _)| token);
    seen.tokens = tokens.filter(|token| home.check_key(token).is_ok()).cloned().collect();
    Ok(seen)
}
