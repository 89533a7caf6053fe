//! A round of commands on the directory, one after the other, until one is killed.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::figures::Figures;
use crate::model::Op;
use crate::plan::Plan;
use crate::target::events_file;
use crate::world::{LANES, World, was_killed};

impl World {
    /// Commands on the directory, until one is killed.
    pub fn commands(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        for number in 0..4 {
            let of = random.random_range(0..LANES);
            let lane = Arc::clone(&self.lanes[of]);
            let (op, words) = {
                let mut inner = lane.lock();
                let user = inner.state.users.keys().next().cloned();
                let item = inner.state.items.keys().next().cloned();
                match (random.random_range(0..5), user, item) {
                    (0, Some(user), _) => {
                        (Some(Op::DeleteUser(user.clone())), vec!["user".into(), "delete".into(), user])
                    }
                    (1, _, Some(item)) => {
                        (Some(Op::DeleteItem(item.clone())), vec!["item".into(), "delete".into(), item])
                    }
                    (2, Some(from), _) => {
                        let into = format!("{}-u99", from.split('-').next().unwrap_or_default());
                        let words = vec!["user".into(), "merge".into(), into.clone(), from.clone()];
                        if into == from {
                            (None, vec!["stats".into()])
                        } else {
                            (Some(Op::Merge { into, from }), words)
                        }
                    }
                    (3, ..) => (None, vec!["doctor".into()]),
                    _ => {
                        let events = inner.new_events(of, 60, &mut random);
                        (Some(Op::Import { events, batch: usize::MAX }), Vec::new())
                    }
                }
            };
            let file = match &op {
                Some(Op::Import { events, .. }) => Some(events_file(&self.path(""), events)?),
                _ => None,
            };
            let mut command = Command::new(&self.binary);
            match &file {
                Some(file) => command.args(["import", "events"]).arg(file.path()),
                None => command.args(&words),
            };
            command
                .arg("--data")
                .arg(self.data())
                .current_dir(self.path(""))
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            self.arm(&mut command, plan);
            lane.lock().doubt.clone_from(&op);
            let mut child = command.spawn()?;
            // The last of them is killed, if none has killed itself.
            let is_last = number == 3;
            let patience =
                if is_last { Duration::from_micros(random.random_range(0..60_000)) } else { Duration::from_secs(60) };
            let begun = Instant::now();
            while child.try_wait()?.is_none() && begun.elapsed() < patience {
                std::thread::sleep(Duration::from_micros(200));
            }
            child.kill()?;
            let status = child.wait()?;
            if status.success() {
                let mut inner = lane.lock();
                op.iter().for_each(|op| inner.state.apply(op));
                inner.doubt = None;
                figures.acknowledged += 1;
                continue;
            }
            // A directory without a snapshot is told so by `doctor`.
            if status.code() == Some(1) && words.first().is_some_and(|word| word == "doctor") {
                continue;
            }
            if was_killed(status)? {
                figures.kills += 1;
                break;
            }
        }
        self.compare(figures)
    }
}
