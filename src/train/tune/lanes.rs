//! Work side by side: lanes take the next piece each until none is left, every lane with a share of the threads. What
//! comes out is in the order of what went in, so nobody can tell who was quicker.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Does all pieces, `lanes` at a time; `threads` are shared out among the lanes. Errors: the first of a piece in order; after
/// one, no further piece is begun.
pub fn side_by_side<T: Sync, U: Send>(
    pieces: &[T],
    lanes: usize,
    threads: usize,
    work: &(dyn Fn(&T) -> Result<U> + Sync),
) -> Result<Vec<U>> {
    let lanes = lanes.clamp(1, pieces.len().max(1));
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Vec<(usize, Result<U>)>> = Mutex::new(Vec::with_capacity(pieces.len()));
    let keep = |place: usize, result: Result<U>| {
        stopped.fetch_or(result.is_err(), Ordering::Relaxed);
        done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((place, result));
    };
    let lane = || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads((threads / lanes).max(1)).build();
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => return keep(0, Err(Error::invalid("train.threads", error.to_string()))),
        };
        while !stopped.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(place) else { return };
            keep(place, pool.install(|| work(piece)));
        }
    };
    let is_whole = std::thread::scope(|scope| {
        let running: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        running.into_iter().all(|lane| lane.join().is_ok())
    });
    if !is_whole {
        return Err(Error::Conflict("a trial ended by a defect; the log has its place".into()));
    }
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_whatever_the_lanes() {
        let pieces: Vec<u64> = (0..40).collect();
        for lanes in [1, 3, 8] {
            let done = side_by_side(&pieces, lanes, 4, &|piece| {
                std::thread::sleep(std::time::Duration::from_micros(piece * 37 % 11 * 50));
                Ok(piece * 2)
            });
            assert_eq!(done.unwrap(), (0..40).map(|piece| piece * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn after_an_error_nothing_is_begun() {
        let pieces: Vec<usize> = (0..100).collect();
        for lanes in [1, 2] {
            let begun = AtomicUsize::new(0);
            let done = side_by_side(&pieces, lanes, 2, &|piece| {
                begun.fetch_add(1, Ordering::Relaxed);
                if *piece == 3 { Err(Error::Cancelled("a test")) } else { Ok(()) }
            });
            assert_eq!(done.unwrap_err().code(), "cancelled");
            // How far the other lane gets before it sees the error is up to the scheduler.
            assert!(lanes == 2 || begun.load(Ordering::Relaxed) == 4);
        }
    }
}
