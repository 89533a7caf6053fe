//! Running it: figures and checks.

use std::path::Path;

use super::{Engine, Finding, IndexReport, SpaceStats, Stats};
use crate::config::Config;
use crate::counters::Owner;
use crate::error::{Error, Result};
use crate::record::Timestamp;
use crate::snapshot::{Manifest, Snapshot, SnapshotState};
use crate::store::{Fault, Side, Store, Trouble};

/// A purge is late so long after its time: two days, for a directory that nobody serves is not purged by itself.
const LATE_MS: i64 = 2 * 86_400_000;
/// Users, and items, whose counters are checked, about.
const COUNTED: u64 = 1000;

impl Engine {
    /// How much there is, and what serves. Counts the raw vectors one by one; [`Engine::figures`] does not.
    pub fn stats(&self) -> Result<Stats> {
        let store = &self.inner.store;
        let mut spaces = Vec::new();
        for (space, dimension) in store.spaces()? {
            let mut vectors = 0;
            store.for_each_vector(&space, &mut |_, _| {
                vectors += 1;
                Ok(())
            })?;
            spaces.push(SpaceStats { space, dimension: dimension as u64, vectors });
        }
        Ok(Stats { spaces, ..self.figures()? })
    }

    /// The same without the spaces of raw vectors: cheap, to be asked every few seconds.
    pub fn figures(&self) -> Result<Stats> {
        let store = &self.inner.store;
        let counts = store.counts();
        let live = self.inner.live.load();
        let (cache_hits, cache_misses) = self.inner.answers.hits_and_misses();
        let trained_on = live.as_ref().map_or(0, |live| live.snapshot.manifest().stored());
        Ok(Stats {
            version: env!("CARGO_PKG_VERSION").into(),
            users: counts.users,
            items: counts.items,
            events: counts.events,
            events_since_snapshot: counts.stored.saturating_sub(trained_on),
            active_snapshot: self.active_snapshot(),
            snapshots: self.snapshots()?.len() as u64,
            spaces: Vec::new(),
            exposures_dropped: self.dropped_exposures(),
            exposures_evicted: self.evicted_exposures(),
            exposures_bytes: store.exposed_bytes(),
            purge_pending: self.pending_purge()?,
            disk_bytes: store.disk_bytes()?,
            cache_hits,
            cache_misses,
        })
    }

