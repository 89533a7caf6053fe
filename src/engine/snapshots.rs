//! Which snapshot answers: activation, gate, roll-back, retention, and the way in and out as a bundle.

use std::cmp::Reverse;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::freshness::Seen;
use super::{Engine, Gate, Live, lock};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::features::table::{Facts, FeatureTable};
use crate::monitor::Check;
use crate::progress::{Progress, Silent};
use crate::record::{Item, SnapshotId, Span, Timestamp};
use crate::snapshot::{self, Manifest, Snapshot, SnapshotState};
use crate::store::Records;

impl Engine {
    /// All snapshots, the newest first.
    pub fn snapshots(&self) -> Result<Vec<Manifest>> {
        let mut manifests: Vec<Manifest> =
            self.inner.store.records(Records::Snapshots)?.into_iter().map(|(_, manifest)| manifest).collect();
        manifests.sort_by_key(|manifest| Reverse(manifest.id));
        Ok(manifests)
    }

    /// One snapshot's manifest. Errors: [`Error::NotFound`].
    pub fn snapshot(&self, id: SnapshotId) -> Result<Manifest> {
        let manifest = self.inner.store.record(Records::Snapshots, id.0)?;
        manifest.ok_or_else(|| Error::not_found("snapshot", id.to_string()))
    }

    /// The snapshot that answers; `None` before the first activation.
    pub fn active_snapshot(&self) -> Option<SnapshotId> {
        self.inner.live.load().as_ref().map(|live| live.snapshot.manifest().id)
    }

    /// Lets a snapshot answer from now on. Requests in flight finish with the one they began with. Errors:
    /// [`Error::NotFound`]; [`Error::Conflict`] while it is being built; [`Error::Corrupt`] if its files are damaged (the
    /// active one serves on).
    pub fn activate(&self, id: SnapshotId) -> Result<()> {
        let _switching = lock(&self.inner.switching);
        self.switch(self.snapshot(id)?, None)
    }

    /// Lets a snapshot answer if it passes the gate; otherwise it is marked `rejected` and the active one serves on. What each
    /// training measured on its own hold-out is compared; where that speaks against the new one and enough has happened since
    /// the active one was trained, both are measured on that, which takes another training: when tastes have changed every
    /// new snapshot has harder events to foretell than the old one had. Errors: [`Error::GateFailed`] with the numbers, and
    /// those of [`Engine::activate`].
    pub fn activate_if(&self, id: SnapshotId, gate: &Gate) -> Result<()> {
        self.activate_if_with(id, gate, &Silent)
    }

    /// The same with a way to cancel: [`Error::Cancelled`], and the snapshot stays as it is.
    pub fn activate_if_with(&self, id: SnapshotId, gate: &Gate, progress: &dyn Progress) -> Result<()> {
        let (active, said) = self.judged(id, gate, progress)?;
        let _switching = lock(&self.inner.switching);
        if self.active_snapshot() != active {
            return Err(Error::Conflict("another snapshot has come to answer meanwhile; compare with that".into()));
        }
        let mut candidate = self.snapshot(id)?;
        match said {
            Ok(note) => self.switch(candidate, Some(note)),
            Err(reason) => {
                candidate.state = SnapshotState::Rejected;
                candidate.note = Some(reason.clone());
                self.inner.store.put_record(Records::Snapshots, id.0, &candidate)?;
                if let Err(error) = self.retain() {
                    tracing::warn!(%error, "old snapshots are not removed");
                }
                Err(Error::GateFailed { snapshot: id.0, reason })
            }
        }
    }

