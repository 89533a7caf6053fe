//! A server tends itself: every few seconds one thread lets the engine look at drift and at the retraining policy, and tells metrics
//! and the webhook what happened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::app::App;
use super::webhook::{PAUSE, Webhook};
use crate::error::{Error, Result};
use crate::record::Timestamp;

/// How often the engine is asked. What it does then is for its configuration.
const EVERY: Duration = Duration::from_secs(5);

/// Tends until it is dropped.
pub struct Steward {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Steward {
    /// Begins. Errors: [`Error::Io`] without a thread.
    pub fn start(app: Arc<App>) -> Result<Self> {
        let url = app.context.engine.config().monitor.webhook.clone();
        let webhook = url.map(|url| Webhook::start(&url, PAUSE)).transpose()?;
        let (stop, stopped) = channel();
        let work = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let context = &app.context;
                let refused = context.metrics.load.untold();
                if refused > 0 {
                    let pressure = context.admission.pressure();
                    tracing::warn!(refused, pressure, "more is asked than can be answered: requests were refused");
                }
                match catch_unwind(AssertUnwindSafe(|| context.engine.tend(Timestamp::now()))) {
                    Err(_) => tracing::error!("looking after the snapshot panicked; the next look goes on"),
                    Ok(Ok(tended)) => {
                        if let Some(webhook) = &webhook {
                            webhook.tell(&tended);
                        }
                        context.metrics.tended(&tended, webhook.as_ref().map_or(0, Webhook::lost));
                    }
                    Ok(Err(error)) => tracing::error!(%error, "the server cannot look after its snapshot"),
                }
            }
        };
        let thread =
            std::thread::Builder::new().name("savor-steward".into()).spawn(work).map_err(Error::io("thread"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
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
