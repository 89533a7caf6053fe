//! Vectors from files, for building an index offline: NumPy's `.npy`, the `.fvecs` of the nearest-neighbour benchmarks, and a
//! list column of a Parquet file. Every reader gives all vectors at once, as an index needs them so, and allocates for what
//! the file holds and not for what its header claims. A file that is not as expected is an error with row and reason.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod fvecs;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;

use std::path::Path;

use crate::error::{Error, Result};
use crate::linalg::Matrix;

/// Vectors with, where the file names them, their ids.
#[derive(Debug)]
pub struct Vectors {
    /// `[n, dim]`, all values finite.
    pub rows: Matrix,
    /// The id of each row, as text; absent if the file has none or none were asked for.
    pub ids: Option<Vec<String>>,
}

/// Which columns of a Parquet file to read; other formats have no columns.
#[derive(Clone, Debug)]
pub struct VectorColumns {
    /// A column of lists of floating-point numbers.
    pub vector: String,
    /// A column of strings or whole numbers.
    pub id: Option<String>,
}

/// Reads a file by its extension: `.npy`, `.fvecs`, `.parquet`. Errors: another extension or a file that is not of its format
/// (`Invalid`, naming the file), a bad row (`BadRow`, rows counted from 1), no vectors where the length cannot be known
/// (`NoData`), `Io`.
pub fn read_vectors(path: &Path, columns: &VectorColumns) -> Result<Vectors> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "npy" => npy::read(path).map(|rows| Vectors { rows, ids: None }),
        "fvecs" => fvecs::read(path).map(|rows| Vectors { rows, ids: None }),
        #[cfg(feature = "parquet")]
        "parquet" => parquet::read(path, columns),
        #[cfg(not(feature = "parquet"))]
        "parquet" => {
            let reason = format!(
                "column {:?}: this build reads no Parquet; build it with the feature `parquet`",
                columns.vector
            );
            Err(malformed(path, reason))
        }
        _ => Err(malformed(path, "is no vector file; expected .npy, .fvecs or .parquet")),
    }
}

/// An error about the file as a whole.
fn malformed(path: &Path, reason: impl Into<String>) -> Error {
    Error::invalid(path.display().to_string(), reason)
}

/// An error about one row, counted from 0 here and from 1 in the message.
fn bad_row(path: &Path, row: usize, field: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::BadRow { file: path.to_path_buf(), line: row as u64 + 1, field: field.into(), reason: reason.into() }
}

/// Refuses a value that no vector may have.
fn finite(path: &Path, row: usize, at: usize, value: f32) -> Result<f32> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(bad_row(path, row, format!("value {at}"), format!("is {value}, expected a finite 32-bit number")))
    }
}

/// `count` numbers of `size` bytes decoded from `reader`, which is known to hold them, a few at a time; vectors of `dim`.
fn numbers(
    path: &Path,
    mut reader: impl std::io::Read,
    (count, dim): (usize, usize),
    size: usize,
    decode: impl Fn(&[u8]) -> f32,
) -> Result<Vec<f32>> {
    let mut values = Vec::with_capacity(count);
    let mut buffer = vec![0; size * 8192.min(count)];
    while values.len() < count {
        let take = size * 8192.min(count - values.len());
        let bytes = &mut buffer[..take];
        reader.read_exact(bytes).map_err(Error::io(path))?;
        for number in bytes.chunks_exact(size) {
            let at = values.len();
            values.push(finite(path, at / dim, at % dim, decode(number))?);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_no_known_kind_is_refused_by_name() {
        let columns = VectorColumns { vector: "vector".into(), id: None };
        let error = read_vectors(Path::new("vectors.txt"), &columns).unwrap_err();
        assert_eq!(error.to_string(), "vectors.txt: is no vector file; expected .npy, .fvecs or .parquet");
        assert!(matches!(read_vectors(Path::new("missing.npy"), &columns), Err(Error::Io { .. })));
    }
}