    /// What the gate says, and which snapshot it was held against.
    fn judged(
        &self,
        id: SnapshotId,
        gate: &Gate,
        progress: &dyn Progress,
    ) -> Result<(Option<SnapshotId>, std::result::Result<String, String>)> {
        let active = self.active_snapshot();
        let manifest = active.map(|active| self.snapshot(active)).transpose()?;
        let said = verdict(&self.snapshot(id)?, manifest.as_ref(), gate);
        let Err(reason) = said else { return Ok((active, said)) };
        let checks = self.check_new_events(id, gate, progress)?;
        let words =
            |check: &Check| format!("{} {:.4} for {:.4}: {}", check.name, check.value, check.limit, check.detail);
        let said = match checks.iter().find(|check| !check.passed).or(checks.first()) {
            None => Err(reason),
            Some(check) if check.passed => Ok(words(check)),
            Some(check) => Err(format!("{reason}; {}", words(check))),
        };
        Ok((active, said))
    }

    /// Goes back to the snapshot older than the active one that was active last. Whoever says so knows why: that one is not watched,
    /// as one that is activated would be. Errors: [`Error::Conflict`] if
    /// there is none.
    pub fn rollback(&self) -> Result<SnapshotId> {
        let _switching = lock(&self.inner.switching);
        let active = self.active_snapshot().ok_or_else(|| Error::Conflict("no snapshot is active".into()))?;
        let manifests = self.snapshots()?;
        let retired = manifests.into_iter().filter(|m| m.id < active && m.state == SnapshotState::Retired);
        let target = retired.max_by_key(|manifest| (manifest.activated, manifest.id));
        let target = target.ok_or_else(|| Error::Conflict(format!("no snapshot before {active} has been active")))?;
        let id = target.id;
        self.switch(target, Some(format!("rolled back from {active}")))?;
        self.note_answering();
        Ok(id)
    }

    /// Writes a snapshot as one portable, checksummed bundle.
    pub fn export_snapshot(&self, id: SnapshotId, to: impl AsRef<Path>) -> Result<()> {
        let _switching = lock(&self.inner.switching);
        let manifest = self.snapshot(id)?;
        if manifest.state == SnapshotState::Building {
            return Err(Error::Conflict(format!("snapshot {id} is still being built")));
        }
        let snapshot = Snapshot::load(&self.inner.dir, manifest)?;
        snapshot::export(&self.inner.store, &self.inner.dir, &snapshot, to.as_ref())
    }

    /// Verifies a bundle whole and takes it in as a `validated` snapshot, not active yet. Users and items that are
    /// unknown here become known. Errors: [`Error::Corrupt`], [`Error::NewerFormat`].
    pub fn import_snapshot(&self, from: impl AsRef<Path>) -> Result<SnapshotId> {
        let _switching = lock(&self.inner.switching);
        let size = std::fs::metadata(from.as_ref()).map_or(0, |file| file.len());
        self.inner.store.check_room(usize::try_from(size).unwrap_or(usize::MAX))?;
        let manifest = snapshot::import(&self.inner.store, &self.inner.dir, from.as_ref())?;
        self.reload_catalog()?;
        self.check_snapshot_size(manifest.id)
            .inspect_err(|_| drop(snapshot::remove(&self.inner.store, &self.inner.dir, manifest.id)))?;
        Ok(manifest.id)
    }

    /// Refuses a snapshot whose files are larger than the engine may have.
    pub(super) fn check_snapshot_size(&self, id: SnapshotId) -> Result<()> {
        let Some(allowance) = self.inner.allowance.get() else { return Ok(()) };
        allowance.check_snapshot(snapshot::bytes(&self.inner.dir, id)?)
    }

    /// Loads what answered when the directory was last open, or the newest good one before it.
    pub(super) fn load_active(&self) -> Result<()> {
        let Some(active) = self.inner.store.active_snapshot()? else { return Ok(()) };
        self.load_from(|manifest| manifest.id == active || (manifest.id < active && manifest.activated.is_some()))?;
        Ok(())
    }

    /// Loads the newest good one of these, if there is one.
    fn load_from(&self, is_candidate: impl Fn(&Manifest) -> bool) -> Result<bool> {
        let candidates = self.snapshots()?.into_iter().filter(is_candidate);
        for manifest in candidates {
            let id = manifest.id;
            match Snapshot::load(&self.inner.dir, manifest) {
                Ok(snapshot) => {
                    let seen = self.seen_at_open(snapshot.manifest())?;
                    self.go_live(snapshot, seen);
                    return Ok(true);
                }
                Err(error) => {
                    tracing::error!(snapshot = id.0, %error, "cannot load the snapshot, trying the one before")
                }
            }
        }
        tracing::error!("no snapshot can be loaded; answers are popular items until the next training");
        Ok(false)
    }

