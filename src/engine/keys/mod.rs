//! API keys: made, listed, rotated, revoked, and looked up for each request of a server. The store keeps hashes; a token that was
//! proven once is known again by a keyed hash of it, for as long as its key and its secret are good.

mod limit;
mod many;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;

pub(crate) use limit::Limit;
pub(super) use secret::{hex, keyed, random};

use super::{Engine, lock};
use crate::error::{Error, Result};
use crate::record::{ApiKey, KeyDesign, KeyState, NewKey, Span, Timestamp, Token};
use crate::store::{SecretHash, Store, StoredKey};

/// Tokens that are known without the work of Argon2.
const PROVEN: usize = 4_096;
/// Wrong secrets for an id: so many at once, then one a second is told that it is wrong.
const WRONG_BURST: f64 = 10.0;
const WRONG_PER_SECOND: f64 = 1.0;
/// Ids of which wrong secrets are counted, those of keys and others alike.
const WRONG: usize = 4_096;
/// What the bound of a key to a tenant that is deleted begins with; no tenant's name begins so.
const DELETED: &str = ".deleted-";
/// Secrets of a key that are taken at once.
const SECRETS: usize = 8;
/// The longest life of a secret after it was rotated.
const LONGEST_OVERLAP: Span = Span::days(90);

/// Why a token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyRefusal {
    /// It does not look like a token.
    Malformed,
    /// There is no such key, or the secret is not the key's.
    Unknown,
    /// Too many wrong secrets for this id, whether there is such a key or not: worth another attempt after that time.
    Throttled(Duration),
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// It is used more often than it may be: worth another attempt after that time.
    Limited(Duration),
    /// The stored key cannot be read.
    Damaged,
}

/// All keys, ready to be looked up.
pub(super) struct Keys {
    live: ArcSwap<HashMap<String, Arc<Live>>>,
    /// Held while a key is changed, in the store and in memory.
    changing: Mutex<()>,
    /// By a keyed hash of a token: which secret it was found to be. It says nothing about whether that is still good.
    proven: Cache<[u8; 32], Arc<Proven>>,
    /// By a keyed hash of an id: how many wrong secrets were sent for it.
    wrong: Cache<[u8; 32], Arc<Limit>>,
    /// Made anew at each start; a dump of the cache tells no token.
    pepper: [u8; 32],
}

struct Proven {
    salt: String,
}

struct Live {
    key: Arc<ApiKey>,
    secrets: Vec<SecretHash>,
    limit: Option<Arc<Limit>>,
}

/// What looking a token up, without the work of Argon2, has shown.
pub(crate) enum Lookup {
    /// Who it is.
    Known(Admitted),
    /// It may be this key's token; [`Engine::prove_key`] tells.
    Unproven(Unproven),
}

/// A key that lets in.
pub(crate) struct Admitted {
    /// Which one.
    pub key: Arc<ApiKey>,
    salt: String,
    limit: Option<Arc<Limit>>,
}

/// By what a key has let in, so that it can be asked later whether it still does.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    key: Arc<ApiKey>,
    /// That of the secret.
    salt: String,
}

/// A token that must be proven.
pub(crate) struct Unproven {
    token: Token,
    id: String,
    candidates: Vec<SecretHash>,
}

impl Admitted {
    /// By what it has let in.
    pub fn into_proof(self) -> Proof {
        Proof { key: self.key, salt: self.salt }
    }

    /// Counts a request.
    pub fn take(&self, now: Instant) -> std::result::Result<(), KeyRefusal> {
        self.limit.as_ref().map_or(Ok(()), |limit| limit.take(now)).map_err(KeyRefusal::Limited)
    }
}

impl Keys {
    /// Reads them all.
    pub fn open(store: &Store) -> Result<Self> {
        let mut pepper = [0; 32];
        random(&mut pepper)?;
        let keys = store.keys()?.into_iter().map(|stored| (stored.key.id.clone(), Arc::new(Live::new(stored, None))));
        Ok(Self {
            live: ArcSwap::from_pointee(keys.collect()),
            changing: Mutex::default(),
            proven: Cache::new(PROVEN),
            wrong: Cache::new(WRONG),
            pepper,
        })
    }

    /// From now on this is the key of its id, and those of other ids are gone.
    fn set(&self, stored: StoredKey, removed: &[String]) {
        let mut live = (**self.live.load()).clone();
        let id = stored.key.id.clone();
        let before = live.get(&id).cloned();
        live.insert(id, Arc::new(Live::new(stored, before.as_deref())));
        live.retain(|id, _| !removed.contains(id));
        self.live.store(Arc::new(live));
    }

