//! Numbers on pages of their own. They begin at a cache line, as those of a mapped file do, and lie on large pages where the
//! system has them: walks and scans read whole lines, and a vector that lies across one more of them than it has to costs a
//! miss more.

#![allow(unsafe_code)] // Bytes of pages as numbers.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

use super::section::Number;

/// So many numbers.
pub(super) struct Pages<T: Number>(Source<T>);

enum Source<T: Number> {
    Few(Vec<T>),
    /// At least `length` numbers.
    Many {
        pages: MmapMut,
        length: usize,
    },
}

/// Fewer bytes than that fit into a cache, whatever their lines.
const FEW: usize = 16 << 10;

impl<T: Number> Pages<T> {
    /// `length` times `value`.
    pub fn filled(length: usize, value: T) -> Self {
        let bytes = length.saturating_mul(size_of::<T>());
        let Some(pages) = (bytes >= FEW).then(|| zeroed(bytes)).flatten() else {
            // Without pages, memory as it comes will do.
            return Self(Source::Few(vec![value; length]));
        };
        let mut numbers = Self(Source::Many { pages, length });
        if value != T::default() {
            numbers.fill(value);
        }
        numbers
    }
}

/// Pages of so many bytes, all zero; `None` if the system gives none. Miri does not know pages.
fn zeroed(bytes: usize) -> Option<MmapMut> {
    if cfg!(any(miri, fuzzing)) {
        return None;
    }
    let pages = MmapMut::map_anon(bytes).ok()?;
    #[cfg(target_os = "linux")]
    if let Err(error) = pages.advise(memmap2::Advice::HugePage) {
        tracing::debug!(%error, "an index lies on small pages");
    }
    Some(pages)
}

impl<T: Number> Deref for Pages<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Source::Few(numbers) => numbers,
            // SAFETY: pages are aligned for any T, have bytes for `length` numbers (`filled` asked for as many), and all of them
            // are initialised; every bit pattern is a valid T (f32, u32 or u8).
            Source::Many { pages, length } => unsafe { std::slice::from_raw_parts(pages.as_ptr().cast(), *length) },
        }
    }
}

impl<T: Number> DerefMut for Pages<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Source::Few(numbers) => numbers,
            // SAFETY: as above; the pages are borrowed mutably, and no T leaves a byte of theirs uninitialised.
            Source::Many { pages, length } => unsafe {
                std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), *length)
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_hold_what_a_vector_holds(
            length in 0usize..20_000, value in any::<u32>(),
            writes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 0..20),
        ) {
            let (mut pages, mut twin) = (Pages::filled(length, value), vec![value; length]);
            for (at, value) in writes.iter().filter(|_| length > 0) {
                let at = at.index(length);
                (pages[at], twin[at]) = (*value, *value);
            }
            prop_assert_eq!(&*pages, &twin[..]);
            prop_assert!(4 * length < FEW || cfg!(miri) || pages.as_ptr().addr().is_multiple_of(64));
        }
    }
}
