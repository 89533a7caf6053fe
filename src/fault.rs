//! Fault points: the places in writing where a crash would hurt most, each with a name. A build with the feature
//! `fault-points` kills its own process at one of them when the environment says so; any other build has nothing there.
//! `tools/torture` uses them.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SAVOR_FAULT` | `name` or `name:n`: the process kills itself (SIGKILL) at the n-th visit of that point |
//! | `SAVOR_FAULT_LOG` | a file that gets a line for the first visit of each point, and one for the kill |

macro_rules! points {
    ($($(#[doc = $about:literal])+ $point:ident = $name:literal,)+) => {
        /// A place at which a process may be killed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $about])+ $point,)+
        }

        #[cfg(feature = "fault-points")]
        impl Point {
            /// All of them, in the order of the flow.
            pub const ALL: &[Self] = &[$(Self::$point,)+];

            /// The name that `SAVOR_FAULT` knows it by.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

points! {
    /// The directory is locked, the database not open yet.
    Locked = "open-locked",
    /// An older format's additions are written, its number is not.
    MigrationBuilt = "migration-built",
    /// The directory has the new format; nothing else has happened.
    Migrated = "migration-done",
    /// What a crash left behind is removed.
    LeftoversRemoved = "open-leftovers-removed",
    /// RocksDB has a batch in its log, not yet on disk; nobody has been told.
    WalWritten = "wal-written",
    /// A batch is on disk; nobody has been told.
    WalSynced = "wal-synced",
    /// The deletion of a user or an item is ready to be written.
    EraseBuilt = "erase-built",
    /// The merge of two users is ready to be written.
    MergeBuilt = "merge-built",
    /// A scenario is stored and does not answer yet.
    ScenarioStored = "scenario-stored",
    /// An experiment is stored and does not answer yet.
    ExperimentStored = "experiment-stored",
    /// A batch of an import is stored, others are to come.
    ImportBatch = "import-batch",
    /// All of an import is stored; its counters are not folded and it is not synced.
    ImportEnd = "import-end",
    /// A snapshot has a number and a manifest that says `building`.
    SnapshotBegun = "snapshot-begun",
    /// Factors are stored, there are no files.
    FactorsWritten = "snapshot-factors-written",
    /// An index is complete in a temporary file.
    IndexStaged = "snapshot-index-staged",
    /// The index has its name; the parts beside it are not there.
    IndexNamed = "snapshot-index-named",
    /// The parts are complete in a temporary file; so is an exported bundle.
    PartsStaged = "snapshot-parts-staged",
    /// Both files have their names; the manifest still says `building`.
    FilesNamed = "snapshot-files-named",
    /// The manifest says `validated`.
    SnapshotValidated = "snapshot-validated",
    /// A snapshot is loaded to answer; the pointer is at the one before.
    SwapLoaded = "swap-loaded",
    /// The pointer is durable; the one before still answers.
    SwapStored = "swap-stored",
    /// A snapshot that is to go is marked, all of it is there.
    RetentionMarked = "retention-marked",
    /// Its factors are gone.
    RetentionFactorsGone = "retention-factors-gone",
    /// Its files are gone, too; its manifest is there.
    RetentionFilesGone = "retention-files-gone",
    /// A bundle's users and items are known; its snapshot is not there.
    BundleKnown = "bundle-known",
    /// A backup is complete beside its place.
    BackupStaged = "backup-staged",
    /// What is restored is complete beside its place.
    RestoreStaged = "restore-staged",
    /// A backup, or what is restored, has its name; its folder is not synced.
    CopyNamed = "copy-named",
    /// A space of vectors is indexed anew; searches still use the old index.
    SpaceFrozen = "space-frozen",
    /// A tenant that is deleted has no directory any more; its keys are good, its backups where they were.
    TenantGone = "tenant-gone",
    /// Its keys are revoked, its backups put aside; its files are there.
    TenantSettled = "tenant-settled",
}

/// Marks a place in the code. Does nothing in a build without the feature `fault-points`.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub const fn reach(_: Point) {}

#[cfg(feature = "fault-points")]
pub use armed::reach;

#[cfg(feature = "fault-points")]
mod armed {
    use std::fs::File;
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::Point;

    struct Plan {
        /// The name of a point, and visits that it survives.
        kill: Option<(String, AtomicU64)>,
        log: Option<File>,
        seen: Vec<AtomicBool>,
    }

    static PLAN: LazyLock<Plan> = LazyLock::new(|| {
        let kill = std::env::var("SAVOR_FAULT").ok().map(|text| match text.split_once(':') {
            Some((name, visit)) => (name.to_owned(), AtomicU64::new(visit.parse::<u64>().unwrap_or(1).max(1) - 1)),
            None => (text, AtomicU64::new(0)),
        });
        let log = std::env::var_os("SAVOR_FAULT_LOG")
            .and_then(|path| File::options().append(true).create(true).open(path).ok());
        Plan { kill, log, seen: Point::ALL.iter().map(|_| AtomicBool::new(false)).collect() }
    });

    /// Marks a place in the code: notes the visit, and kills the process if this is the one that was asked for.
    pub fn reach(point: Point) {
        let plan = &*PLAN;
        if plan.seen.get(point as usize).is_some_and(|seen| !seen.swap(true, Ordering::Relaxed)) {
            plan.note("visited", point);
        }
        let Some((name, survives)) = &plan.kill else { return };
        if name == point.name()
            && survives.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
        {
            plan.note("killed", point);
            die();
        }
    }

    impl Plan {
        fn note(&self, what: &str, point: Point) {
            if let Some(mut log) = self.log.as_ref() {
                // Who asked for a log misses a line; the process does not care.
                let _ = log.write_all(format!("{what} {}\n", point.name()).as_bytes());
            }
        }
    }

    /// Ends the process as a power switch would: nothing is flushed, dropped or told.
    fn die() -> ! {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{Signal, getpid, kill_process};
            let _ = kill_process(getpid(), Signal::KILL);
        }
        std::process::abort()
    }
}