    /// Counts a wrong secret. Who sends some for an id is not told whether there is a key of that id.
    fn refuse(&self, id: &str) -> KeyRefusal {
        let counted = keyed(&self.pepper, id.as_bytes());
        let limit = self.wrong.get(&counted).unwrap_or_else(|| {
            let limit = Arc::new(Limit::new(WRONG_PER_SECOND, WRONG_BURST));
            self.wrong.insert(counted, Arc::clone(&limit));
            limit
        });
        limit.take(Instant::now()).map_or_else(KeyRefusal::Throttled, |()| KeyRefusal::Unknown)
    }
}

impl Live {
    /// What was counted of the key before counts on.
    fn new(stored: StoredKey, before: Option<&Self>) -> Self {
        let limit = stored.key.requests_per_second.map(|rate| Arc::new(Limit::new(rate, rate.max(1.0))));
        Self {
            limit: before.map_or(limit, |before| before.limit.clone()),
            key: Arc::new(stored.key),
            secrets: stored.secrets,
        }
    }

    fn secrets_at(&self, now: Timestamp) -> impl Iterator<Item = &SecretHash> {
        self.secrets.iter().filter(move |secret| secret.until.is_none_or(|until| now < until))
    }

    /// Lets in who has shown the secret of this salt.
    fn admit(&self, salt: &str, now: Timestamp) -> std::result::Result<Admitted, KeyRefusal> {
        if !self.secrets_at(now).any(|secret| secret.salt == salt) {
            return Err(KeyRefusal::Unknown);
        }
        match self.key.state(now) {
            KeyState::Active => {
                Ok(Admitted { key: Arc::clone(&self.key), salt: salt.to_owned(), limit: self.limit.clone() })
            }
            KeyState::Expired => Err(KeyRefusal::Expired),
            KeyState::Revoked => Err(KeyRefusal::Revoked),
        }
    }
}

