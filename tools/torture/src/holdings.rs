//! Compares tenants and keys with the model, in a directory after a kill and in what a backup gives back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use savor::{Engine, TenantName, Tenants};

use crate::Result;
use crate::compare::check;
use crate::estate::{Estate, Seen, TENANTS, lane_of_tenant, lock, tenant_name};
use crate::figures::Figures;
use crate::finding::{Finding, Kind, mixed};
use crate::model::{State, read_all};
use crate::world::{LANES, World};

impl World {
    /// Compares tenants and keys with the model; what was in doubt is then known.
    pub fn compare_estate(&mut self, home: &Engine, figures: &mut Figures) -> Result<()> {
        let tenants = Tenants::around(home.clone())?;
        let mut estate = lock(&self.estate).clone();
        let seen = see(&tenants, &[&estate])?;
        let mut outcomes = estate.outcomes();
        let differences: Vec<_> = outcomes.iter_mut().map(|outcome| outcome.difference(&seen)).collect();
        let Some(place) = differences.iter().position(Option::is_none) else {
            let kind = if estate.doubt.is_none() { Kind::Lost(1) } else { Kind::Mixed };
            let differences: Vec<_> = differences.into_iter().flatten().collect();
            let what = format!("{}; in doubt was {:?}", differences.join("; or: "), estate.doubt);
            return Err(Finding::new(kind, what).into());
        };
        match (estate.doubt.is_some(), place) {
            (false, _) => {}
            (true, 0) => figures.undone += 1,
            (true, _) => figures.done += 1,
        }
        estate = outcomes.into_iter().nth(place).unwrap_or_default();
        figures.compared_events += seen.tenants.values().map(|(state, _)| state.events.len() as u64).sum::<u64>();
        self.look_for_leftovers(&tenants)?;
        self.compare_own_backups(&tenants, &mut estate, figures)?;
        *lock(&self.estate) = estate;
        Ok(())
    }

    /// The folder of tenants has their directories and nothing else; that of their backups nothing of who is not there, but what was
    /// put aside.
    fn look_for_leftovers(&self, tenants: &Tenants) -> Result<()> {
        for entry in fs::read_dir(self.data().join("tenants")).into_iter().flatten() {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                return mixed(format!("tenants/{name} is a leftover"));
            }
        }
        let names: BTreeSet<String> = tenants.names().iter().map(TenantName::to_string).collect();
        for entry in fs::read_dir(self.path("data.tenants.backups")).into_iter().flatten() {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with(".deleted-") && !names.contains(&name) {
                return mixed(format!("backups of {name} are a leftover"));
            }
        }
        Ok(())
    }

    /// Restores what tenants have backed up themselves since somebody looked: nobody else writes to them, so it is what they held.
    fn compare_own_backups(&mut self, tenants: &Tenants, estate: &mut Estate, figures: &mut Figures) -> Result<()> {
        for (number, tenant) in &mut estate.tenants {
            let Some(expected) = tenant.backed_up.take() else { continue };
            let (name, to) = (tenant_name(*number).parse()?, self.place("own"));
            Engine::restore(own_backup(tenants, &name), &to)?;
            let seen = records(&Engine::open(&to, crate::world::config()?)?, *number)?;
            if let Some(difference) = expected.difference(&seen) {
                return Err(Finding::new(Kind::Lost(1), format!("backup of tenant {number}: {difference}")).into());
            }
            fs::remove_dir_all(&to)?;
            figures.backups += 1;
        }
        Ok(())
    }
}

/// Where a tenant's own backup lies.
pub fn own_backup(tenants: &Tenants, name: &TenantName) -> std::path::PathBuf {
    tenants.backup_folder(Some(name)).join("default")
}

/// Compares what a backup gives back with what it may hold: the keys of one moment, and each tenant of another. One that nobody
/// has acknowledged may be without tenants.
pub fn compare_restored(home: &Engine, states: &[Estate], is_acknowledged: bool) -> Result<()> {
    let seen = see(&Tenants::around(home.clone())?, &states.iter().collect::<Vec<_>>())?;
    let fits = |difference: &mut dyn FnMut(&Estate) -> Option<String>| {
        let mut first = None;
        for state in states {
            match difference(state) {
                None => return Ok(()),
                found => drop(first.get_or_insert(found)),
            }
        }
        let what = first.flatten().unwrap_or_else(|| "nothing is known of that moment".into());
        Err(Finding::new(Kind::Lost(1), format!("the backup's tenants and keys: {what}")))
    };
    fits(&mut |state| state.clone().difference_in_keys(&seen))?;
    if is_acknowledged {
        fits(&mut |state| state.difference_in_names(&seen))?;
    }
    seen.tenants.keys().try_for_each(|number| fits(&mut |state| state.difference_in_tenant(*number, &seen)))?;
    Ok(())
}

fn see(tenants: &Tenants, estates: &[&Estate]) -> Result<Seen> {
    let mut seen = Seen { tenants: BTreeMap::new(), keys: BTreeMap::new(), tokens: BTreeSet::new() };
    for name in tenants.names() {
        let Some(number) = (0..TENANTS).find(|number| tenant_name(*number) == name.as_str()) else {
            return mixed(format!("tenant \"{name}\" was made by nobody"));
        };
        let engine = tenants.get(&name)?;
        let own = records(&engine, number)?;
        check(&engine)?;
        let generations = Engine::backups(own_backup(tenants, &name)).unwrap_or_default();
        seen.tenants.insert(number, (own, generations.last().map_or(0, |newest| newest.generation)));
    }
    let home = tenants.home();
    seen.keys = home.keys().into_iter().map(|key| (key.id, (key.name, key.revoked.is_some()))).collect();
    let tokens: BTreeSet<&String> = estates.iter().flat_map(|estate| estate.tokens()).map(|(token, _)| token).collect();
    seen.tokens = tokens.into_iter().filter(|token| home.check_key(token).is_ok()).cloned().collect();
    Ok(seen)
}

/// A tenant's records; nobody else's are beside them.
fn records(engine: &Engine, number: usize) -> Result<State> {
    let mut states = read_all(engine, LANES + TENANTS)?;
    let own = states.get_mut(lane_of_tenant(number)).map(std::mem::take).unwrap_or_default();
    if states.iter().any(|state| *state != State::default()) {
        return mixed(format!("tenant {number} has what is another's"));
    }
    Ok(own)
}
