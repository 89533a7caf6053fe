//! What one engine among several may use: its rates, its time for training, its threads. What is stored is limited in the
//! store, which alone can be exact about it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rayon::ThreadPool;

use super::bucket::Bucket;
use super::lane::Lane;
use crate::config::Quotas;
use crate::engine::spaces::stand_back;
use crate::engine::{Engine, Job, lock};
use crate::error::{Error, Result};
use crate::progress::{Progress, Step};
use crate::record::{TenantName, Timestamp};

/// Time for training is counted over so much time.
const DAY_MS: i64 = 86_400_000;

/// What an engine may use, and has used.
pub struct Allowance {
    /// Whose; none for the data directory itself, which shares lane and threads and has no quotas.
    tenant: Option<TenantName>,
    quotas: ArcSwap<Quotas>,
    events: Mutex<Bucket>,
    requests: Mutex<Bucket>,
    lane: Arc<Lane>,
    threads: usize,
    pool: OnceLock<Option<ThreadPool>>,
    /// When trainings ended and how long they took, of the last day.
    trained: Mutex<VecDeque<(Timestamp, Duration)>>,
    /// Held while a backup is made whose room is limited.
    backing_up: parking_lot::Mutex<()>,
}

impl Allowance {
    /// Where it waits for its turn to train.
    pub fn lane(&self) -> Arc<Lane> {
        Arc::clone(&self.lane)
    }

    /// For an engine that trains on this lane with so many threads. `jobs` are those it remembers.
    pub fn new(tenant: Option<TenantName>, quotas: Quotas, lane: Arc<Lane>, threads: usize, jobs: &[Job]) -> Self {
        let now = Instant::now();
        let took = |job: &Job| {
            let (from, until) = (job.started?, job.finished?);
            let millis = u64::try_from(until.millis() - from.millis()).ok()?;
            Some((until, Duration::from_millis(millis)))
        };
        let mut trained: Vec<_> = jobs.iter().filter_map(took).collect();
        trained.sort_by_key(|(until, _)| *until);
        Self {
            tenant,
            quotas: ArcSwap::from_pointee(quotas),
            events: Mutex::new(Bucket::new(now)),
            requests: Mutex::new(Bucket::new(now)),
            lane,
            threads: threads.max(1),
            pool: OnceLock::new(),
            trained: Mutex::new(trained.into()),
            backing_up: parking_lot::Mutex::default(),
        }
    }

    /// From now on these hold.
    pub fn set(&self, quotas: Quotas) {
        self.quotas.store(Arc::new(quotas));
    }

    /// Those that hold.
    pub fn quotas(&self) -> Arc<Quotas> {
        self.quotas.load_full()
    }

    /// Whose it is.
    pub fn tenant(&self) -> Option<&TenantName> {
        self.tenant.as_ref()
    }

