//! A server tends itself: every few seconds one thread lets the engine look at drift and at the retraining policy, and tells metrics
//! and the webhook what happened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::app::App;
use super::context::Context;
use super::webhook::{PAUSE, Webhook};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::{TenantName, Timestamp};

/// How often the engine is asked. What it does then is for its configuration.
const EVERY: Duration = Duration::from_secs(5);

/// Tenants that cannot be opened are tried again after so many looks.
const RETRY: u32 = 12;

/// Tends until it is dropped.
pub struct Steward {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Steward {
    /// Begins. Errors: [`Error::Io`] without a thread.
    pub fn start(app: Arc<App>) -> Result<Self> {
        let mut webhooks = Webhooks::default();
        let mut looks: u32 = 0;
        let (stop, stopped) = channel();
        let work = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let context = &app.context;
                let refused = context.metrics.load.untold();
                if refused > 0 {
                    let pressure = context.admission.pressure();
                    tracing::warn!(refused, pressure, "more is asked than can be answered: requests were refused");
                }
                tend(context, &context.engine, &mut webhooks);
                // One after the other: what goes on by itself takes one thread, however many there are.
                for (_, engine) in context.tenants.engines() {
                    tend(context, &engine, &mut webhooks);
                }
                looks += 1;
                if looks % RETRY == 0 {
                    context.tenants.retry();
                }
            }
        };
        let thread =
            std::thread::Builder::new().name("savor-steward".into()).spawn(work).map_err(Error::io("thread"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
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

impl Drop for Steward {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the steward's thread ended by a panic");
        }
    }
}
