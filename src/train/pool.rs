//! Threads for a training.

use crate::error::{Error, Result};

/// Runs `work` on so many threads; 0 takes those that there are.
///
/// # Errors
/// [`Error::Invalid`] when the system does not give that many.
pub fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    if threads == 0 {
        return Ok(work());
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Error::invalid("train.threads", error.to_string()))?;
    Ok(pool.install(work))
}