    /// Looks at everything that can be looked at without changing it: what `savor doctor` prints.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let mut findings =
            vec![self.check_counts()?, self.check_item_index()?, self.check_event_counters()?, self.check_purge()?];
        let whole = |manifest: &Manifest| manifest.state != SnapshotState::Building;
        for manifest in self.snapshots()?.into_iter().filter(whole) {
            let check = format!("snapshot {}", manifest.id);
            findings.push(match self.examine(manifest) {
                Ok(detail) => Finding::well(check, detail),
                Err(error) => Finding::new(check, false, format!("{error}; train again or roll back")),
            });
        }
        findings.extend(self.indexes()?.into_iter().map(IndexReport::into_finding));
        findings.push(self.check_load_bound());
        findings.push(match self.active_snapshot() {
            Some(id) => Finding::well("serving", format!("answers come from snapshot {id}")),
            None => {
                // Before the first training this is as it should be.
                let ok = self.snapshots()?.is_empty();
                Finding::new("serving", ok, "no snapshot is active, answers are popular items; run `savor train`")
            }
        });
        Ok(findings)
    }

    /// Reads every block of the database and every byte of every snapshot's index and compares the checksums, and compares all
    /// entries of the database with each other. Several passes over all there is, while nobody writes.
    pub fn verify(&self) -> Result<Vec<Finding>> {
        let mut findings: Vec<Finding> = self.faults()?.into_iter().map(fault).collect();
        if findings.is_empty() {
            findings.push(Finding::well("cross-references", "every entry can be read and agrees with the others"));
        }
        let whole = self.snapshots()?.into_iter().filter(|manifest| manifest.state != SnapshotState::Building);
        let verify = |manifest: Manifest| {
            let check = format!("checksums of snapshot {}", manifest.id);
            match Snapshot::load(self.path(), manifest).and_then(|snapshot| snapshot.index().verify()) {
                Ok(()) => Finding::well(check, "as they were written"),
                Err(error) => Finding::new(check, false, format!("{error}; train again or roll back")),
            }
        };
        findings.extend(whole.map(verify));
        Ok(findings)
    }

    /// Why nothing can be written, if so: the disk is full, read-only or failing. Questions are answered all the same.
    pub fn trouble(&self) -> Option<Trouble> {
        self.inner.store.trouble()
    }

    /// What in the database does not agree with the rest, and what a repair does about it. While nobody writes.
    pub fn faults(&self) -> Result<Vec<Fault>> {
        self.inner.store.cross_check()
    }

    /// Mends what [`Engine::faults`] finds and can be mended: what is worked out from records is made anew from them. Tells what
    /// was found. What cannot be mended stays as it is. The directory must not be open.
    pub fn repair(path: impl AsRef<Path>, config: &Config) -> Result<Vec<Fault>> {
        Store::open(path.as_ref(), &config.store)?.repair()
    }

    /// What a whole snapshot holds. Errors: [`Error::Corrupt`] for files that are damaged or do not fit each other, the
    /// manifest, or the users' vectors in the store.
    fn examine(&self, manifest: Manifest) -> Result<String> {
        let (id, items) = (manifest.id, manifest.items);
        let snapshot = Snapshot::load(self.path(), manifest)?;
        let (rows, dim) = (snapshot.vectors().len() as u64, snapshot.vectors().dim());
        if rows != items {
            return Err(Error::corrupt("its index", format!("{rows} vectors, the manifest says {items}")));
        }
        self.inner.store.for_each_factor(Side::Users, id, &mut |_, vector| match vector.len() == dim {
            true => Ok(()),
            false => Err(Error::corrupt("a user's vector", format!("{} numbers, items have {dim}", vector.len()))),
        })?;
        let listed = snapshot.fold_in().parts().lists.nnz();
        Ok(format!("{items} items, {listed} entries in their lists, every checksum fits"))
    }

    /// Tells what load may take.
    fn check_load_bound(&self) -> Finding {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = self.config().load_bound(processors);
        let mib = |bytes: usize| bytes >> 20;
        let named: Vec<String> = parts.iter().map(|part| format!("{} {}", part.what, mib(part.bytes))).collect();
        let all = mib(parts.iter().map(|part| part.bytes).sum());
        Finding::well("memory under load", format!("at most {all} MiB beside the data: {}", named.join(", ")))
    }

    /// Reads all items and compares them with the index that filters are answered from.
    fn check_item_index(&self) -> Result<Finding> {
        let (entries, ok) = self.inner.store.view().check_item_index()?;
        let detail = match ok {
            true => format!("{entries} entries, as the items say"),
            false => format!("{entries} entries, not those of the items; restore a backup"),
        };
        Ok(Finding::new("item index", ok, detail))
    }

    /// Reads the whole log and compares it with the counters.
    /// Counts the events of some users and items anew. One pass over the log.
    fn check_event_counters(&self) -> Result<Finding> {
        let counts = self.inner.store.counts();
        let stride = (counts.users.max(counts.items) / COUNTED).max(1);
        let is_sampled = |owner: Owner| match owner {
            Owner::User(id) => u64::from(id.get()) % stride == 0,
            Owner::Item(id) => u64::from(id.get()) % stride == 0,
        };
        let view = self.inner.store.view();
        let (kept, counted) = (view.event_counters(&is_sampled)?, view.recount(&is_sampled)?);
        let ok = kept.agrees(&counted);
        let detail = match ok {
            true => format!("those of {} users and items are what the log says", counted.len()),
            false => "some are not what the log says; export the events into a new directory".into(),
        };
        Ok(Finding { check: "event counters".into(), ok, detail, index: None })
    }

    /// Whether what has been deleted is gone from the files in time.
    fn check_purge(&self) -> Result<Finding> {
        let Some(pending) = self.pending_purge()? else {
            return Ok(Finding::well("deletions", "none waits to be gone from the files"));
        };
        let (count, since, after) = (pending.deletions, pending.since, self.inner.config.privacy.purge_after);
        let detail =
            format!("{count} since {since} may still be in the files, bound {after}; `savor purge` removes them now");
        // A server tries every few seconds, and again ten minutes after it had to wait.
        let is_late = Timestamp::now().millis() - since.millis() > after.millis() + LATE_MS;
        Ok(Finding::new("deletions", !is_late, detail))
    }

    fn check_counts(&self) -> Result<Finding> {
        let view = self.inner.store.view();
        let mut read = 0;
        view.for_each_event(None, &mut |_| {
            read += 1;
            Ok(())
        })?;
        let counted = view.event_count()?;
        let detail = format!("{read} readable, {counted} counted");
        Ok(Finding::new("events", read == counted, detail))
    }
}

fn fault(fault: Fault) -> Finding {
    let remedy = fault.repair.map(|repair| format!("; `savor doctor --repair` {repair}")).unwrap_or_default();
    Finding::new(fault.check, false, format!("{} not as they should be: {}{remedy}", fault.entries, fault.example))
}