    /// The turn to make a backup: one at a time, or each would find the same room and the same count. `None` while another is made.
    pub fn backup_turn(&self) -> Option<parking_lot::MutexGuard<'_, ()>> {
        self.backing_up.try_lock()
    }

    /// Takes so many events. Errors: [`Error::Quota`] with the time after which it may be tried again.
    pub fn take_events(&self, count: usize) -> Result<()> {
        match self.quotas.load().events_per_second {
            Some(rate) => self.take(&self.events, "events_per_second", count as f64, rate),
            None => Ok(()),
        }
    }

    /// Takes a request.
    pub fn take_request(&self) -> Result<()> {
        match self.quotas.load().requests_per_second {
            Some(rate) => self.take(&self.requests, "requests_per_second", 1.0, rate),
            None => Ok(()),
        }
    }

    fn take(&self, bucket: &Mutex<Bucket>, quota: &'static str, count: f64, rate: f64) -> Result<()> {
        lock(bucket).take(count, rate, Instant::now()).map_err(|wait| {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            let reason = format!("{rate} a second are taken; try again in {millis} ms, or raise it");
            self.error(quota, reason, Some(millis))
        })
    }

    /// Does a training when it is its turn, on threads that stand back, and ends it when the time for training is used up.
    /// `started` is told when it begins.
    pub fn train<T: Send>(
        &self,
        progress: &dyn Progress,
        work: impl FnOnce(&dyn Progress) -> Result<T> + Send,
    ) -> Result<T> {
        self.time_left(Timestamp::now())?;
        let place = self.lane.enter(progress)?;
        let began = Instant::now();
        let limit = self.time_left(Timestamp::now())?;
        progress.report(&Step::Started);
        let bounded = Bounded { progress, until: limit.map(|left| began + left), is_over: AtomicBool::new(false) };
        let result = match self.tenant {
            Some(_) => self.apart(|| work(&bounded)),
            None => work(&bounded),
        };
        drop(place);
        let now = Timestamp::now();
        lock(&self.trained).push_back((now, began.elapsed()));
        if matches!(result, Err(Error::Cancelled(_))) && bounded.is_over.load(Ordering::Relaxed) {
            return Err(self.no_time(now));
        }
        result
    }

    /// How much time for training is left; `None` where it is not limited.
    fn time_left(&self, now: Timestamp) -> Result<Option<Duration>> {
        let Some(minutes) = self.quotas.load().training_minutes else { return Ok(None) };
        let left = Duration::from_secs_f64(minutes.max(0.0) * 60.0).saturating_sub(self.trained_lately(now));
        if left.is_zero() { Err(self.no_time(now)) } else { Ok(Some(left)) }
    }

    /// How long trainings took in the last 24 hours.
    pub fn trained_lately(&self, now: Timestamp) -> Duration {
        let mut trained = lock(&self.trained);
        while trained.front().is_some_and(|(until, _)| now.millis() - until.millis() > DAY_MS) {
            trained.pop_front();
        }
        trained.iter().map(|(_, took)| *took).sum()
    }

    fn no_time(&self, now: Timestamp) -> Error {
        let minutes = self.quotas.load().training_minutes.unwrap_or_default();
        let used = self.trained_lately(now).as_secs_f64() / 60.0;
        let reason =
            format!("{used:.1} of {minutes} minutes in 24 hours are used; wait, make models smaller, or raise it");
        self.error("training_minutes", reason, None)
    }

    /// Refuses a snapshot of so many bytes if that is too large.
    pub fn check_snapshot(&self, bytes: u64) -> Result<()> {
        match self.quotas.load().snapshot_bytes {
            Some(most) if bytes > most => {
                let reason = format!(
                    "the snapshot takes {bytes} bytes, {most} may be taken; lower train.dimension, or raise it"
                );
                Err(self.error("snapshot_bytes", reason, None))
            }
            _ => Ok(()),
        }
    }

    fn error(&self, quota: &'static str, reason: String, retry_after_ms: Option<u64>) -> Error {
        let tenant = self.tenant.as_ref().map_or(TenantName::DEFAULT, TenantName::as_str).to_owned();
        Error::Quota { tenant, quota, reason, retry_after_ms }
    }

    /// Does work that would take all processors on threads of the engine's own, of which there are few and which let others
    /// go first: it can take long, and cannot keep others from their answers.
    pub fn apart<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let build = || {
            let name = self.tenant.as_ref().map_or(TenantName::DEFAULT, TenantName::as_str).to_owned();
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(self.threads)
                .thread_name(move |number| format!("savor-{name}-{number}"))
                .start_handler(|_| stand_back());
            pool.build().inspect_err(|error| tracing::warn!(%error, "no threads of its own for a tenant")).ok()
        };
        match self.pool.get_or_init(build) {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

impl Engine {
    /// Does work apart from that of other engines in the process, if there are any.
    pub(in crate::engine) fn apart<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match self.inner.allowance.get() {
            Some(allowance) if allowance.tenant().is_some() => allowance.apart(work),
            _ => work(),
        }
    }

    /// Which tenant's engine this is; `None` for one that was opened by itself, and for the data directory's own.
    pub fn tenant(&self) -> Option<&TenantName> {
        self.inner.allowance.get()?.tenant()
    }

    /// What it may use.
    pub fn quotas(&self) -> Quotas {
        self.inner.allowance.get().map_or_else(Quotas::default, |allowance| Quotas::clone(&allowance.quotas()))
    }

    /// Counts a request against the rate of requests. A server says so for each. Errors: [`Error::Quota`].
    pub fn take_request(&self) -> Result<()> {
        self.inner.allowance.get().map_or(Ok(()), |allowance| allowance.take_request())
    }

    /// How long trainings took in the last 24 hours, as far as it is counted: for engines of [`crate::Tenants`].
    pub(in crate::engine) fn trained_lately(&self) -> Duration {
        self.inner.allowance.get().map_or(Duration::ZERO, |allowance| allowance.trained_lately(Timestamp::now()))
    }
}

/// Ends work when its time is over.
struct Bounded<'a> {
    progress: &'a dyn Progress,
    until: Option<Instant>,
    is_over: AtomicBool,
}

impl Progress for Bounded<'_> {
    fn report(&self, step: &Step) {
        self.progress.report(step);
    }

    fn cancelled(&self) -> bool {
        if self.progress.cancelled() {
            return true;
        }
        let is_over = self.until.is_some_and(|until| Instant::now() >= until);
        if is_over {
            self.is_over.store(true, Ordering::Relaxed);
        }
        is_over
    }
}
