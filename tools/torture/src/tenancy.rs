//! The thread beside the writers that makes tenants and keys, uses them and takes them away.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::RngExt;
use rand::seq::IteratorRandom;
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::estate::{Deed, Estate, OPERATOR, TENANTS, lane_of_tenant, lock, tenant_name};
use crate::finding::wrong_answer;
use crate::lane::Inner;
use crate::model::{Op, lane_of};
use crate::plan::Focus;
use crate::target::{Line, Reply, Request};
use crate::world::LANES;

/// Keys that let in at the same time.
const KEYS: usize = 3;

/// Makes, uses and removes until the victim is gone. Errors: a refusal of what should be done, a wrong count, an answer with what is
/// another's, a secret that lets in and should not, or the other way round.
pub fn manage(
    estate: &Mutex<Estate>,
    mut line: Line,
    mut random: ChaCha8Rng,
    focus: Focus,
    acknowledged: &AtomicU64,
    over: &AtomicBool,
) -> Result<()> {
    while !over.load(Ordering::Relaxed) {
        let (deed, new) = {
            let mut estate = lock(estate);
            let deed = estate.next(&mut random, focus);
            estate.doubt = Some(deed.clone());
            let new = match &deed {
                Deed::Write(number, op) => estate.tenants.get(number).and_then(|tenant| tenant.inner.state.new_in(op)),
                _ => None,
            };
            (deed, new)
        };
        let secret = match line.send(&Request::Do(deed.clone())) {
            None => return Ok(()),
            Some(Reply::Done(counted)) => match new.filter(|new| *new != counted) {
                Some(new) => return wrong_answer(format!("{counted} events stored, {new} were new: {deed:?}")),
                None => None,
            },
            Some(Reply::Key { id, token }) => Some((id, token)),
            Some(other) => return wrong_answer(format!("{deed:?} was answered by {other:?}")),
        };
        lock(estate).acknowledge(&deed, secret);
        acknowledged.fetch_add(1, Ordering::Relaxed);
        let went_on = match random.random_range(0..4) {
            0 => ask(estate, &mut line, &mut random)?,
            1 | 2 => enter(estate, &mut line, &mut random)?,
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
    let own = known.tenants.get(&number).map(|tenant| &tenant.inner.state.items);
    let is_own = |item: &&String| own.is_some_and(|own| own.get(*item).is_some_and(|item| !item.hidden));
    match items.iter().find(|item| !is_own(item)) {
        Some(item) => wrong_answer(format!("tenant {number} was answered with \"{item}\"")),
        None => Ok(true),
    }
}

/// A token lets in exactly if it should, and to nothing but what its key is bound to.
fn enter(estate: &Mutex<Estate>, line: &mut Line, random: &mut ChaCha8Rng) -> Result<bool> {
    let tokens = lock(estate);
    // Most are dead: half of the time one of those that let in.
    let all = random.random_bool(0.5);
    let tokens = tokens.keys.values().flat_map(|key| key.tokens.iter().map(move |token| (key, token)));
    let tokens = tokens.filter(|(_, (_, lets_in))| all || *lets_in);
    let Some((key, (token, lets_in))) = tokens.choose(random) else { return Ok(true) };
    let (bound, token, is_operator) = (key.tenant, token.clone(), key.name == OPERATOR);
    // Operators may name any.
    let named = (!is_operator && random.random_bool(0.7)).then(|| random.random_range(0..TENANTS));
    let lets_in = *lets_in && named.is_none_or(|named| bound == Some(named));
    let reply = line.send(&Request::Enter { token, tenant: named });
    let is_own = |item: &String| {
        lane_of(item).is_some_and(|lane| bound.map_or(lane < LANES, |number| lane == lane_of_tenant(number)))
    };
    match reply {
        None => Ok(false),
        Some(Reply::Items(items)) if lets_in && items.iter().all(is_own) => Ok(true),
        Some(Reply::Done(0)) if !lets_in => Ok(true),
        Some(other) => wrong_answer(format!(
            "a token of {bound:?} was answered by {other:?} about {named:?}, whether it lets in: {lets_in}"
        )),
    }
}

impl Estate {
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
            4 => Deed::BackUp(number),
            _ if random.random_ratio(1, most) => Deed::DeleteTenant(number),
            _ => match self.tenants.get_mut(&number) {
                Some(tenant) => Deed::Write(number, small(&mut tenant.inner, lane_of_tenant(number), random)),
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
