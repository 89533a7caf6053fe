//! An index as one file: written beside its place, synced, then renamed into it; at open mapped, and checked as far as search
//! relies on it. No byte of the file is outside a checksum. Those of a large file, and what only a look at all of it can
//! tell, are for later: a wrong number there makes a wrong answer and nothing worse, and reading all of it takes time.
//!
//! ```text
//! 0   magic "SAVORIX\0"            8 bytes
//! 8   format version               u32
//! 12  length of this header        u32
//! 16  metric (0 dot, 1 cosine, 2 l2)   u32
//! 20  dimension                    u32
//! 24  vectors                      u64
//! 32  length of the file           u64
//! 40  number of sections           u32, then 4 bytes of zero
//! 48  for each section, in the order of the file: kind u32, zero u32, offset u64, length u64, xxh3 u64
//! …   xxh3 of the header until here   u64
//! …   the sections, each at a multiple of 64, zero bytes between them
//! ```
//!
//! All numbers are little-endian. Section kinds: 1 plan (JSON), 2 vectors (f32 `[n, dim]`), 3 norms (f32 `[n]`), 4 order (u32
//! `[n]`, inner product only); of the sieve 10 shape (u32 `[3]`), 11 axes (f32), 12 lead (u8), 13 bounds (f32), 14 codes (u8), 15
//! bounds of the codes (f32), 16 shift (f32) (see `sieve`); and where there is a graph 5 shape (u32 `[4]`), 6 links (u32
//! `[n, degree]`), 7 places, 8 below and 9 links of the upper layers, 17 rows by place (u32 `[n]`), 18 coded vectors
//! (`[n, stride]` bytes, see `codes`) and 19 their mean (f32 `[dim]`, squared distance only). Version 1 had no sieve and a graph
//! of another form: a sieve is made when such a file is opened, and answers.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod open;
mod write;

pub(super) use open::{Contents, Sums, open};
pub(super) use write::write;

const MAGIC: &[u8; 8] = b"SAVORIX\0";
const VERSION: u32 = 2;
/// From this version on a file has a sieve.
const SIEVED: u32 = 2;
const ALIGNMENT: usize = 64;
const FIXED: usize = 48;
const ENTRY: usize = 32;

const PLAN: u32 = 1;
const VECTORS: u32 = 2;
const NORMS: u32 = 3;
const ORDER: u32 = 4;
const SHAPE: u32 = 5;
const LINKS: u32 = 6;
const UPPER_PLACES: u32 = 7;
const UPPER_BELOW: u32 = 8;
const UPPER_LINKS: u32 = 9;
const SIEVE: u32 = 10;
const AXES: u32 = 11;
const LEAD: u32 = 12;
const BOUNDS: u32 = 13;
const CODES: u32 = 14;
const CODE_BOUNDS: u32 = 15;
const SHIFT: u32 = 16;
const PLACED: u32 = 17;
const RECORDS: u32 = 18;
const CENTRE: u32 = 19;

fn header_length(sections: usize) -> usize {
    FIXED + sections * ENTRY + 8
}

fn aligned(at: usize) -> usize {
    at.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests;