    /// Answers come from this one from now on. What is too large to be verified beforehand is verified meanwhile; if it turns
    /// out to be damaged, the newest good one before it takes over.
    fn go_live(&self, snapshot: Snapshot, seen: Seen) {
        let live = self.answer_from(snapshot, seen, &self.inner.live);
        if live.snapshot.index().is_verified() {
            return;
        }
        let inner = Arc::downgrade(&self.inner);
        let verify = move || {
            let Err(error) = live.snapshot.index().verify() else { return };
            let id = live.snapshot.manifest().id;
            tracing::error!(snapshot = id.0, %error, "the snapshot that answers is damaged, trying the one before");
            let Some(inner) = inner.upgrade() else { return };
            let engine = Engine { inner };
            let _switching = lock(&engine.inner.switching);
            let is_still_live = engine.inner.live.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, &live));
            if is_still_live {
                match engine.load_from(|manifest| manifest.id < id && manifest.activated.is_some()) {
                    Ok(true) => engine.note_answering(),
                    Ok(false) => {
                        engine.inner.live.store(None);
                        engine.inner.answers.all_changed();
                    }
                    Err(error) => tracing::error!(%error, "the snapshots cannot be read"),
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("savor-verify".into()).spawn(verify) {
            tracing::warn!(%error, "the snapshot that answers is not verified; run `savor doctor --verify`");
        }
    }

    /// Answers come from this one in that place from now on.
    pub(super) fn answer_from(&self, snapshot: Snapshot, seen: Seen, place: &ArcSwapOption<Live>) -> Arc<Live> {
        let live = self.loaded(snapshot, seen);
        self.place_all(&live, || place.store(Some(Arc::clone(&live))));
        live
    }

    /// Loads a snapshot to answer beside the active one, for an experiment.
    pub(super) fn load_beside(&self, id: SnapshotId) -> Result<Arc<Live>> {
        let snapshot = Snapshot::load(&self.inner.dir, self.snapshot(id)?)?;
        let seen = self.inner.jobs.seen(id).map_or(Seen::Nothing, Seen::Until);
        let live = self.loaded(snapshot, seen);
        self.place_all(&live, || {
            self.inner.experiments.beside.rcu(|beside| {
                let mut beside = FxHashMap::clone(beside);
                beside.insert(id, Arc::clone(&live));
                beside
            });
        });
        Ok(live)
    }

    /// What a table takes from an item. The catalogue leaves vectors out; a table that needs them has them from the store.
    pub(super) fn item_facts(&self, table: &FeatureTable, item: &Item) -> Facts {
        match table.spaces().next() {
            None => table.item_facts(item),
            Some(_) => {
                let whole = self.inner.store.item(&item.id).ok().flatten();
                table.item_facts(whole.as_ref().unwrap_or(item))
            }
        }
    }

    /// The switch itself: load and check first, make it durable, then swap one pointer.
    pub(super) fn switch(&self, mut manifest: Manifest, note: Option<String>) -> Result<()> {
        if manifest.state == SnapshotState::Building {
            return Err(Error::Conflict(format!("snapshot {} is still being built", manifest.id)));
        }
        let id = manifest.id;
        manifest.state = SnapshotState::Active;
        manifest.activated = Some(Timestamp::now());
        manifest.note = note.or(manifest.note);
        let snapshot = Snapshot::load(&self.inner.dir, manifest.clone())?;
        fault::reach(Point::SwapLoaded);
        let mut manifests = vec![(id.0, manifest)];
        let active = self.snapshots()?.into_iter().filter(|m| m.id != id && m.state == SnapshotState::Active);
        manifests.extend(active.map(|m| (m.id.0, Manifest { state: SnapshotState::Retired, ..m })));
        self.inner.store.set_active_snapshot(id, &manifests)?;
        fault::reach(Point::SwapStored);
        let seen = self.inner.jobs.seen(id).map_or(Seen::Nothing, Seen::Until);
        self.go_live(snapshot, seen);
        self.inner.canary.store(None);
        tracing::info!(snapshot = id.0, "snapshot active");
        self.retain()
    }

    /// Removes old snapshots. The active one stays; of those that were active before, as many as are to be kept for
    /// roll-back; of those that wait for their activation, as many again; of the rejected, the newest.
    pub(super) fn retain(&self) -> Result<()> {
        let active = self.active_snapshot();
        // The next look watches the active one against it.
        let answered = lock(&self.inner.monitoring).answering;
        let keep = self.inner.config.snapshot.keep;
        let (mut served, mut waiting, mut rejected) = (1, 0, 0);
        for manifest in self.snapshots()? {
            let (count, most) = match manifest.state {
                SnapshotState::Building => continue,
                _ if Some(manifest.id) == active || self.is_tested(manifest.id) => continue,
                _ if self.is_watched(manifest.id)? => continue,
                SnapshotState::Rejected => (&mut rejected, 1),
                SnapshotState::Validated => (&mut waiting, keep),
                SnapshotState::Active | SnapshotState::Retired => (&mut served, keep),
            };
            *count += 1;
            if *count > most && Some(manifest.id) != answered {
                snapshot::remove(&self.inner.store, &self.inner.dir, manifest.id)?;
                tracing::info!(snapshot = manifest.id.0, "snapshot removed");
            }
        }
        Ok(())
    }

    /// A snapshot that nothing has been placed in yet.
    fn loaded(&self, snapshot: Snapshot, seen: Seen) -> Arc<Live> {
        let weights = self.inner.weights.faded(self.half_life_of(snapshot.manifest()));
        let facts = snapshot.ranker().map(|_| RwLock::default());
        Arc::new(Live { snapshot, seen, weights, facts, fresh: RwLock::default() })
    }

    /// After how long an event weighed half in a snapshot's training.
    pub(super) fn half_life_of(&self, manifest: &Manifest) -> Option<Span> {
        manifest.faded.map_or(self.inner.config.events.half_life.span(), |faded| faded.half_life)
    }

    /// Marks the users with events after the snapshot's newest; if the counts do not add up, events came in late or were
    /// deleted, and nothing is taken as seen.
    fn seen_at_open(&self, manifest: &Manifest) -> Result<Seen> {
        let store = &self.inner.store;
        let Some(newest) = manifest.newest_event else { return Ok(Seen::Nothing) };
        let mut later = 0;
        let mut users = Vec::new();
        store.view().for_each_event(Timestamp::from_millis(newest.millis() + 1).ok(), &mut |event| {
            later += 1;
            users.push(event.user);
            Ok(())
        })?;
        if store.view().log_changes()? != manifest.log_changes + later {
            return Ok(Seen::Nothing);
        }
        let seen = Seen::Until(self.inner.freshness.now());
        self.inner.freshness.mark(users);
        Ok(seen)
    }
}

/// Why a candidate may go live, or why not.
pub(super) fn verdict(
    candidate: &Manifest,
    active: Option<&Manifest>,
    gate: &Gate,
) -> std::result::Result<String, String> {
    let Some(active) = active else { return Ok("the first snapshot".into()) };
    let metric = &gate.metric;
    match (candidate.metric(metric), active.metric(metric)) {
        (Some(new), Some(old)) if new >= old - gate.tolerance => {
            Ok(format!("{metric} {new:.4}, snapshot {} had {old:.4}", active.id))
        }
        (Some(new), Some(old)) => {
            Err(format!("{metric} is {new:.4}, snapshot {} has {old:.4}, tolerance {}", active.id, gate.tolerance))
        }
        (None, Some(_)) => Err(format!("{metric} was not measured; train with measuring on, or activate it by hand")),
        (_, None) => Ok(format!("snapshot {} has no {metric} to compare with", active.id)),
    }
}
