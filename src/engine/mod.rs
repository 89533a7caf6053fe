//! The engine: opens a data directory, writes, trains, switches snapshots, and answers. It ties the rooms together and
//! keeps what must be in memory (catalogue, popularity, the active snapshot) in step with the store. Synchronous; no
//! runtime is needed.

mod again;
mod audit;
mod backups;
mod departed;
mod dossier;
mod evaluation;
mod experiments;
mod exposures;
mod fading;
mod feature_values;
mod features;
mod forecast;
mod foretelling;
mod fresh;
mod freshness;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod haste;
mod housekeeping;
mod indexes;
mod interleaving;
mod jobs;
mod keys;
mod learning;
mod monitoring;
mod offline;
mod operations;
mod options;
mod outcomes;
mod pages;
mod portraits;
mod proving;
mod questions;
mod ranking;
mod replay;
mod retraining;
mod room;
mod scenarios;
mod served;
mod shown;
mod snapshots;
mod spaces;
mod tenants;
mod treatment;
mod tuned;
mod tuning;
mod watching;
mod writes;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use crate::store::{BackupGeneration, BackupLog, Fault, PendingPurge, Purged, Until};
pub use audit::AuditQuery;
pub use dossier::{ServedFeatures, UserCounter, UserExport, UserVector};
pub use fading::{Fading, TriedHalfLife};
pub use feature_values::{FeatureValue, FeatureValues};
pub use features::{FeatureColumn, FeatureReport};
pub use keys::KeyRefusal;
#[cfg(feature = "server")]
pub(crate) use keys::{Admitted, Limit, Lookup, Proof};
pub use offline::{Bundled, VectorFile, build_bundle};
pub use options::{
    Activate, Appended, Contender, EvaluateOptions, Evaluation, Expired, Finding, Gate, IndexReport, Job, JobState,
    Merged, Page, Put, Refusal, SnapshotComparison, SpaceStats, Stats, Tended, TrainOptions, Trained,
};
pub use replay::ReplayOptions;
pub use tenants::{TenantSettings, TenantState, TenantStatus, TenantUsage, Tenants};
pub use tuned::{TuneOptions, Tuned, TunedTrial};
#[cfg(feature = "cli")]
pub use tuning::changes;

use crate::config::Config;
use crate::error::Result;
use crate::fault::{self, Point};
use crate::features::EventWeights;
use crate::features::table::FactTable;
use crate::monitor::Outcomes;
use crate::recommend::{AnswerCache, Catalog, Fresh, HotList, Popular, Ranker, ServedLog, Spaces};
use crate::record::ItemId;
use crate::snapshot::{self, Snapshot};
use crate::store::{Budget, Holder, Store};
use audit::Audit;
use departed::Departed;
use experiments::Experiments;
use exposures::Exposures;
use freshness::{Freshness, Seen};
use housekeeping::Housekeeping;
use jobs::Jobs;
use keys::Keys;
use monitoring::Monitoring;
use pages::Pages;
use scenarios::Scenarios;
use shown::Showings;
use tenants::Allowance;

/// An open data directory: the whole recommendation engine. Cheap to clone; share it between threads as it is.
///
/// ```
/// # let dir = tempfile::tempdir()?; let data = dir.path().join("data");
/// use savor::{Config, Engine, Event, Query};
///
/// let engine = Engine::open(&data, Config::default())?;
/// engine.append_events(&[Event::new("u1", "i9", "click")])?;
/// let answer = engine.recommend(&Query::for_user("u2").limit(10))?;
/// assert_eq!(answer.items[0].item, "i9"); // nothing is trained yet: what is popular
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    config: Config,
    weights: EventWeights,
    /// Shared with the thread that writes what was shown.
    store: Arc<Store>,
    live: ArcSwapOption<Live>,
    // Who takes several of these three takes them in this order.
    catalog: RwLock<Catalog>,
    popular: RwLock<Popular>,
    spaces: RwLock<Spaces>,
    /// Held while items are read from the store to be put into memory, before any of those three: what is read later is
    /// put later.
    refreshing: Mutex<()>,
    /// Items that are deleted and still in memory: whoever deletes next takes them out.
    leaving: Mutex<Vec<ItemId>>,
    /// Held while a space is read.
    loading: Mutex<()>,
    freshness: Freshness,
    answers: AnswerCache,
    /// What is popular, for those who have no time to look.
    hot: HotList,
    /// Held while snapshots are switched, exported, imported, removed or backed up.
    switching: Mutex<()>,
    /// Held while a model is trained.
    training: Mutex<()>,
    /// Held while the watch of a new snapshot begins, is judged, or ends; before `switching`.
    tending: Mutex<()>,
    /// Held while settings are searched.
    tuning: Mutex<()>,
    /// A ranker in place of the snapshot's.
    ranker: RwLock<Option<Arc<dyn Ranker>>>,
    scenarios: Scenarios,
    showings: Showings,
    pages: Pages,
    served: ServedLog,
    jobs: Jobs,
    keys: Keys,
    audit: Audit,
    exposures: Exposures,
    departed: Departed,
    housekeeping: Housekeeping,
    experiments: Experiments,
    /// A snapshot that answers some users, and the share of them in ten thousandths.
    canary: ArcSwapOption<Live>,
    canary_share: AtomicU32,
    /// What was seen at the last look.
    monitoring: Mutex<Monitoring>,
    /// Who knows what was shown and taken.
    outcomes: RwLock<Option<Arc<dyn Outcomes>>>,
    /// What it may use as one of several; none for an engine by itself.
    allowance: OnceLock<Arc<Allowance>>,
    /// Those whose directory this is, as long as somebody has them.
    tenants: Mutex<Weak<tenants::Set>>,
}

