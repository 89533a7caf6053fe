//! The thread beside the writers: it trains, switches, backs up, exchanges bundles and searches, and knows what was acknowledged
//! of that.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::estate::{Estate, lock};
use crate::finding::{mixed, wrong_answer};
use crate::lane::{Lane, Window};
use crate::plan::Focus;
use crate::target::{Line, Reply, Request};

/// What is known of the snapshot that answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pointer {
    pub acknowledged: Option<u64>,
    pub doubt: Option<Doubt>,
}

/// A switch that was asked for and not acknowledged.
#[derive(Clone, Copy, Debug)]
pub enum Doubt {
    /// To a new snapshot.
    Newer,
    /// To an older one.
    Older,
    To(u64),
}

/// A backup and what it may hold.
pub struct Backup {
    pub path: PathBuf,
    pub windows: Vec<Window>,
    /// The same of tenants and keys.
    pub estates: Vec<Estate>,
    pub is_acknowledged: bool,
}

/// The thread beside the writers.
pub struct Operator {
    pub lanes: Vec<Arc<Lane>>,
    pub estate: Arc<Mutex<Estate>>,
    /// Closed while nobody may write.
    pub gate: Arc<RwLock<()>>,
    pub pointer: Arc<Mutex<Pointer>>,
    pub folder: PathBuf,
    pub focus: Focus,
    pub round: u64,
    /// The last that was acknowledged.
    pub backup: Option<Backup>,
    /// The one after it, if it is whole though nobody has acknowledged it.
    pub doubtful: Option<Backup>,
}

impl Operator {
    pub fn operate(&mut self, mut line: Line, mut random: ChaCha8Rng, over: &AtomicBool) -> Result<()> {
        let mut number = 0;
        while !over.load(Ordering::Relaxed) {
            number += 1;
            let focus = match self.focus {
                Focus::Anything => {
                    [Focus::Train, Focus::BackUp, Focus::Bundle, Focus::Search][random.random_range(0..4)]
                }
                focus => focus,
            };
            let went_on = match focus {
                Focus::Train | Focus::Tenants | Focus::Anything => match random.random_range(0..6) {
                    0 => self.switch(&mut line, Request::RollBack, Doubt::Older)?,
                    1 => {
                        let active = self.pointer()?.acknowledged;
                        active.map_or(Ok(true), |id| self.switch(&mut line, Request::Activate(id), Doubt::To(id)))?
                    }
                    _ => self.switch(&mut line, Request::Train, Doubt::Newer)?,
                },
                Focus::BackUp => self.back_up(&mut line, number)?,
                Focus::Bundle => {
                    if self.pointer()?.acknowledged.is_none() {
                        self.switch(&mut line, Request::Train, Doubt::Newer)?
                    } else {
                        // A bundle brings back users and items that were deleted since it was made: nobody writes meanwhile.
                        let _closed = self.gate.write().unwrap_or_else(PoisonError::into_inner);
                        done(line.send(&Request::Bundle))?.is_some()
                    }
                }
                Focus::Search => {
                    let vector = (0..4).map(|_| random.random_range(-1.0f32..1.0)).collect();
                    // Before the first vector there is no space.
                    line.send(&Request::Search(vector)).is_some()
                }
            };
            if !went_on {
                break;
            }
        }
        Ok(())
    }

    fn pointer(&self) -> Result<std::sync::MutexGuard<'_, Pointer>> {
        self.pointer.lock().map_err(|_| "somebody panicked".into())
    }

    /// Whether the victim is still there.
    fn switch(&self, line: &mut Line, request: Request, doubt: Doubt) -> Result<bool> {
        self.pointer()?.doubt = Some(doubt);
        match line.send(&request) {
            None => Ok(false),
            Some(Reply::Done(active)) => {
                *self.pointer()? = Pointer { acknowledged: Some(active), doubt: None };
                Ok(true)
            }
            // Nothing to learn from yet, or nothing to go back to.
            Some(_) => {
                self.pointer()?.doubt = None;
                Ok(true)
            }
        }
    }

    fn back_up(&mut self, line: &mut Line, number: u64) -> Result<bool> {
        let name = format!("b{}-{number}", self.round);
        self.lanes.iter().for_each(|lane| lane.open_window());
        lock(&self.estate).open_window();
        let reply = line.send(&Request::BackUp(name.clone()));
        let windows: Vec<_> = self.lanes.iter().map(|lane| lane.close_window()).collect();
        let estates = lock(&self.estate).close_window();
        let path = self.folder.join(name);
        let is_acknowledged = done(reply)?.is_some();
        // One that was not acknowledged is complete or not there, but for what the next backup goes on with.
        let is_whole = || match savor::Engine::backups(&path) {
            Ok(generations) => Ok(!generations.is_empty()),
            Err(savor::Error::NotSavor { .. }) => Ok(false),
            Err(error) => mixed(format!("a backup that was cut off: {error}")),
        };
        if !is_acknowledged {
            self.doubtful = is_whole()?.then_some(Backup { path, windows, estates, is_acknowledged });
        } else if let Some(old) = self.backup.replace(Backup { path, windows, estates, is_acknowledged }) {
            let _ = fs::remove_dir_all(old.path);
        }
        Ok(is_acknowledged)
    }
}

/// What must not be refused.
fn done(reply: Option<Reply>) -> Result<Option<u64>> {
    match reply {
        None => Ok(None),
        Some(Reply::Done(number)) => Ok(Some(number)),
        Some(other) => wrong_answer(format!("the operator was answered by {other:?}")),
    }
}