impl Engine {
    /// Makes an API key for a server of this directory. Its secret is in the answer and nowhere else. From the first key on a server
    /// answers nobody without one. Errors: [`Error::Invalid`] names the field that is wrong; [`Error::Conflict`] where there are as
    /// many as may be (`keys.max`, `keys.max_per_tenant`) and all of them let in.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?; let engine = savor::Engine::open(dir.path(), savor::Config::default())?;
    /// use savor::{KeyDesign, Scope};
    /// let made = engine.create_key(&KeyDesign::new("shop", [Scope::Read, Scope::Write]))?;
    /// assert_eq!(engine.check_key(made.token.reveal()).unwrap().name, "shop");
    /// engine.revoke_key(&made.key.id)?;
    /// assert!(engine.check_key(made.token.reveal()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_key(&self, design: &KeyDesign) -> Result<NewKey> {
        self.create_key_by(design, None)
    }

    /// [`Engine::create_key`], asked for with a key, which must let in until the new one is there. Errors: [`Error::Conflict`] where it does not.
    pub(crate) fn create_key_by(&self, design: &KeyDesign, maker: Option<&Proof>) -> Result<NewKey> {
        design.validate()?;
        let now = Timestamp::now();
        // Before the work of Argon2.
        self.spent_keys(design.tenant.as_deref(), now)?;
        let id = secret::id()?;
        let token = secret::token(design.kind, &id)?;
        let expires = design.expires_in.map(|span| later(now, span, "expires_in")).transpose()?;
        let key = ApiKey {
            id,
            name: design.name.clone(),
            kind: design.kind,
            scopes: design.scopes.clone(),
            tenant: design.tenant.clone(),
            created: now,
            expires,
            revoked: None,
            rotated: None,
            overlap_until: None,
            origins: design.origins.clone(),
            requests_per_second: design.requests_per_second,
        };
        let stored = StoredKey { key: key.clone(), secrets: vec![secret::hash(&token)?] };
        let _changing = lock(&self.inner.keys.changing);
        self.still_lets_in(maker)?;
        let removed = self.spent_keys(key.tenant.as_deref(), now)?;
        self.inner.store.add_key(&stored, &removed)?;
        self.inner.keys.set(stored, &removed);
        tracing::info!(key = key.id, name = key.name, "key made");
        Ok(NewKey { key, token })
    }

    /// All keys, the oldest first, also those that let nobody in any more.
    pub fn keys(&self) -> Vec<ApiKey> {
        let mut keys: Vec<ApiKey> = self.inner.keys.live.load().values().map(|live| (*live.key).clone()).collect();
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        keys
    }

    /// A key. Errors: [`Error::NotFound`].
    pub fn key(&self, id: &str) -> Result<ApiKey> {
        let live = self.inner.keys.live.load();
        live.get(id).map(|live| (*live.key).clone()).ok_or_else(|| Error::not_found("key", id))
    }

    /// Whether there is a key, good or not: a server then lets nobody in without one.
    pub fn has_keys(&self) -> bool {
        !self.inner.keys.live.load().is_empty()
    }

    /// Gives a key a new secret; those before it are taken for `overlap` longer, so that who uses them can change over. Errors:
    /// [`Error::NotFound`]; [`Error::Conflict`] for a key that lets nobody in any more, or that has eight secrets;
    /// [`Error::Invalid`] for an overlap of more than 90 days.
    pub fn rotate_key(&self, id: &str, overlap: Span) -> Result<NewKey> {
        self.rotate_key_by(id, overlap, None)
    }

    /// [`Engine::rotate_key`], asked for with a key, as [`Engine::create_key_by`] is.
    pub(crate) fn rotate_key_by(&self, id: &str, overlap: Span, maker: Option<&Proof>) -> Result<NewKey> {
        if !(0..=LONGEST_OVERLAP.millis()).contains(&overlap.millis()) {
            return Err(Error::invalid("overlap", format!("is {overlap}, at most {LONGEST_OVERLAP}")));
        }
        let token = secret::token(self.key(id)?.kind, id)?;
        let fresh = secret::hash(&token)?;
        let now = Timestamp::now();
        let end = later(now, overlap, "overlap")?;
        let stored = self.change_key(id, |stored| {
            self.still_lets_in(maker)?;
            let state = stored.key.state(now);
            if state != KeyState::Active {
                return Err(Error::Conflict(format!("key \"{id}\" is {state}; make a new one")));
            }
            for secret in &mut stored.secrets {
                secret.until = Some(secret.until.map_or(end, |until| until.min(end)));
            }
            stored.secrets.retain(|secret| secret.until.is_some_and(|until| now < until));
            if stored.secrets.len() >= SECRETS {
                let reason =
                    format!("key \"{id}\" has {SECRETS} secrets that are still taken; end them by an overlap of 0s");
                return Err(Error::Conflict(reason));
            }
            stored.key.overlap_until = (!stored.secrets.is_empty()).then_some(end);
            stored.key.rotated = Some(now);
            stored.secrets.push(fresh);
            Ok(())
        })?;
        tracing::info!(key = id, overlap = %overlap, "key rotated");
        Ok(NewKey { key: stored.key, token })
    }

    /// From now on a key lets nobody in. Revoking it again changes nothing. Errors: [`Error::NotFound`].
    pub fn revoke_key(&self, id: &str) -> Result<ApiKey> {
        let stored = self.change_key(id, |stored| {
            stored.key.revoked.get_or_insert_with(Timestamp::now);
            Ok(())
        })?;
        tracing::info!(key = id, "key revoked");
        Ok(stored.key)
    }

    /// Revokes the keys that are bound to a tenant that is gone. They are bound to a name that no tenant can have from then on:
    /// whoever is given that of the tenant does not see them. Removed, the last of them would leave a server without keys.
    pub(in crate::engine) fn revoke_keys_of(&self, tenant: &str) -> Result<()> {
        // None is made meanwhile.
        let changing = lock(&self.inner.keys.changing);
        for key in self.keys().into_iter().filter(|key| key.tenant.as_deref() == Some(tenant)) {
            self.change_locked(&changing, &key.id, |stored| {
                stored.key.revoked.get_or_insert_with(Timestamp::now);
                stored.key.tenant = Some(format!("{DELETED}{tenant}"));
                Ok(())
            })?;
            tracing::info!(key = key.id, tenant, "key revoked with its tenant");
        }
        Ok(())
    }

    /// Who sends a token, and whether that key may be used once more. The first time that a token is seen this takes the work of
    /// Argon2, some tens of milliseconds and 19 MiB; then a hash and a look-up.
    pub fn check_key(&self, token: &str) -> std::result::Result<ApiKey, KeyRefusal> {
        let now = Timestamp::now();
        let admitted = match self.look_up_key(token, now)? {
            Lookup::Known(admitted) => admitted,
            Lookup::Unproven(unproven) => self.prove_key(&unproven, now)?,
        };
        admitted.take(Instant::now())?;
        Ok((*admitted.key).clone())
    }

    /// What can be told of a token without the work of Argon2.
    pub(crate) fn look_up_key(&self, token: &str, now: Timestamp) -> std::result::Result<Lookup, KeyRefusal> {
        let keys = &self.inner.keys;
        let (kind, id) = secret::parse(token).ok_or(KeyRefusal::Malformed)?;
        let live = keys.live.load().get(id).filter(|live| live.key.kind == kind).cloned();
        let proven = keys.proven.get(&keyed(&keys.pepper, token.as_bytes()));
        if let (Some(live), Some(proven)) = (&live, proven)
            && live.secrets_at(now).any(|secret| secret.salt == proven.salt)
        {
            return live.admit(&proven.salt, now).map(Lookup::Known);
        }
        // For an id of no key a secret that nobody has, and as many looks as a key may have secrets: it takes the same work for
        // all, and as seldom that of Argon2.
        let decoy = secret::decoy(&keys.pepper, id);
        let secrets = live.iter().flat_map(|live| live.secrets_at(now)).chain(std::iter::repeat(&decoy)).take(SECRETS);
        let candidates: Vec<SecretHash> = secrets.filter(|secret| secret::may_match(secret, token)).cloned().collect();
        if candidates.is_empty() {
            return Err(keys.refuse(id));
        }
        Ok(Lookup::Unproven(Unproven { token: Token::new(token), id: id.to_owned(), candidates }))
    }

    /// Whether a token is what it may be: the work of Argon2, unless somebody has done it meanwhile.
    pub(crate) fn prove_key(&self, unproven: &Unproven, now: Timestamp) -> std::result::Result<Admitted, KeyRefusal> {
        let Unproven { token, id, candidates } = unproven;
        if let Lookup::Known(admitted) = self.look_up_key(token.reveal(), now)? {
            return Ok(admitted);
        }
        let damaged = |error: Error| {
            tracing::error!(%error, key = id, "a key cannot be checked");
            KeyRefusal::Damaged
        };
        let keys = &self.inner.keys;
        for secret in candidates {
            if secret::matches(secret, token.reveal()).map_err(damaged)? {
                let proven = Proven { salt: secret.salt.clone() };
                keys.proven.insert(keyed(&keys.pepper, token.reveal().as_bytes()), Arc::new(proven));
                // As it is now: the key may have been revoked meanwhile.
                let live = keys.live.load().get(id).cloned().ok_or(KeyRefusal::Unknown)?;
                return live.admit(&secret.salt, now);
            }
        }
        Err(keys.refuse(id))
    }

    fn change_key(&self, id: &str, change: impl FnOnce(&mut StoredKey) -> Result<()>) -> Result<StoredKey> {
        self.change_locked(&lock(&self.inner.keys.changing), id, change)
    }

    fn change_locked(
        &self,
        _changing: &MutexGuard<'_, ()>,
        id: &str,
        change: impl FnOnce(&mut StoredKey) -> Result<()>,
    ) -> Result<StoredKey> {
        let stored = self.inner.store.change_key(id, change)?;
        self.inner.keys.set(stored.clone(), &[]);
        Ok(stored)
    }

    /// Whether a key that has let in does so now, by the secret that it was shown by: it may have been revoked or rotated, or its time be
    /// over.
    pub(crate) fn is_still_good(&self, proof: &Proof, now: Timestamp) -> std::result::Result<(), KeyRefusal> {
        let live = self.inner.keys.live.load().get(&proof.key.id).cloned();
        live.ok_or(KeyRefusal::Unknown)?.admit(&proof.salt, now).map(|_| ())
    }

    fn still_lets_in(&self, maker: Option<&Proof>) -> Result<()> {
        let Some(maker) = maker else { return Ok(()) };
        self.is_still_good(maker, Timestamp::now()).map_err(|_| {
            Error::Conflict(format!("key \"{}\", which asks for this, lets nobody in any more", maker.key.id))
        })
    }
}

fn later(now: Timestamp, span: Span, field: &str) -> Result<Timestamp> {
    let end = now.millis().saturating_add(span.millis());
    Timestamp::from_millis(end).map_err(|_| Error::invalid(field, format!("is {span}, which is too long")))
}
