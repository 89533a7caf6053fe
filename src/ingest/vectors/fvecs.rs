//! `.fvecs`, the format of the SIFT and GIST sets of the nearest-neighbour benchmarks (<http://corpus-texmex.irisa.fr>): each
//! vector is its length as a little-endian i32 and so many little-endian f32s. All lengths must be equal.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{bad_row, finite, malformed};
use crate::error::{Error, Result};
use crate::linalg::Matrix;

/// Reads all vectors.
pub(super) fn read(path: &Path) -> Result<Matrix> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    read_from(path, BufReader::with_capacity(1 << 18, file), length)
}

/// Reads all vectors from bytes of this length; `path` is named in errors.
pub(super) fn read_from(path: &Path, mut reader: impl Read, length: u64) -> Result<Matrix> {
    if length == 0 {
        return Err(Error::no_data(format!("{} holds no vectors", path.display()), "give a file with one at least"));
    }
    let first = read_length(path, &mut reader, 0)?;
    let record = 4 + 4 * first as u64;
    if first == 0 {
        return Err(bad_row(path, 0, "length", "is 0, expected 1 at least"));
    }
    // Also bounds what a length at the beginning may claim.
    if !length.is_multiple_of(record) {
        let reason = format!("has {length} bytes, which are not whole vectors of {first} values ({record} bytes each)");
        return Err(malformed(path, reason));
    }

    let rows = (length / record) as usize;
    let mut values = Vec::with_capacity(rows * first);
    let mut bytes = vec![0; 4 * first];
    for row in 0..rows {
        if row > 0 {
            let dim = read_length(path, &mut reader, row)?;
            if dim != first {
                return Err(bad_row(path, row, "length", format!("is {dim}, but the vectors before have {first}")));
            }
        }
        reader.read_exact(&mut bytes).map_err(Error::io(path))?;
        for (at, number) in bytes.chunks_exact(4).enumerate() {
            let value = number.try_into().map_or(f32::NAN, f32::from_le_bytes);
            values.push(finite(path, row, at, value)?);
        }
    }
    Matrix::new(first, values).map_err(|error| error.within(&path.display().to_string()))
}

fn read_length(path: &Path, reader: &mut impl Read, row: usize) -> Result<usize> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes).map_err(Error::io(path))?;
    let length = i32::from_le_bytes(bytes);
    usize::try_from(length).map_err(|_| bad_row(path, row, "length", format!("is {length}, expected 1 at least")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(vectors: &[&[f32]]) -> Vec<u8> {
        let record = |vector: &&[f32]| {
            let mut bytes = (vector.len() as i32).to_le_bytes().to_vec();
            bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
            bytes
        };
        vectors.iter().flat_map(record).collect()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Matrix> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v.fvecs");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    fn reason(bytes: &[u8]) -> String {
        read_bytes(bytes).unwrap_err().to_string().split_once("v.fvecs").unwrap().1.to_string()
    }

    #[test]
    fn vectors_are_read_in_order() {
        let matrix = read_bytes(&file(&[&[1.0, -2.0], &[0.5, 3.0], &[0.0, 0.0]])).unwrap();
        assert_eq!((matrix.rows(), matrix.dim(), matrix.row(1)), (3, 2, &[0.5, 3.0][..]));
    }

    #[test]
    fn a_bad_vector_is_named_by_its_row() {
        assert!(reason(&file(&[&[1.0], &[f32::INFINITY]])).starts_with(":2: value 0: is inf"));
        let mut uneven = file(&[&[1.0, 2.0], &[1.0, 2.0]]);
        uneven[12] = 1;
        assert!(reason(&uneven).starts_with(":2: length: is 1, but the vectors before have 2"));
        assert!(reason(&file(&[&[]])).starts_with(":1: length: is 0"));
        assert!(reason(&(-1i32).to_le_bytes()).starts_with(":1: length: is -1"));
    }

    #[test]
    fn a_length_that_the_file_does_not_hold_allocates_nothing() {
        let mut bytes = file(&[&[1.0, 2.0]]);
        bytes[..4].copy_from_slice(&i32::MAX.to_le_bytes());
        assert!(reason(&bytes).contains("has 12 bytes, which are not whole vectors of 2147483647 values"));
        assert!(matches!(read_bytes(&[]), Err(Error::NoData { .. })));
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_a_matrix_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(matrix) = read_bytes(&bytes) {
                prop_assert_eq!(bytes.len(), matrix.rows() * (4 + 4 * matrix.dim()));
            }
        }
    }
}
