//! Backups: generations of the whole data directory, the log of writes between them, and the way back.

use std::path::Path;

use super::{Engine, lock};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::snapshot::{self, Manifest};
use crate::store::{self, BackupGeneration, BackupLog, Store, Until};

impl Engine {
    /// Adds a generation to the backup in `to`: everything as it is at this moment, while reading and writing go on. `to` is the
    /// folder of a backup, empty, or not there yet, on whatever device; another generation costs what has changed. It appears
    /// when it is complete; a crash leaves those that were there. Errors: [`Error::Conflict`] for a folder that holds something
    /// else, and while another backup is written there.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackupGeneration> {
        let moment = {
            let _switching = lock(&self.inner.switching);
            self.inner.store.checkpoint()?
        };
        self.inner.store.back_up(&moment, to.as_ref())
    }

    /// Adds the writes since the last generation to the log of a backup: what it takes to restore a moment after it. Much cheaper
    /// than a generation, but it needs `store.log_retention` to be longer than the time between two of these. A snapshot that was
    /// trained since then is not in it whole: its index is in the next generation. Errors: [`Error::Conflict`].
    pub fn backup_log(&self, to: impl AsRef<Path>) -> Result<BackupLog> {
        self.inner.store.back_up_log(to.as_ref())
    }

    /// The generations of a backup, the oldest first. Errors: [`Error::NotSavor`] for a folder that is none.
    pub fn backups(of: impl AsRef<Path>) -> Result<Vec<BackupGeneration>> {
        store::list_backup(of.as_ref())
    }

    /// Reads every byte of a backup and compares the checksums; tells how many files and bytes it holds. What is damaged is put
    /// aside, so that the next generation brings it again where the directory still has it. Errors:
    /// [`Error::Corrupt`] names the first file that is not as it was written.
    pub fn verify_backup(of: impl AsRef<Path>) -> Result<(u64, u64)> {
        store::verify_backup(of.as_ref())
    }

    /// Removes the oldest generations of a backup but the newest `keep`, at least one, and what only they had; tells how many.
    pub fn prune_backup(of: impl AsRef<Path>, keep: usize) -> Result<u64> {
        store::prune_backup(of.as_ref(), keep)
    }

    /// Makes a data directory from the newest moment of a backup. `to` must not exist or be empty; it appears when all checksums
    /// fit, it has been opened, and what it says of itself is true.
    pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        Self::restore_until(from, to, Until::Newest)
    }

    /// The same from a chosen moment. Errors: [`Error::NotFound`] for one that the backup does not reach, [`Error::Conflict`] where
    /// writes before it are in no log.
    pub fn restore_until(from: impl AsRef<Path>, to: impl AsRef<Path>, until: Until) -> Result<()> {
        Store::restore(from.as_ref(), to.as_ref(), until, &|staged| {
            let engine = Self::open(staged, Config::default())?;
            engine.forget_lost_snapshots()?;
            let mut findings = engine.check()?;
            findings.extend(engine.verify()?);
            match findings.into_iter().find(|finding| !finding.ok && finding.check != "serving") {
                Some(finding) => {
                    let reason = format!("{}; restore another generation", finding.detail);
                    Err(Error::corrupt(format!("what was restored ({})", finding.check), reason))
                }
                None => Ok(()),
            }
        })
    }

    /// A snapshot that was trained after the generation is in the log of writes without its index: the one before it answers.
    fn forget_lost_snapshots(&self) -> Result<()> {
        let lost = |manifest: &Manifest| !snapshot::has_files(self.path(), manifest.id);
        for manifest in self.snapshots()?.into_iter().filter(lost) {
            tracing::warn!(snapshot = manifest.id.0, "the backup's log has no index of this snapshot; train again");
            if self.inner.store.active_snapshot()? == Some(manifest.id)
                && let Some(before) = self.active_snapshot()
            {
                self.activate(before)?;
            }
            snapshot::remove(&self.inner.store, self.path(), manifest.id)?;
        }
        Ok(())
    }
}
