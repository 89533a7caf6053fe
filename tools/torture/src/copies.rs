//! Rounds in which a command is killed that makes a whole directory: a restore, a migration.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{Config, Engine};

use crate::Result;
use crate::figures::Figures;
use crate::finding::mixed;
use crate::plan::{Blow, Focus, Kind, Plan};
use crate::world::{LONGEST, World, was_killed};

impl World {
    /// Restores the last backup, and is killed. Whatever is there afterwards is complete. Where there is none yet, one is made.
    pub fn restore(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        if self.backup.is_none() {
            let blow = Blow::After { operations: 100, microseconds: 0 };
            self.serve(&Plan { kind: Kind::Library, focus: Focus::BackUp, blow, seed: plan.seed }, figures)?;
        }
        let Some(backup) = self.backup.take() else { return Ok(()) };
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        let to = self.place("restored");
        let mut command = Command::new(&self.binary);
        command.arg("restore").arg(&backup.path).arg("--data").arg(&to).stdin(Stdio::null()).stdout(Stdio::null());
        self.arm(&mut command, plan);
        let mut child = command.spawn()?;
        let patience = match plan.blow {
            Blow::At(..) => LONGEST,
            Blow::After { .. } => Duration::from_micros(random.random_range(0..150_000)),
        };
        let begun = Instant::now();
        while child.try_wait()?.is_none() && begun.elapsed() < patience {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill()?;
        if was_killed(child.wait()?)? {
            figures.kills += 1;
            figures.restored += 1;
        }
        if to.join("rocksdb").exists() {
            self.compare_with(&to, &backup, figures)?;
            fs::remove_dir_all(&to)?;
        } else if to.exists() && fs::read_dir(&to)?.next().is_some() {
            return mixed(format!("{} is half restored", to.display()));
        }
        self.compare_backup(&backup, figures)?;
        self.backup = Some(backup);
        Ok(())
    }

    /// Opens a copy of an older directory, and is killed; the next opening migrates it all the same.
    pub fn migrate(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        let mut versions: Vec<_> = fs::read_dir(&self.golden)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        versions.retain(|path| path.is_dir());
        versions.sort();
        // The last is of the format of today: there is nothing to migrate.
        versions.pop();
        let Some(version) = versions.get(random.random_range(0..versions.len().max(1))) else { return Ok(()) };
        let (whole, killed) = (self.place("whole"), self.place("killed"));
        for place in [&whole, &killed] {
            copy_tree(&version.join("data"), place)?;
        }
        let stats = |place: &Path| -> Result<_> {
            let engine = Engine::open(place, Config::default())?;
            let findings: Vec<_> = engine.check()?.into_iter().map(|finding| (finding.check, finding.ok)).collect();
            let stats = engine.stats()?;
            Ok((findings, stats.users, stats.items, stats.events, stats.active_snapshot))
        };
        let expected = stats(&whole)?;
        let mut command = Command::new(&self.binary);
        command.args(["stats", "--data"]).arg(&killed).stdin(Stdio::null()).stdout(Stdio::null());
        self.arm(&mut command, plan);
        let mut child = command.spawn()?;
        let patience = match plan.blow {
            Blow::At(..) => LONGEST,
            Blow::After { .. } => Duration::from_micros(random.random_range(0..100_000)),
        };
        let begun = Instant::now();
        while child.try_wait()?.is_none() && begun.elapsed() < patience {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill()?;
        figures.kills += u64::from(was_killed(child.wait()?)?);
        let seen = stats(&killed)?;
        if seen != expected {
            let version = version.display();
            return mixed(format!("a migration of {version} that was killed gives {seen:?}, expected {expected:?}"));
        }
        fs::remove_dir_all(whole)?;
        fs::remove_dir_all(killed)?;
        Ok(())
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