/// A loaded snapshot and what it has seen.
struct Live {
    snapshot: Snapshot,
    seen: Seen,
    /// What events say to it: they fade as in its training.
    weights: EventWeights,
    /// Items that it does not know as they are. Locked after everything else.
    fresh: RwLock<Fresh>,
    /// What the snapshot's ranker takes from all items; none without a ranker.
    facts: Option<RwLock<FactTable>>,
}

impl Engine {
    /// Opens a data directory, or makes a new one where there is none. Removes what a crash left behind and loads the
    /// active snapshot; if that is damaged, the newest one before it that is not.
    ///
    /// Errors: [`crate::Error::Locked`] when somebody has it open, [`crate::Error::NotSavor`] for a directory of another
    /// program, [`crate::Error::NewerFormat`] for one of a newer Savor.
    pub fn open(path: impl AsRef<Path>, config: Config) -> Result<Self> {
        let budget = Budget::alone(config.store.cache_mib);
        Self::open_within(path.as_ref(), config, budget)
    }

    /// The same with the memory that a budget has for it.
    fn open_within(path: &Path, config: Config, budget: Budget) -> Result<Self> {
        config.validate()?;
        let dir = path.to_path_buf();
        let store = Store::open_within(&dir, &config.store, budget)?;
        snapshot::remove_leftovers(&store, &dir)?;
        fault::reach(Point::LeftoversRemoved);
        let weights = EventWeights::new(&config.events);
        let jobs = Jobs::open(&store)?;
        let keys = Keys::open(&store)?;
        let answers = AnswerCache::new(config.recommend.cache_mib);
        let scenarios = Scenarios::open(&store)?;
        let served = ServedLog::new(config.features.log_share);
        let view = store.view();
        let catalog = Catalog::load(&view, &config.recommend)?;
        let popular = Popular::load(&view, &config, &weights)?;
        drop(view);
        let engine = Self {
            inner: Arc::new(Inner {
                dir,
                config,
                weights,
                store: Arc::new(store),
                live: ArcSwapOption::empty(),
                catalog: RwLock::new(catalog),
                popular: RwLock::new(popular),
                spaces: RwLock::new(Spaces::default()),
                refreshing: Mutex::new(()),
                leaving: Mutex::default(),
                loading: Mutex::new(()),
                freshness: Freshness::default(),
                answers,
                hot: HotList::default(),
                switching: Mutex::new(()),
                training: Mutex::new(()),
                tending: Mutex::new(()),
                tuning: Mutex::new(()),
                ranker: RwLock::new(None),
                scenarios,
                showings: Showings::default(),
                pages: Pages::default(),
                served,
                jobs,
                keys,
                audit: Audit::default(),
                exposures: Exposures::default(),
                departed: Departed::default(),
                housekeeping: Housekeeping::default(),
                experiments: Experiments::default(),
                canary: ArcSwapOption::empty(),
                canary_share: AtomicU32::new(0),
                monitoring: Mutex::default(),
                outcomes: RwLock::new(None),
                allowance: OnceLock::new(),
                tenants: Mutex::new(Weak::new()),
            }),
        };
        engine.load_active()?;
        engine.note_answering();
        engine.load_experiments()?;
        Ok(engine)
    }

    /// Who has a directory open: process id and, if it serves, its address. `None` when nobody has.
    pub fn holder(path: impl AsRef<Path>) -> Option<Holder> {
        crate::store::holder(path.as_ref())
    }

    /// From now on this ranker puts candidates in order; `None` gives the order back to that of the snapshot, or to retrieval.
    pub fn set_ranker(&self, ranker: Option<Arc<dyn Ranker>>) {
        *write(&self.inner.ranker) = ranker;
        self.inner.answers.all_changed();
    }

    /// Who keeps what was shown tells from now on what was taken of it, in place of the engine's own exposures.
    pub fn set_outcomes(&self, outcomes: Option<Arc<dyn Outcomes>>) {
        *write(&self.inner.outcomes) = outcomes;
    }

    /// The settings it was opened with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The data directory.
    pub fn path(&self) -> &Path {
        &self.inner.dir
    }

    /// Writes the address of a server into the directory's lock, so that others who find it locked can be told.
    pub fn announce(&self, address: &str) -> Result<()> {
        self.inner.store.announce(address)
    }
}

// A panic while one of these locks was held cannot leave the maps behind them half-changed in a way that matters more
// than going on serving: each entry is replaced whole.

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

// Questions hold these for as long as they take, and come one upon another: with the lock of the standard library a writer
// waited for a moment in which nobody happened to ask. This one lets nobody pass a writer who sleeps. Whoever wants one looks
// for some time before that: to be woken takes longer than a writer has it.

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    soon(|| lock.try_read()).unwrap_or_else(|| lock.read())
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    soon(|| lock.try_write()).unwrap_or_else(|| lock.write())
}

fn soon<G>(attempt: impl Fn() -> Option<G>) -> Option<G> {
    if let Some(guard) = attempt() {
        return Some(guard);
    }
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        // Whoever has it may be waiting for this processor.
        std::thread::yield_now();
        if let Some(guard) = attempt() {
            return Some(guard);
        }
    }
    None
}

/// How long a lock is waited for without sleep.
const PATIENCE: Duration = Duration::from_micros(100);
