//! From unreachable to gone. What is deleted can be read no more at once, but its bytes stay in RocksDB's files until they are
//! rewritten. Each deletion of somebody's data leaves a note; a purge rewrites the families that hold such data, lets RocksDB
//! begin a new log and a new manifest (whose file bounds are keys), waits until the files from before are gone, and takes the
//! note away. A purge that a reader, a backup or a crash keeps from its end leaves the note for the next one.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rocksdb::{BottommostLevelCompaction, CompactOptions, FlushOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::commit::{self, Turn};
use super::families::{self, Family};
use super::{Store, codec, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::Timestamp;

/// In `meta`: what has been deleted and may still be in the files.
const PENDING: &str = "purge_pending";
/// In `meta`: when a purge ended last.
const PURGED: &str = "purged";
/// The families that hold what belongs to somebody.
const PERSONAL: [Family; 8] = [
    Family::Users,
    Family::UserIds,
    Family::Events,
    Family::UserEvents,
    Family::EventCounters,
    Family::Exposures,
    Family::UserFactors,
    Family::Meta,
];
/// RocksDB removes files in the background, moments after they are rewritten.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has been deleted and may still be in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingPurge {
    /// Deletions of users, merges and expiries since the last purge.
    pub deletions: u64,
    /// When the first of them was.
    pub since: Timestamp,
}

/// What a purge did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Purged {
    /// Deletions whose data are gone from the files of the data directory.
    pub deletions: u64,
    /// Files that were rewritten or removed.
    pub files: u64,
    /// What keeps the data in the files, where it does; a later purge tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

impl Turn<'_> {
    /// Notes that this write deletes what belongs to somebody.
    pub fn erase(&mut self) -> Result<()> {
        if self.erases {
            return Ok(());
        }
        let pending = self.get(Family::Meta, PENDING)?;
        let pending = pending.map(|bytes| codec::decode_json("the pending purge", &bytes)).transpose()?;
        let before = pending.unwrap_or(PendingPurge { deletions: 0, since: Timestamp::now() });
        let after = PendingPurge { deletions: before.deletions + 1, ..before };
        self.erases = true;
        self.put(Family::Meta, PENDING, codec::encode_json(&after)?)
    }
}

impl Store {
    /// What has been deleted and may still be in the files.
    pub fn pending_purge(&self) -> Result<Option<PendingPurge>> {
        let bytes = self.db.get_cf(Family::Meta.of(&self.db)?, PENDING).map_err(storage("read"))?;
        bytes.map(|bytes| codec::decode_json("the pending purge", &bytes)).transpose()
    }

    /// Removes what has been deleted from the files, while reading and writing go on. Rewrites the families that hold what
    /// belongs to somebody: as long as copying them takes.
    pub fn purge(&self) -> Result<Purged> {
        let _purging = commit::lock(&self.purging);
        // Writers note what they delete, and up to where, in one turn.
        let (pending, erased) = {
            let _turn = commit::lock(&self.writer);
            (self.pending_purge()?, self.erased.load(Ordering::SeqCst))
        };
        let Some(pending) = pending else {
            return Ok(Purged { deletions: 0, files: 0, waits_for: None });
        };
        let waits = |why: &str| Ok(Purged { deletions: 0, files: 0, waits_for: Some(why.to_owned()) });
        let oldest = self.db.property_int_value("rocksdb.oldest-snapshot-sequence").map_err(storage("purge"))?;
        if oldest.is_some_and(|oldest| oldest > 0 && oldest < erased) {
            return waits("a training, an export or another long reader that began before the deletion");
        }
        const BACKUP: &str = "a backup that is being made";
        if self.has_checkpoint()? {
            return waits(BACKUP);
        }
        let began = Timestamp::now();
        let before = self.database_files()?;
        self.flush_all()?;
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        for family in PERSONAL {
            self.db.compact_range_cf_opt(family.of(&self.db)?, None::<&[u8]>, None::<&[u8]>, &options);
        }
        // An entry to flush: with it begin a new write-ahead log and a new manifest.
        self.commit(Durability::Sync, |turn| turn.put(Family::Meta, PURGED, codec::encode_json(&began)?))?;
        self.flush_all()?;
        let Some(files) = self.wait_for_removal(&before)? else {
            return waits("files that a long reader, such as an export, still holds open");
        };
        // One that began meanwhile has linked them.
        if self.has_checkpoint()? {
            return waits(BACKUP);
        }
        self.commit(Durability::Sync, |turn| {
            let now = turn.get(Family::Meta, PENDING)?;
            let now = now.map(|bytes| codec::decode_json::<PendingPurge>("the pending purge", &bytes)).transpose()?;
            match now.map_or(0, |now| now.deletions.saturating_sub(pending.deletions)) {
                0 => turn.delete(Family::Meta, PENDING),
                // Of those that came meanwhile nobody knows whether they were in time.
                deletions => {
                    turn.put(Family::Meta, PENDING, codec::encode_json(&PendingPurge { deletions, since: began })?)
                }
            }
        })?;
        tracing::info!(deletions = pending.deletions, files, "what was deleted is gone from the files");
        Ok(Purged { deletions: pending.deletions, files, waits_for: None })
    }

