//! Opens a directory and compares all of it with the model.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use savor::{Engine, Query, SnapshotState, Tenants};

use crate::Result;
use crate::figures::Figures;
use crate::finding::{Finding, Kind, mixed};
use crate::holdings::compare_restored;
use crate::model::{Op, State, lost, read_all, read_versions};
use crate::operator::{Backup, Doubt, Pointer};
use crate::world::{LANES, World, config};

impl World {
    /// Opens the directory and compares all of it with the model; what was in doubt is then known.
    pub fn compare(&mut self, figures: &mut Figures) -> Result<()> {
        let engine = open(&self.data())?;
        let mut seen = read_all(&engine, LANES)?;
        let mut counted = State::default();
        let (mut users, mut items, mut events) = (0, 0, 0);
        for (number, (lane, seen)) in self.lanes.iter().zip(&mut seen).enumerate() {
            let mut inner = lane.lock();
            let doubt = inner.doubt.take();
            let names = inner.state.scenarios.keys().cloned().chain(match &doubt {
                Some(Op::Scenario(name, _) | Op::DeleteScenario(name)) => Some(name.clone()),
                _ => None,
            });
            read_versions(&engine, names.collect::<BTreeSet<_>>().into_iter(), seen)?;
            let outcomes = doubt.as_ref().map_or_else(|| vec![inner.state.clone()], |op| inner.state.outcomes(op));
            let Some(place) = outcomes.iter().position(|outcome| outcome.difference(seen).is_none()) else {
                let difference = inner.state.difference(seen).unwrap_or_default();
                return differs(&outcomes, seen, format!("lane {number}: {difference}; in doubt was {doubt:?}"));
            };
            match (doubt.is_some(), place) {
                (false, _) => {}
                (true, 0) => figures.undone += 1,
                (true, _) => figures.done += 1,
            }
            inner.state = outcomes.into_iter().nth(place).unwrap_or_default();
            users += inner.state.users.len() as u64;
            items += inner.state.items.len() as u64;
            events += inner.state.counted();
            counted.items.extend(inner.state.items.clone());
        }
        figures.compared_events += events;
        let stats = engine.stats()?;
        if (stats.users, stats.items, stats.events) != (users, items, events) {
            return mixed(format!("{stats:?}, expected {users} users, {items} items, {events} events"));
        }
        check(&engine)?;
        self.compare_pointer(&engine)?;
        self.compare_estate(&engine, figures)?;
        ask(&engine, &counted)
    }

    fn compare_pointer(&self, engine: &Engine) -> Result<()> {
        let mut pointer = self.pointer.lock().map_err(|_| "the operator's thread panicked")?;
        let active = engine.active_snapshot().map(|id| id.0);
        let is_allowed = active == pointer.acknowledged
            || match (pointer.doubt, active) {
                (Some(Doubt::Newer), Some(active)) => pointer.acknowledged.is_none_or(|known| active > known),
                (Some(Doubt::Older), Some(active)) => pointer.acknowledged.is_some_and(|known| active < known),
                (Some(Doubt::To(id)), Some(active)) => active == id,
                _ => false,
            };
        if !is_allowed {
            let kind = if pointer.doubt.is_none() { Kind::Lost(1) } else { Kind::Mixed };
            return Err(Finding::new(kind, format!("snapshot {active:?} answers, expected {pointer:?}")).into());
        }
        *pointer = Pointer { acknowledged: active, doubt: None };
        // Files of whole snapshots and no others.
        let mut files: BTreeSet<String> = BTreeSet::new();
        for entry in fs::read_dir(self.data().join("index"))? {
            files.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        for manifest in engine.snapshots()? {
            if manifest.state == SnapshotState::Building {
                return mixed(format!("snapshot {} is a leftover", manifest.id));
            }
            for name in [manifest.id.to_string(), format!("{}.parts", manifest.id)] {
                if !files.remove(&name) {
                    return mixed(format!("index/{name} is missing"));
                }
            }
        }
        if files.is_empty() { Ok(()) } else { mixed(format!("leftovers: {files:?}")) }
    }

    /// Restores a backup and compares it with what it may hold.
    pub fn compare_backup(&mut self, backup: &Backup, figures: &mut Figures) -> Result<()> {
        if !backup.path.exists() {
            return Err(Finding::new(Kind::Lost(1), format!("{} is gone", backup.path.display())).into());
        }
        let to = self.place("restored");
        Tenants::restore(&backup.path, &to)?;
        self.compare_with(&to, backup, figures)?;
        fs::remove_dir_all(&to)?;
        figures.backups += 1;
        Ok(())
    }

    pub fn compare_with(&self, dir: &Path, backup: &Backup, figures: &mut Figures) -> Result<()> {
        let engine = open(dir)?;
        let mut seen = read_all(&engine, LANES)?;
        for (number, (window, seen)) in backup.windows.iter().zip(&mut seen).enumerate() {
            let names: BTreeSet<String> =
                window.states().iter().flat_map(|state| state.scenarios.keys().cloned()).collect();
            read_versions(&engine, names.into_iter(), seen)?;
            if window.states().iter().all(|state| state.difference(seen).is_some()) {
                let first = window.states().first().and_then(|state| state.difference(seen));
                let last = window.states().last().and_then(|state| state.difference(seen));
                let dir = dir.display();
                let what = format!("{dir}: lane {number} is of no moment of the backup: {first:?}; {last:?}");
                return differs(window.states(), seen, what);
            }
            figures.compared_events += seen.events.len() as u64;
        }
        check(&engine)?;
        compare_restored(&engine, &backup.estates, backup.is_acknowledged)
    }
}

fn open(dir: &Path) -> Result<Engine> {
    Ok(Engine::open(dir, config()?)?)
}

/// What was read is none of the states that it may be.
fn differs(states: &[State], seen: &State, what: String) -> Result<()> {
    let kind = match lost(states, seen) {
        0 => Kind::Mixed,
        records => Kind::Lost(records),
    };
    Err(Finding::new(kind, what).into())
}

/// What a directory says of itself.
pub fn check(engine: &Engine) -> Result<()> {
    for finding in engine.check()?.into_iter().chain(engine.verify()?) {
        // No snapshot is active when the first training was killed.
        if !finding.ok && finding.check != "serving" {
            return mixed(format!("{finding:?}"));
        }
    }
    Ok(())
}

/// Questions are answered, with items that there are and that fulfil the condition.
fn ask(engine: &Engine, model: &State) -> Result<()> {
    for category in ["c0", "c1", "c2"] {
        let query = Query { category: Some(category.into()), ..Query::for_user("w0-u0").limit(1000) };
        for found in engine.recommend(&query)?.items {
            match model.items.get(&found.item) {
                None => return mixed(format!("{} is recommended and not there", found.item)),
                Some(item) if item.hidden || !item.categories.iter().any(|of| of == category) => {
                    return mixed(format!("{item:?} is recommended in {category}"));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}
