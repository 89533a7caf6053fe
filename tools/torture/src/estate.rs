//! What the engine must hold of tenants and keys: the part of the model that the thread of `tenancy` changes. A tenant's records are
//! those of a lane of its own: what is another's shows by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::lane::Inner;
use crate::model::{Op, State};
use crate::world::LANES;

/// Tenants that may be there at the same time.
pub const TENANTS: usize = 2;
/// Tokens that let nobody in any more, and are tried all the same.
const DEAD_TOKENS: usize = 6;
/// What the key of the torture itself is called.
pub const OPERATOR: &str = "operator";

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Deed {
    MakeTenant(usize),
    DeleteTenant(usize),
    Write(usize, Op),
    /// Into the folder where a server puts those of this tenant.
    BackUp(usize),
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
pub struct Key {
    pub name: String,
    pub tenant: Option<usize>,
    pub is_revoked: bool,
    pub tokens: Vec<(String, bool)>,
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

/// A tenant: its records, and its own backup.
#[derive(Clone, Default)]
pub struct Tenant {
    pub inner: Inner,
    /// Generations that were made of it.
    pub generations: u64,
    /// What the newest holds, if nobody has looked yet.
    pub backed_up: Option<State>,
}

/// What was acknowledged of tenants and keys, and what is in doubt.
#[derive(Clone, Default)]
pub struct Estate {
    pub tenants: BTreeMap<usize, Tenant>,
    /// By id; one whose making nobody has acknowledged has none.
    pub keys: BTreeMap<String, Key>,
    pub doubt: Option<Deed>,
    /// Keys ever made: each has a name of its own.
    pub made: u64,
    /// As it was before and after each deed while a backup was made.
    journal: Option<Vec<Estate>>,
}

/// What is there.
pub struct Seen {
    /// Records, and the newest generation of the tenant's own backup.
    pub tenants: BTreeMap<usize, (State, u64)>,
    /// Ids, names, and whether they are revoked.
    pub keys: BTreeMap<String, (String, bool)>,
    /// Tokens that let in, of those that are known.
    pub tokens: BTreeSet<String>,
}

/// What a tenant of a number is called.
pub fn tenant_name(number: usize) -> String {
    format!("t{number}")
}

/// The number of the lane whose names a tenant's records have.
pub fn lane_of_tenant(number: usize) -> usize {
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

    /// A deed is acknowledged, with the new secret of a key where it makes one.
    pub fn acknowledge(&mut self, deed: &Deed, secret: Option<(String, String)>) {
        self.apply(deed);
        if let Some((id, token)) = secret {
            self.learn(id, token);
        }
        self.doubt = None;
        if self.journal.is_some() {
            let after = self.alone();
            self.journal.iter_mut().for_each(|journal| journal.push(after.clone()));
        }
    }

    fn apply(&mut self, deed: &Deed) {
        match deed {
            Deed::MakeTenant(number) => drop(self.tenants.insert(*number, Tenant::default())),
            Deed::DeleteTenant(number) => {
                self.tenants.remove(number);
                self.keys.values_mut().filter(|key| key.tenant == Some(*number)).for_each(|key| {
                    key.revoke();
                    key.tenant = None;
                });
            }
            Deed::Write(number, op) => {
                if let Some(tenant) = self.tenants.get_mut(number) {
                    tenant.inner.state.apply(op);
                }
            }
            Deed::BackUp(number) => {
                if let Some(tenant) = self.tenants.get_mut(number) {
                    tenant.generations += 1;
                    tenant.backed_up = Some(tenant.inner.state.clone());
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

    pub fn tokens(&self) -> impl Iterator<Item = &(String, bool)> {
        self.keys.values().flat_map(|key| &key.tokens)
    }

    /// What was acknowledged, alone.
    fn alone(&self) -> Self {
        let Self { tenants, keys, made, .. } = self;
        Self { tenants: tenants.clone(), keys: keys.clone(), made: *made, doubt: None, journal: None }
    }

    /// What there may be: what was acknowledged and, with what is in doubt, that.
    pub fn outcomes(&self) -> Vec<Self> {
        let before = self.alone();
        let mut outcomes = vec![before.clone()];
        outcomes.extend(self.doubt.iter().map(|deed| {
            let mut after = before.clone();
            after.apply(deed);
            after
        }));
        outcomes
    }

    /// A backup of everything begins.
    pub fn open_window(&mut self) {
        self.journal = Some(vec![self.alone()]);
    }

    /// It has ended, or its process has: what it may hold.
    pub fn close_window(&mut self) -> Vec<Self> {
        let mut states = self.journal.take().unwrap_or_default();
        states.extend(self.outcomes().into_iter().skip(1));
        states
    }

    /// The first difference, in words.
    pub fn difference(&mut self, seen: &Seen) -> Option<String> {
        self.difference_in_names(seen)
            .or_else(|| self.tenants.keys().find_map(|number| self.difference_in_tenant(*number, seen)))
            .or_else(|| self.difference_in_generations(seen))
            .or_else(|| self.difference_in_keys(seen))
    }

    /// Which tenants there are.
    pub fn difference_in_names(&self, seen: &Seen) -> Option<String> {
        let (known, there): (Vec<_>, Vec<_>) = (self.tenants.keys().collect(), seen.tenants.keys().collect());
        (known != there).then(|| format!("tenants {there:?} are there, expected {known:?}"))
    }

    /// What one of them holds.
    pub fn difference_in_tenant(&self, number: usize, seen: &Seen) -> Option<String> {
        match (self.tenants.get(&number), seen.tenants.get(&number)) {
            (None, None) => None,
            (Some(tenant), Some((state, _))) => {
                let difference = tenant.inner.state.difference(state)?;
                Some(format!("tenant {number}: {difference}"))
            }
            (known, _) => Some(format!("whether tenant {number} is there: expected {}", known.is_some())),
        }
    }

    fn difference_in_generations(&self, seen: &Seen) -> Option<String> {
        seen.tenants.iter().find_map(|(number, (_, newest))| {
            let expected = self.tenants.get(number)?.generations;
            (*newest != expected)
                .then(|| format!("backup {newest} of tenant {number} is the newest, expected {expected}"))
        })
    }

    /// A key that was made and not acknowledged is known by its name, and has its id from now on.
    pub fn difference_in_keys(&mut self, seen: &Seen) -> Option<String> {
        if let Some(key) = self.keys.remove("") {
            let id = seen.keys.iter().find(|(_, (name, _))| *name == key.name).map(|(id, _)| id.clone());
            self.keys.insert(id.unwrap_or_default(), key);
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
