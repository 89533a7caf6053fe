//! A round with a server or an embedded library: writers and an operator at work until the process is killed.

use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::figures::Figures;
use crate::finding::{Finding, Kind as Found};
use crate::lane::write_until;
use crate::operator::Operator;
use crate::plan::{Blow, Kind, Plan};
use crate::target::{Victim, backups};
use crate::tenancy::manage;
use crate::world::{LONGEST, World, was_killed};

impl World {
    pub fn serve(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        self.make_key()?;
        let data = self.data();
        let is_server = plan.kind == Kind::Server;
        let mut command = if is_server {
            let mut command = Command::new(&self.binary);
            command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--data"]).arg(&data);
            command
        } else {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--library").arg(&data);
            command
        };
        self.arm(&mut command, plan);
        let mut victim =
            Victim::start(command, is_server.then_some(self.binary.as_path()), &self.path(""), self.token.clone())?;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let gate = Arc::new(RwLock::new(()));
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        let mut threads = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate() {
            let Some(line) = victim.line() else { break };
            let (lane, random) = (Arc::clone(lane), ChaCha8Rng::seed_from_u64(random.random()));
            let (acknowledged, over, gate) = (Arc::clone(&acknowledged), Arc::clone(&over), Arc::clone(&gate));
            threads.push(std::thread::spawn(move || {
                let enough = || over.load(Ordering::Relaxed);
                write_until(&lane, number, random, line, &acknowledged, &gate, &enough)
            }));
        }
        self.places += 1;
        let mut operator = Operator {
            lanes: self.lanes.clone(),
            estate: Arc::clone(&self.estate),
            gate: Arc::clone(&gate),
            pointer: Arc::clone(&self.pointer),
            folder: backups(&data),
            focus: plan.focus,
            round: self.places,
            backup: None,
            doubtful: None,
        };
        let operating = victim.line().map(|line| {
            let (over, random) = (Arc::clone(&over), ChaCha8Rng::seed_from_u64(random.random()));
            std::thread::spawn(move || {
                operator.operate(line, random, &over).map(|()| (operator.backup, operator.doubtful))
            })
        });
        let managing = victim.line().map(|line| {
            let (estate, focus, random) =
                (Arc::clone(&self.estate), plan.focus, ChaCha8Rng::seed_from_u64(random.random()));
            let (acknowledged, over) = (Arc::clone(&acknowledged), Arc::clone(&over));
            std::thread::spawn(move || manage(&estate, line, random, focus, &acknowledged, &over))
        });
        threads.extend(managing);
        self.strike(&mut victim.child, plan, &acknowledged, &threads)?;
        over.store(true, Ordering::Relaxed);
        let status = victim.kill()?;
        if !was_killed(status)? {
            return Err(Finding::new(Found::Panic, format!("the victim ended by itself: {status}")).into());
        }
        figures.kills += 1;
        figures.acknowledged += acknowledged.load(Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| "a lane's thread panicked")??;
        }
        if let Some(operating) = operating {
            let (backup, doubtful) = operating.join().map_err(|_| "the operator's thread panicked")??;
            for backup in backup.into_iter().chain(doubtful) {
                self.compare_backup(&backup, figures)?;
                self.backup = Some(backup);
            }
        }
        self.compare(figures)
    }

    /// Waits for the moment of the blow, or until the process has ended by itself or a lane by an error.
    fn strike(
        &self,
        child: &mut Child,
        plan: &Plan,
        acknowledged: &AtomicU64,
        lanes: &[std::thread::JoinHandle<Result<()>>],
    ) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < LONGEST && child.try_wait()?.is_none() && !lanes.iter().any(|lane| lane.is_finished()) {
            if let Blow::After { operations, microseconds } = plan.blow
                && acknowledged.load(Ordering::Relaxed) >= operations
            {
                std::thread::sleep(Duration::from_micros(microseconds));
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }
}
