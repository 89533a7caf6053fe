//! Whether the disk takes writes, and what to do when it does not. A full or read-only disk is asked again with the next
//! write. After a failed fsync nobody knows what is on disk, and a later fsync that succeeds does not tell either (the
//! operating system may have dropped the pages): from then on every write is refused until the directory is opened anew,
//! which reads back what is really there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use rocksdb::{DB, WriteOptions};

use super::families::Family;
use super::{Store, codec};
use crate::error::{Error, Result};

/// What helps against damage.
pub const RESTORE: &str = "keep a copy of the directory and restore a backup with `savor restore`";
/// In `meta`: what is written to see whether anything can be.
const PROBE: &str = "probe";

/// Why nothing can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What the disk refused, with the file where it is known.
    pub reason: String,
    /// What would help.
    pub remedy: &'static str,
    /// Whether it stays until the directory is opened anew.
    pub is_final: bool,
}

impl Trouble {
    fn error(&self) -> Error {
        Error::Unwritable { reason: self.reason.clone(), remedy: self.remedy }
    }
}

/// What became of the last writes.
#[derive(Default)]
pub struct Health {
    trouble: ArcSwapOption<Trouble>,
    /// Failures of RocksDB's own work in the background that have been looked at.
    background_errors: AtomicU64,
}

impl Health {
    /// Refuses a write that cannot be kept.
    pub fn admit(&self) -> Result<()> {
        match self.trouble.load().as_deref() {
            Some(trouble) if trouble.is_final => Err(trouble.error()),
            _ => Ok(()),
        }
    }

    /// Refuses an fsync where the last write was refused, until one is not.
    pub fn admit_sync(&self) -> Result<()> {
        self.trouble.load().as_deref().map_or(Ok(()), |trouble| Err(trouble.error()))
    }

    /// Takes note of a write's outcome.
    pub fn write(&self, outcome: std::result::Result<(), rocksdb::Error>) -> Result<()> {
        match outcome {
            Ok(()) => {
                if self.trouble.load().is_some() {
                    self.recover();
                }
                Ok(())
            }
            Err(error) => Err(self.note(error.into_string(), false)),
        }
    }

    /// Takes note of an fsync's outcome.
    pub fn sync(&self, outcome: std::result::Result<(), rocksdb::Error>) -> Result<()> {
        outcome.map_err(|error| self.note(error.into_string(), true))
    }

    fn recover(&self) {
        let before = self.trouble.rcu(|trouble| trouble.clone().filter(|trouble| trouble.is_final));
        if before.is_some_and(|before| !before.is_final) {
            tracing::info!("the disk takes writes again");
        }
    }

    fn note(&self, reason: String, is_sync: bool) -> Error {
        let remedy = match is_sync {
            true => "see to the disk, then restart Savor: it reads back what is really stored",
            false if reason.contains("No space left") || reason.contains("quota") => {
                "make room on the disk; if Savor does not go on by itself within a minute, restart it"
            }
            false if reason.contains("Read-only file system") => {
                "mount the file system for writing, then restart Savor"
            }
            false => "see to the disk, then restart Savor",
        };
        let trouble = Arc::new(Trouble { reason, remedy, is_final: is_sync });
        let before = self.trouble.rcu(|known| match known {
            Some(known) if known.is_final => Some(Arc::clone(known)),
            _ => Some(Arc::clone(&trouble)),
        });
        if before.is_none_or(|before| before.is_final != is_sync) {
            tracing::error!(reason = trouble.reason, remedy, "nothing can be written; questions are answered");
        }
        trouble.error()
    }
}

impl Store {
    /// Why nothing can be written, if so.
    pub fn trouble(&self) -> Option<Trouble> {
        self.health.trouble.load().as_deref().cloned()
    }

    /// Looks whether the disk takes writes again, or whether RocksDB has failed in the background since the last look:
    /// then a small write tells. Cheap while all is well; to be called every few seconds.
    pub fn probe(&self) {
        let errors = background_errors(&self.db);
        let is_new = self.health.background_errors.swap(errors, Ordering::Relaxed) != errors;
        let is_troubled = self.trouble().is_some_and(|trouble| !trouble.is_final);
        if !is_new && !is_troubled {
            return;
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let written = Family::Meta.of(&self.db).and_then(|meta| {
            let bytes = codec::encode(&errors)?;
            self.health.write(self.db.put_cf_opt(meta, PROBE, bytes, &options))
        });
        if let Err(error) = written {
            tracing::debug!(%error, "nothing can be written yet");
        }
    }
}

fn background_errors(db: &DB) -> u64 {
    db.property_int_value(rocksdb::properties::BACKGROUND_ERRORS).ok().flatten().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_trouble_until_a_write_succeeds() {
        let health = Health::default();
        let error = health.note("IO error: No space left on device: /data/rocksdb/000012.log".into(), false);
        assert_eq!(error.code(), "unwritable");
        assert!(error.to_string().contains("000012.log") && error.to_string().contains("make room"), "{error}");
        assert!(health.admit().is_ok(), "the next write is the one that tells");
        health.write(Ok(())).unwrap();
        assert!(health.trouble.load().is_none());
    }

    #[test]
    fn a_failed_fsync_is_trouble_until_the_directory_is_opened_anew() {
        let health = Health::default();
        health.note("IO error: while fsync".into(), true);
        health.note("IO error: No space left on device".into(), false);
        health.write(Ok(())).unwrap();
        let error = health.admit().unwrap_err();
        assert!(error.to_string().contains("fsync") && error.to_string().contains("restart"), "{error}");
    }
}
