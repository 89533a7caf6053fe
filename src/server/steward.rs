//! A server tends itself: every few seconds one thread lets the engine look at drift and at the retraining policy, and tells metrics
//! and the webhook what happened; another lets it keep house, which may take as long as rewriting the database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::app::App;
use super::context::Context;
use super::webhook::{PAUSE, Webhook};
use crate::engine::{Engine, Tenants};
use crate::error::{Error, Result};
use crate::record::{TenantName, Timestamp};

/// How often the engine is asked. What it does then is for its configuration.
const EVERY: Duration = Duration::from_secs(5);

/// Tenants that cannot be opened are tried again after so many looks.
const RETRY: u32 = 12;

/// Tends until it is dropped.
pub struct Steward {
    /// They end when it is dropped.
    _threads: Vec<Tending>,
}

struct Tending {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Steward {
    /// Begins. Errors: [`Error::Io`] without a thread.
    pub fn start(app: Arc<App>) -> Result<Self> {
        let house = Arc::clone(&app);
        let mut webhooks = Webhooks::default();
        let mut looks: u32 = 0;
        let look = move || {
            let context = &app.context;
            if context.is_closed() {
                return;
            }
            let refused = context.metrics.load.untold();
            if refused > 0 {
                let pressure = context.admission.pressure();
                tracing::warn!(refused, pressure, "more is asked than can be answered: requests were refused");
            }
            // One after the other: what goes on by itself takes one thread, however many there are.
            each(&context.tenants, |engine| tend(context, engine, &mut webhooks));
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(RETRY) {
                context.tenants.retry();
            }
        };
        let keep_house = move || {
            each(&house.context.tenants, |engine| {
                if let Err(error) = engine.keep_house(Timestamp::now()) {
                    let tenant = engine.tenant().map(TenantName::as_str);
                    tracing::error!(tenant, %error, "the server cannot look after its data");
                }
            });
        };
        Ok(Self {
            _threads: vec![
                Tending::start("savor-steward", "the snapshot", look)?,
                Tending::start("savor-house", "the data", keep_house)?,
            ],
        })
    }
}

impl Tending {
    fn start(name: &str, what: &'static str, mut look: impl FnMut() + Send + 'static) -> Result<Self> {
        let (stop, stopped) = channel();
        let work = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                if catch_unwind(AssertUnwindSafe(&mut look)).is_err() {
                    tracing::error!("looking after {what} panicked; the next look goes on");
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(work).map_err(Error::io("thread"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Looks after the data directory's own engine, then after each tenant's that is open by then. No other is held meanwhile: it could be
/// neither changed nor deleted.
fn each(tenants: &Tenants, mut look: impl FnMut(&Engine)) {
    look(tenants.home());
    for name in tenants.names() {
        if let Ok(engine) = tenants.opened(&name) {
            look(&engine);
        }
    }
}

/// A webhook for each address.
type Webhooks = FxHashMap<String, Webhook>;

/// Looks after one engine.
fn tend(context: &Context, engine: &Engine, webhooks: &mut Webhooks) {
    let tenant = engine.tenant().map(TenantName::as_str);
    match catch_unwind(AssertUnwindSafe(|| engine.tend(Timestamp::now()))) {
        Err(_) => tracing::error!(tenant, "looking after the snapshot panicked; the next look goes on"),
        Ok(Ok(tended)) => {
            if let Some(webhook) = engine.config().monitor.webhook.as_ref().and_then(|url| started(webhooks, url)) {
                webhook.tell(tenant, &tended);
            }
            context.metrics.tended(tenant, &tended, webhooks.values().map(Webhook::lost).sum());
        }
        Ok(Err(error)) => tracing::error!(tenant, %error, "the server cannot look after its snapshot"),
    }
}

/// The webhook of an address, begun if need be.
fn started<'a>(webhooks: &'a mut Webhooks, url: &str) -> Option<&'a Webhook> {
    if !webhooks.contains_key(url) {
        match Webhook::start(url, PAUSE) {
            Ok(webhook) => drop(webhooks.insert(url.to_owned(), webhook)),
            Err(error) => tracing::error!(%error, "no thread for a webhook"),
        }
    }
    webhooks.get(url)
}

impl Drop for Tending {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread of the steward ended by a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::TenantSettings;

    #[test]
    fn while_one_is_looked_after_any_other_can_be_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let tenants = Tenants::open(dir.path().join("data"), Config::default()).unwrap();
        for name in ["a", "b", "c"] {
            tenants.create(&name.parse().unwrap(), TenantSettings::default()).unwrap();
        }
        let mut seen = Vec::new();
        each(&tenants, |engine| {
            let name = engine.tenant().map_or(TenantName::DEFAULT, TenantName::as_str).to_owned();
            match name.as_str() {
                TenantName::DEFAULT => tenants.delete(&"b".parse().unwrap(), "b").unwrap(),
                "c" => tenants.delete(&"a".parse().unwrap(), "a").unwrap(),
                _ => {}
            }
            seen.push(name);
        });
        assert_eq!(seen, [TenantName::DEFAULT, "a", "c"]);
    }
}
