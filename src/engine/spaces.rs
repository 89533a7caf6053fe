//! Spaces of raw vectors: read at their first question, and frozen anew in the background as they change.

use std::sync::Arc;

use super::{Engine, Inner, lock, read, write};
use crate::config::{IndexChoice, IndexConfig, Metric};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::index::{Copied, Extent};
use crate::progress::Silent;
use crate::recommend;
use crate::record::{Answer, VectorQuery};

impl Engine {
    /// The nearest items to a raw vector. The first question to a space reads it into memory. Errors:
    /// [`crate::Error::NotFound`] for a space that no item has a vector in.
    pub fn search_vectors(&self, query: &VectorQuery) -> Result<Answer> {
        query.validate()?;
        if read(&self.inner.spaces).get(&query.space).is_none() {
            self.load_space(&query.space)?;
        }
        // Locks are taken in the order catalogue, popularity, spaces; `ask` has the first two.
        self.ask([(query.filter.as_ref(), None)], |context| {
            recommend::search_vectors(context, &read(&self.inner.spaces), query)
        })
    }

    /// Reads a space while questions and changes go on.
    fn load_space(&self, space: &str) -> Result<()> {
        let inner = &*self.inner;
        let _loading = lock(&inner.loading);
        if read(&inner.spaces).get(space).is_some() {
            return Ok(());
        }
        let dimension = inner.store.spaces()?.into_iter().find(|(name, _)| name == space);
        let (_, dimension) = dimension.ok_or_else(|| Error::not_found("space", space))?;
        let metric = inner.config.index.spaces.get(space).copied().unwrap_or(Metric::Cosine);
        write(&inner.spaces).await_space(space, metric, dimension)?;
        let mut copied = Copied::new(metric, dimension);
        let all = inner.store.for_each_vector(space, &mut |item, vector| {
            if read(&inner.spaces).takes(space, vector) {
                copied.push(item.get(), vector);
            }
            Ok(())
        });
        // A graph takes its time: the space is searched by scans until there is one.
        let large = copied.is_large(&inner.config.index);
        let scanned = IndexConfig { kind: IndexChoice::Exact, ..inner.config.index.clone() };
        match all.and_then(|()| copied.freeze(&scanned, &Silent)) {
            Ok(frozen) => {
                let replaced = write(&inner.spaces).replace(space, frozen);
                drop(replaced);
            }
            Err(error) => {
                write(&inner.spaces).give_up(space, Extent::Whole);
                return Err(error);
            }
        }
        let copied = if large { write(&inner.spaces).copy(space) } else { None };
        if let Some(copied) = copied {
            self.freeze(space.to_owned(), copied);
        }
        Ok(())
    }

    /// Freezes spaces anew of which enough has changed, in the background.
    pub(super) fn tend_spaces(&self) {
        if !read(&self.inner.spaces).are_due() {
            return;
        }
        let due = write(&self.inner.spaces).copy_due();
        for (space, copied) in due {
            self.freeze(space, copied);
        }
    }

    /// Freezes a copy of a space on a thread of its own, which does not keep the engine open, with half of the processors
    /// and behind whoever asks.
    fn freeze(&self, space: String, copied: Copied) {
        let (inner, config, name) = (Arc::downgrade(&self.inner), self.inner.config.index.clone(), space.clone());
        let extent = copied.extent();
        let work = move || {
            let threads = std::thread::available_parallelism().map_or(1, |count| count.get().div_ceil(2));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(|_| stand_back()).build();
            let frozen = match pool {
                Ok(pool) => pool.install(|| copied.freeze(&config, &Silent)),
                Err(_) => copied.freeze(&config, &Silent),
            };
            let Some(inner) = inner.upgrade() else { return };
            match frozen {
                Ok(frozen) => {
                    fault::reach(Point::SpaceFrozen);
                    // Bound first: what is replaced is freed after the lock.
                    let replaced = write(&inner.spaces).replace(&space, frozen);
                    drop(replaced);
                }
                Err(error) => give_up(&inner, &space, extent, &error),
            }
        };
        if let Err(error) = std::thread::Builder::new().name("savor-space".into()).spawn(work) {
            give_up(&self.inner, &name, extent, &Error::io("thread")(error));
        }
    }
}

/// Lets other threads go first from now on. On Linux a thread has this for itself; elsewhere the whole process would.
pub(super) fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "a background thread has the priority of all others");
    }
}

/// Searches go on as before; the next change tries again.
fn give_up(inner: &Inner, space: &str, extent: Extent, error: &Error) {
    tracing::warn!(space, %error, "a space of vectors could not be indexed anew");
    write(&inner.spaces).give_up(space, extent);
}