    /// Puts all that is in memory and in the log into tables.
    pub fn flush_all(&self) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let all = families::ALL.iter().map(|family| family.of(&self.db)).collect::<Result<Vec<_>>>()?;
        self.db.flush_cfs_opt(&all, &options).map_err(storage("flush"))
    }

    /// The tables, logs and manifests as they are now.
    fn database_files(&self) -> Result<Vec<PathBuf>> {
        let folder = self.dir.join("rocksdb");
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let path = entry.map_err(Error::io(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".sst") || name.ends_with(".log") || name.starts_with("MANIFEST-") {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// Write-ahead logs that are kept for backups: the next backup is a whole generation in place of a log.
    fn remove_archive(&self) -> Result<()> {
        let archive = self.dir.join("rocksdb/archive");
        let Ok(entries) = fs::read_dir(&archive) else { return Ok(()) };
        for entry in entries {
            let path = entry.map_err(Error::io(&archive))?.path();
            match fs::remove_file(&path) {
                // RocksDB removes those that are too old.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(Error::io(&path))?,
            }
        }
        Ok(())
    }

    /// Waits until none of these files is there that held what belongs to somebody; tells how many went.
    fn wait_for_removal(&self, before: &[PathBuf]) -> Result<Option<u64>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let live = self.db.live_files().map_err(storage("purge"))?;
            let is_personal = |name: &str| PERSONAL.iter().any(|family| family.name() == name);
            let impersonal: HashSet<&str> = live
                .iter()
                .filter(|file| !is_personal(&file.column_family_name))
                .map(|file| file.name.trim_start_matches('/'))
                .collect();
            let stays = |path: &&PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                path.exists() && !impersonal.contains(&*name)
            };
            if !before.iter().any(|path| stays(&path)) {
                let gone = before.iter().filter(|path| !path.exists()).count();
                // Not before: RocksDB moves a log there when nobody needs it any more, be it late.
                self.remove_archive()?;
                return Ok(Some(gone as u64));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;
    use crate::record::{Event, Span};

    fn keeping_its_log(dir: &std::path::Path) -> Store {
        let store = Store::open(dir, &StoreConfig { log_retention: Span::days(1), ..StoreConfig::default() }).unwrap();
        store.append_events(&[Event::new("u", "i", "click")], Durability::Sync).unwrap();
        store
    }

    #[test]
    fn a_log_that_is_put_aside_late_is_removed_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = keeping_its_log(dir.path());
        // As a checkpoint does.
        store.db.disable_file_deletions().unwrap();
        let mut logs = store.database_files().unwrap();
        logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
        store.flush_all().unwrap();
        assert!(!logs.is_empty() && logs.iter().all(|log| log.exists()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| store.wait_for_removal(&logs));
            store.db.enable_file_deletions().unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), Some(logs.len() as u64));
        });
        let archived = fs::read_dir(dir.path().join("rocksdb/archive")).unwrap().count();
        assert_eq!(archived, 0, "it was moved there");
    }

    #[test]
    fn a_backup_that_is_being_made_holds_what_was_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = keeping_its_log(dir.path());
        assert!(store.delete_user("u").unwrap());
        let moment = store.checkpoint().unwrap();
        assert!(store.purge().unwrap().waits_for.is_some_and(|what| what.contains("backup")));
        assert!(store.pending_purge().unwrap().is_some());
        drop(moment);
        assert_eq!(store.purge().unwrap().waits_for, None);
        assert_eq!(store.pending_purge().unwrap(), None);
    }
}
