//! A run of numbers of an index: owned, when it was just built, or a view into the mapped file that it was written to.
//! Either way search sees a slice.

#![allow(unsafe_code)] // A view of mapped bytes as numbers.

use std::sync::Arc;

use super::map::Map;
use super::pages::Pages;

#[cfg(target_endian = "big")]
compile_error!("index files are little-endian and mapped as they are; this processor is big-endian");

/// Numbers that any bytes are a valid value of, so that mapped bytes may be seen as them.
pub(super) trait Number: Copy + Default + PartialEq + Send + Sync + sealed::Sealed + 'static {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u32 {}
    impl Sealed for u8 {}
}

impl Number for f32 {}
impl Number for u32 {}
impl Number for u8 {}

/// A run of numbers.
pub(super) struct Section<T: Number>(Source<T>);

enum Source<T: Number> {
    Owned(Vec<T>),
    Paged(Pages<T>),
    /// Offset and length in bytes, checked by [`Section::mapped`].
    Mapped {
        map: Arc<Map>,
        offset: usize,
        length: usize,
    },
}

impl<T: Number> Section<T> {
    /// Numbers in memory.
    pub fn owned(numbers: Vec<T>) -> Self {
        Self(Source::Owned(numbers))
    }

    /// Numbers on pages of their own: those that searches read out of turn, or many of.
    pub fn paged(numbers: Pages<T>) -> Self {
        Self(Source::Paged(numbers))
    }

    /// The `length` bytes from `offset` on; `None` if they are not inside the map, not aligned or not whole numbers.
    pub fn mapped(map: &Arc<Map>, offset: usize, length: usize) -> Option<Self> {
        let bytes = map.get(offset..offset.checked_add(length)?)?;
        let whole = length.is_multiple_of(size_of::<T>()) && bytes.as_ptr().cast::<T>().is_aligned();
        whole.then(|| Self(Source::Mapped { map: Arc::clone(map), offset, length }))
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[T] {
        match &self.0 {
            Source::Owned(numbers) => numbers,
            Source::Paged(numbers) => numbers,
            Source::Mapped { map, offset, length } => {
                let bytes = &map[*offset..offset + length];
                // SAFETY: `mapped` found the bytes aligned for T and their number a multiple of T's size; the map neither
                // moves nor changes its length while it lives, and it lives as long as the slice. Every bit pattern is a
                // valid T (f32, u32 or u8). The file is replaced by rename and never written in place.
                unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<T>(), length / size_of::<T>()) }
            }
        }
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        size_of_val(self.as_slice())
    }

    /// The numbers as the bytes of the file: little-endian, in order.
    pub fn as_bytes(&self) -> &[u8] {
        let numbers = self.as_slice();
        // SAFETY: numbers have no padding, so each of their bytes is initialised; u8 needs no alignment; the length is
        // the size of the slice in bytes.
        unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), size_of_val(numbers)) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn map_of(mut file: std::fs::File) -> Map {
        file.rewind().unwrap();
        Map::of(&file).unwrap()
    }

    #[test]
    fn mapped_numbers_are_those_that_were_written() {
        let owned = Section::owned(vec![1.5f32, -2.0, f32::MIN_POSITIVE]);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 4]).unwrap();
        file.write_all(owned.as_bytes()).unwrap();
        let map = Arc::new(map_of(file));
        let twin: Vec<f32> =
            map[4..].chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        assert_eq!(Section::<f32>::mapped(&map, 4, 12).unwrap().as_slice(), twin);
        assert_eq!(twin, owned.as_slice());
    }

    #[test]
    fn what_lies_outside_or_askew_is_not_mapped() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 16]).unwrap();
        let map = Arc::new(map_of(file));
        assert!(Section::<u32>::mapped(&map, 8, 12).is_none());
        assert!(Section::<u32>::mapped(&map, 2, 8).is_none());
        assert!(Section::<u32>::mapped(&map, 0, 7).is_none());
        assert!(Section::<u32>::mapped(&map, usize::MAX, 8).is_none());
        assert!(Section::<u32>::mapped(&map, 16, 0).is_some());
    }
}
