//! The way to training that all engines of a process share: so many trainings at a time, the others wait in the order in which
//! they came. An engine trains once at a time, so that order is a round robin: who has just trained comes after all who wait.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::engine::lock;
use crate::error::{Error, Result};
use crate::progress::{Progress, Step};

/// Who waits looks so often whether he is still to.
const LOOK: Duration = Duration::from_millis(200);

/// Places for trainings, and who waits for one.
pub struct Lane {
    places: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: VecDeque<u64>,
    next: u64,
}

/// A place, until it is dropped.
pub struct Place<'a>(&'a Lane);

impl Lane {
    /// For so many trainings at a time.
    pub fn new(places: usize) -> Self {
        Self { places: places.max(1), state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for a place, in the order in which all came. Errors: [`Error::Cancelled`].
    pub fn enter(&self, progress: &dyn Progress) -> Result<Place<'_>> {
        let mut state = lock(&self.state);
        let ticket = state.next;
        state.next += 1;
        state.waiting.push_back(ticket);
        loop {
            if state.running < self.places && state.waiting.front() == Some(&ticket) {
                state.waiting.pop_front();
                state.running += 1;
                // With another place free the next in line may go, too.
                self.changed.notify_all();
                return Ok(Place(self));
            }
            if progress.cancelled() {
                state.waiting.retain(|waiting| *waiting != ticket);
                self.changed.notify_all();
                return Err(Error::Cancelled("training"));
            }
            let ahead = state.waiting.iter().position(|waiting| *waiting == ticket).unwrap_or_default();
            progress.report(&Step::Waiting { ahead: (ahead + state.running) as u64 });
            state = match self.changed.wait_timeout(state, LOOK) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).running -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;

    use super::*;
    use crate::progress::Silent;

    struct Stop(AtomicBool);

    impl Progress for Stop {
        fn report(&self, _: &Step) {}

        fn cancelled(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn waiting(lane: &Lane, count: usize) {
        while lock(&lane.state).waiting.len() != count {
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_comes_again_comes_after_all_who_wait() {
        let lane = Lane::new(1);
        let (tell, told) = channel();
        let first = lane.enter(&Silent).unwrap();
        std::thread::scope(|scope| {
            for (count, name) in ["b", "c", "a again"].into_iter().enumerate() {
                let (lane, tell) = (&lane, tell.clone());
                scope.spawn(move || {
                    let _place = lane.enter(&Silent).unwrap();
                    tell.send(name).unwrap();
                });
                waiting(lane, count + 1);
            }
            drop(first);
        });
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["b", "c", "a again"]);
        assert_eq!(lock(&lane.state).running, 0);
    }

    #[test]
    fn who_is_cancelled_while_he_waits_holds_up_nobody() {
        let lane = Lane::new(1);
        let stop = Stop(AtomicBool::new(false));
        let first = lane.enter(&Silent).unwrap();
        std::thread::scope(|scope| {
            let cancelled = scope.spawn(|| lane.enter(&stop).map(drop));
            waiting(&lane, 1);
            let after = scope.spawn(|| lane.enter(&Silent).map(drop));
            waiting(&lane, 2);
            stop.0.store(true, Ordering::SeqCst);
            assert!(matches!(cancelled.join().unwrap(), Err(Error::Cancelled(_))));
            drop(first);
            after.join().unwrap().unwrap();
        });
    }
}
