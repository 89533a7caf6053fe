//! A server tends itself: every few seconds one thread lets the engine look at drift and at the retraining policy, and tells metrics
//! and the webhook what happened; another lets it keep house, which may take as long as rewriting the database.

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
        let url = app.context.engine.config().monitor.webhook.clone();
        let webhook = url.map(|url| Webhook::start(&url, PAUSE)).transpose()?;
        let house = Arc::clone(&app);
        let look = move || -> Result<()> {
            let context = &app.context;
            let tended = context.engine.tend(Timestamp::now())?;
            if let Some(webhook) = &webhook {
                webhook.tell(&tended);
            }
            context.metrics.tended(&tended, webhook.as_ref().map_or(0, Webhook::lost));
            Ok(())
        };
        let keep_house = move || house.context.engine.keep_house(Timestamp::now());
        Ok(Self {
            _threads: vec![
                Tending::start("savor-steward", "the snapshot", look)?,
                Tending::start("savor-house", "the data", keep_house)?,
            ],
        })
    }
}

impl Tending {
    fn start(name: &str, what: &'static str, look: impl Fn() -> Result<()> + Send + 'static) -> Result<Self> {
        let (stop, stopped) = channel();
        let work = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                match catch_unwind(AssertUnwindSafe(&look)) {
                    Err(_) => tracing::error!("looking after {what} panicked; the next look goes on"),
                    Ok(Err(error)) => tracing::error!(%error, "the server cannot look after {what}"),
                    Ok(Ok(())) => {}
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(work).map_err(Error::io("thread"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
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
