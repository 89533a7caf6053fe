//! Whose data a request is about. A caller names a tenant by a header, or is bound to one by its key. What is not there and what
//! is not the caller's are answered alike, so that nobody learns the names of others by asking.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::admission::Class;
use super::problem::Problem;
use crate::engine::Tenants;
use crate::record::TenantName;

/// The header that names a tenant.
pub const HEADER: &str = "savor-tenant";
/// A request waits so long for those of its own tenant before it is turned away.
const WAIT: Duration = Duration::from_millis(100);
/// And so long where what is in work takes long.
const SHARE_WAIT: Duration = Duration::from_secs(2);

/// What a caller may name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim<'a> {
    /// The tenant that its key is bound to.
    pub bound: Option<&'a str>,
    /// Whether, bound to none, it may name any: operators may, and everybody where there are no keys.
    pub any: bool,
}

/// Whose data it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The data directory's own.
    Home,
    /// A tenant's, which may or may not be there.
    Tenant(TenantName),
}

impl Whose {
    fn named(name: &str) -> Option<Self> {
        match name {
            TenantName::DEFAULT => Some(Self::Home),
            name => name.parse().ok().map(Self::Tenant),
        }
    }
}

/// Whose data a caller gets who asks for those of a tenant; `None` where it is not told from a tenant that is not there.
pub fn decide(claim: Claim<'_>, asked: Option<&str>) -> Option<Whose> {
    let asked = asked.map(Whose::named);
    match (claim.bound, asked) {
        // What is asked for is no name.
        (_, Some(None)) => None,
        (Some(bound), None) => Whose::named(bound),
        (Some(bound), Some(asked)) => asked.filter(|asked| Whose::named(bound).as_ref() == Some(asked)),
        (None, None | Some(Some(Whose::Home))) => Some(Whose::Home),
        (None, Some(asked)) => asked.filter(|_| claim.any),
    }
}

/// The tenant that a request names.
pub fn asked(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| unknown()),
        (Some(_), Some(_)) => Err(Problem::invalid(HEADER, "is given twice")),
    }
}

/// There is none of that name, or it is not the caller's.
pub fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_tenant", "there is no such tenant for this caller")
}

/// The route is about all tenants.
pub fn home_only() -> Problem {
    let detail = "this is about the whole server; ask without naming a tenant, by a key that is bound to none";
    Problem::new(StatusCode::FORBIDDEN, "default_tenant_only", detail)
}

/// What a server keeps for a tenant beside its engine: little, as it stays when the tenant is closed.
#[derive(Default)]
pub struct Desk {
    /// Held by the one comparison of snapshots that may be in work: it reads the whole log.
    pub comparing: Arc<Mutex<()>>,
    turns: Mutex<Option<(usize, Arc<Semaphore>)>>,
    /// Of each class of which a tenant may have no more than a share.
    shares: Mutex<FxHashMap<Class, Arc<Semaphore>>>,
}

impl Desk {
    /// Waits until fewer than `most` requests of the tenant are in work. Then all that are ready go first once: as no tenant has more
    /// than `most` among these, each gets its turn however many requests another sends.
    pub async fn turn(&self, most: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = tokio::time::timeout(WAIT, self.places(most).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let detail =
                format!("{most} requests of this tenant are in work, as many as it may have (concurrent_requests)");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "tenant_overloaded", detail).retry_after(1));
        };
        tokio::task::yield_now().await;
        Ok(turn)
    }

    /// Waits until fewer than `most` requests of the tenant are in work in a class: a place there may be held for seconds, and those
    /// that are left are for others.
    pub async fn share(&self, class: Class, most: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let places = {
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shares.entry(class).or_insert_with(|| Arc::new(Semaphore::new(most))))
        };
        let turn = tokio::time::timeout(SHARE_WAIT, places.acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let detail = format!(
                "{most} requests of this tenant of the kind \"{}\" are in work, half of all that may be",
                class.word()
            );
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "tenant_overloaded", detail).retry_after(1));
        };
        Ok(turn)
    }

    /// So many places; others than before once the quota has changed.
    fn places(&self, most: usize) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        match &*turns {
            Some((before, places)) if *before == most => Arc::clone(places),
            _ => {
                let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
                *turns = Some((most, Arc::clone(&places)));
                places
            }
        }
    }
}

/// The desks of all tenants that have been asked for.
#[derive(Default)]
pub struct Desks(RwLock<FxHashMap<TenantName, Arc<Desk>>>);

impl Desks {
    /// A tenant's desk. Those of tenants that are no more go when there are too many.
    pub fn of(&self, name: &TenantName, tenants: &Tenants) -> Arc<Desk> {
        if let Some(desk) = self.0.read().get(name) {
            return Arc::clone(desk);
        }
        let mut desks = self.0.write();
        if desks.len() >= 2 * tenants.home().config().tenants.max.max(1) {
            let names = tenants.names();
            desks.retain(|name, _| names.contains(name));
        }
        Arc::clone(desks.entry(name.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_tenant_has_its_share_of_a_class_and_waits_for_more() {
        let desk = Desk::default();
        let held = desk.share(Class::Long, 1).await.unwrap();
        let _beside = desk.share(Class::Bulk, 1).await.unwrap();
        let mut waiting = pin!(desk.share(Class::Long, 1));
        poll_fn(|cx| {
            assert!(waiting.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(held);
        assert!(waiting.await.is_ok());
    }

    #[test]
    fn who_asks_for_what_gets_what() {
        let tenant = |name: &str| Some(Whose::Tenant(name.parse().unwrap()));
        let home = || Some(Whose::Home);
        // The key's tenant, whether one that has none may name any, what is asked for, what is given.
        let table = [
            (None, true, None, home()),
            (None, true, Some("default"), home()),
            (None, true, Some("a"), tenant("a")),
            (None, true, Some("A"), None),
            (None, true, Some(""), None),
            (None, true, Some("../a"), None),
            (None, false, None, home()),
            (None, false, Some("default"), home()),
            (None, false, Some("a"), None),
            (None, false, Some("../a"), None),
            (Some("a"), false, None, tenant("a")),
            (Some("a"), false, Some("a"), tenant("a")),
            (Some("a"), false, Some("b"), None),
            (Some("a"), false, Some("default"), None),
            (Some("a"), false, Some(""), None),
            // The scope to operate does not lead out of one's own.
            (Some("a"), true, None, tenant("a")),
            (Some("a"), true, Some("a"), tenant("a")),
            (Some("a"), true, Some("b"), None),
            (Some("a"), true, Some("default"), None),
            (Some("default"), true, None, home()),
            (Some("default"), true, Some("default"), home()),
            (Some("default"), true, Some("a"), None),
            // A key whose tenant is no name is of no use, and above all not one for the data directory.
            (Some("../a"), true, None, None),
            (Some("../a"), true, Some("../a"), None),
            (Some(""), true, None, None),
            (Some(""), true, Some("default"), None),
        ];
        for (bound, any, asked, given) in table {
            assert_eq!(decide(Claim { bound, any }, asked), given, "{bound:?} {any} {asked:?}");
        }
    }

    #[test]
    fn a_header_given_twice_is_refused_and_not_chosen_from() {
        let mut headers = HeaderMap::new();
        assert_eq!(asked(&headers).unwrap(), None);
        headers.append(HEADER, "a".parse().unwrap());
        assert_eq!(asked(&headers).unwrap(), Some("a"));
        headers.append(HEADER, "b".parse().unwrap());
        assert_eq!(asked(&headers).unwrap_err().code, "invalid");
        headers.insert(HEADER, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(asked(&headers).unwrap_err().code, "unknown_tenant");
    }
}
