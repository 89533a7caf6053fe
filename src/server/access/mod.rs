//! Who may ask for what. Each request of a route is a [`Visit`]: its key is checked before its body is read, and operations and
//! refusals are noted in the audit log, whatever becomes of the connection. Without any key in the directory everybody is let in;
//! [`may_listen`] sees to it that everybody is this machine then, unless the operator says otherwise.

mod caller;
mod cors;
mod dress;
mod refusal;
mod visit;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, ORIGIN};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Semaphore;

pub use caller::Caller;
pub use visit::Visit;

use super::context::Context;
use super::problem::Problem;
use super::reply::Reply;
use super::route::{Needs, Route};
use super::table::PathParameters;
use crate::config::ServerConfig;
use crate::engine::{Engine, KeyRefusal, Limit, Lookup};
use crate::error::{Error, Result};
use crate::record::Timestamp;
use cors::Cors;
use refusal::Refusal;

/// Secrets that are proven at once: each takes a core for some tens of milliseconds, and 19 MiB.
const PROOFS: usize = 2;
/// A request waits so long for its turn to be proven.
const PROOF_WAIT: Duration = Duration::from_secs(10);
/// Refusals that the audit log takes: so many at once, so many a second; the others are counted.
const REFUSALS_BURST: f64 = 50.0;
const REFUSALS_PER_SECOND: f64 = 1.0;
/// No token is longer by far.
const LONGEST_TOKEN: usize = 256;

/// Checks keys, allows origins, notes operations.
pub struct Access {
    context: Arc<Context>,
    cors: Cors,
    proofs: Arc<Semaphore>,
    refusals: visit::Refusals,
    /// Others than this machine may ask without keys.
    is_open: bool,
}

impl Access {
    /// Access to this engine.
    pub fn new(context: Arc<Context>, config: &ServerConfig) -> Self {
        Self {
            context,
            cors: Cors::new(&config.cors),
            proofs: Arc::new(Semaphore::new(PROOFS)),
            refusals: visit::Refusals::new(Limit::new(REFUSALS_PER_SECOND, REFUSALS_BURST)),
            is_open: config.open_to_everybody || !config.listen.ip().is_loopback(),
        }
    }

    /// Finds out who asks, and whether the route is open to them.
    pub async fn visit<'a>(
        &'a self,
        route: &'a Route,
        parameters: std::result::Result<&PathParameters, &Problem>,
        headers: &HeaderMap,
        from: IpAddr,
    ) -> Visit<'a> {
        let caller = self.admit(route, headers).await;
        if let Err(refusal) = &caller {
            self.context.metrics.refused(refusal.word());
        }
        Visit::new(self, route, parameters.ok(), from, caller)
    }

    /// The answer with the headers that browsers go by.
    pub fn dress(&self, method: &Method, headers: &HeaderMap, reply: Reply) -> Reply {
        self.cors.dress(method, headers, dress::dress(reply))
    }

    /// Whether a key still lets in that did when the request's head had come. Errors: as if it had been no good then.
    pub fn check_again(&self, caller: &Caller) -> std::result::Result<(), Problem> {
        let still = caller.proof().map_or(Ok(()), |proof| self.context.engine.is_still_good(proof, Timestamp::now()));
        still.map_err(|refusal| {
            let refusal = Refusal::Key(refusal);
            self.context.metrics.refused(refusal.word());
            refusal.problem()
        })
    }

    async fn admit(&self, route: &Route, headers: &HeaderMap) -> std::result::Result<Caller, Refusal> {
        let wanted = match route.needs {
            Needs::Nothing => return Ok(Caller::anybody()),
            Needs::SecretKey(scope) | Needs::Key(scope) => scope,
        };
        let origin = origin(headers)?;
        let Some(token) = bearer(headers)? else {
            return match self.context.engine.has_keys() {
                true => Err(Refusal::NoKey),
                false if self.cors.is_foreign(origin, headers, self.is_open) => Err(Refusal::CrossSite),
                false => Ok(Caller::anybody()),
            };
        };
        let admitted = match self.context.engine.look_up_key(token, Timestamp::now())? {
            Lookup::Known(admitted) => admitted,
            Lookup::Unproven(unproven) => {
                let turn = Arc::clone(&self.proofs).acquire_owned();
                let Ok(Ok(turn)) = tokio::time::timeout(PROOF_WAIT, turn).await else {
                    return Err(Refusal::Busy);
                };
                let engine = self.context.engine.clone();
                let proof = tokio::task::spawn_blocking(move || {
                    // Held until the work has really ended, also when the client has gone.
                    let _turn = turn;
                    engine.prove_key(&unproven, Timestamp::now())
                });
                proof.await.map_err(|_| Refusal::Key(KeyRefusal::Damaged))??
            }
        };
        admitted.take(Instant::now()).map_err(|refusal| Refusal::limited(refusal, &admitted.key))?;
        let key = &admitted.key;
        if !key.origins.is_empty() && !origin.is_some_and(|origin| key.origins.iter().any(|known| known == origin)) {
            return Err(Refusal::Origin(Arc::clone(key)));
        }
        let caller = Caller::of(admitted);
        if !caller.may(wanted) {
            return Err(Refusal::Scope(wanted, caller.key));
        }
        match route.needs {
            Needs::SecretKey(_) if caller.is_publishable() => Err(Refusal::Publishable(caller.key)),
            _ => Ok(caller),
        }
    }
}

/// Refuses to listen where strangers may come while nobody needs a key. Errors: [`Error::Invalid`] with what would help.
pub fn may_listen(engine: &Engine, config: &ServerConfig) -> Result<()> {
    let ServerConfig { listen, open_to_everybody, .. } = config;
    if listen.ip().is_loopback() {
        return Ok(());
    }
    if engine.has_keys() {
        if config.tls.files().is_none() {
            tracing::warn!(%listen, "listening beyond loopback without TLS: keys and answers can be read on the way, unless a proxy encrypts them");
        }
        return Ok(());
    }
    if *open_to_everybody {
        tracing::warn!(%listen, "open to everybody: anyone who reaches this address can read and write everything");
        return Ok(());
    }
    let reason = format!(
        "is {listen}, beyond loopback, and there are no API keys: anyone who reaches it could read and write everything. Make a key \
         first (`savor key create NAME --scope operate`), or say that this is wanted: server.open_to_everybody = true, or \
         --open-to-everybody"
    );
    Err(Error::invalid("server.listen", reason))
}

/// The token of the request. Two would be taken for different ones by a proxy and by us.
fn bearer(headers: &HeaderMap) -> std::result::Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), another) = (values.next(), values.next()) else { return Ok(None) };
    if another.is_some() {
        return Err(Refusal::Ambiguous("authorization"));
    }
    let malformed = Refusal::Key(KeyRefusal::Malformed);
    let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Err(malformed);
    };
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.len() > LONGEST_TOKEN {
        return Err(malformed);
    }
    Ok(Some(token))
}

/// The page that the request comes from, by its browser.
fn origin(headers: &HeaderMap) -> std::result::Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(ORIGIN).iter();
    let (Some(value), another) = (values.next(), values.next()) else { return Ok(None) };
    if another.is_some() {
        return Err(Refusal::Ambiguous("origin"));
    }
    Ok(Some(value.to_str().unwrap_or("null")))
}

impl Refusal {
    /// Whether it is about who asks, and not about how often.
    fn is_noted(&self) -> bool {
        matches!(self.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }
}
