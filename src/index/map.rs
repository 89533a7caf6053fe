//! A file as bytes in memory: mapped, so that only what is read is there. Under Miri and under a fuzzer, which cannot follow
//! what is mapped, it is read whole into memory of its own instead: there every read past its end is seen.

#![allow(unsafe_code)] // The file is mapped into memory.

use std::fs::File;
use std::io;
use std::ops::Deref;

/// The bytes of a file. They lie at a multiple of 64.
pub(super) struct Map(Bytes);

#[cfg(not(any(miri, fuzzing)))]
type Bytes = memmap2::Mmap;

impl Map {
    /// The bytes of `file`, which nobody writes to while they are in use.
    #[cfg(not(any(miri, fuzzing)))]
    pub fn of(file: &File) -> io::Result<Self> {
        // SAFETY: index files are made whole under another name and then renamed: nobody who follows that writes into a mapped
        // one. All that is read of it is numbers of which every bit pattern is valid, and indices are bounds-checked in use.
        unsafe { Bytes::map(file) }.map(Self)
    }

    /// The bytes of `file`.
    #[cfg(any(miri, fuzzing))]
    pub fn of(mut file: &File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes)?;
        let mut lines = vec![Line([0; 64]); bytes.len().div_ceil(64)];
        lines.iter_mut().zip(bytes.chunks(64)).for_each(|(line, bytes)| line.0[..bytes.len()].copy_from_slice(bytes));
        Ok(Self(Bytes { lines, length: bytes.len() }))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(any(miri, fuzzing))]
struct Bytes {
    lines: Vec<Line>,
    length: usize,
}

#[cfg(any(miri, fuzzing))]
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u8; 64]);

#[cfg(any(miri, fuzzing))]
impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: lines have no padding, and there are enough of them for `length` bytes, all initialised.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}
