//! Bundles from vectors that were learned elsewhere: what `index-build` makes without a data directory.

use std::path::{Path, PathBuf};

use crate::config::{Config, Metric};
use crate::error::{Error, Result};
use crate::index::VectorIndex;
use crate::ingest::vectors::{VectorColumns, Vectors, read_vectors};
use crate::progress::Progress;
use crate::record::validate_id;
use crate::snapshot::write_vectors;

/// A file of vectors, one for each id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorFile {
    /// A `.npy`, `.fvecs` or `.parquet` file.
    pub path: PathBuf,
    /// A text file with one id a line, in the order of the vectors; without it the ids are those of the Parquet file, or
    /// the numbers of the rows from 0.
    pub ids: Option<PathBuf>,
    /// The column of the vectors, in a Parquet file.
    pub vector_column: String,
    /// The column of the ids, in a Parquet file.
    pub id_column: Option<String>,
}

/// What a bundle holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundled {
    /// Items with a vector.
    pub items: usize,
    /// Users with a vector.
    pub users: usize,
    /// Length of the vectors.
    pub dimension: usize,
    /// How the items are searched, and why so.
    pub why: String,
}

/// Indexes item vectors by inner product and writes them as a bundle that [`crate::Engine::import_snapshot`] takes, with
/// user vectors if there are any. New histories are folded in with the weights of `config.train`; where these are left to
/// the data (0), which is not known here, with α₀ = 0.05 and λ = 0.003. The bundle appears when it is
/// complete. Errors: [`Error::Invalid`] for ids that do not fit the vectors, and those of the files' formats.
pub fn build_bundle(
    items: &VectorFile,
    users: Option<&VectorFile>,
    config: &Config,
    to: &Path,
    progress: &dyn Progress,
) -> Result<Bundled> {
    config.validate()?;
    let (item_ids, items) = read(items)?;
    let (dimension, users) = (items.rows.dim(), users.map(read).transpose()?);
    if let Some((_, users)) = &users
        && users.rows.dim() != dimension
    {
        let reason = format!("have {} numbers each, the items' have {dimension}", users.rows.dim());
        return Err(Error::invalid("the users' vectors", reason));
    }
    let queries = users.as_ref().map(|(_, users)| users.rows.as_rows());
    let index = VectorIndex::of(items.rows, Metric::Dot, &config.index, queries, progress)?;
    let named = users.as_ref().map(|(ids, users)| (&ids[..], users.rows.as_rows()));
    let mut train = config.train.clone();
    for (weight, otherwise) in [(&mut train.unobserved_weight, 0.05), (&mut train.regularization, 0.003)] {
        if *weight == 0.0 {
            *weight = otherwise;
        }
    }
    write_vectors(to, &index, &item_ids, named, &train)?;
    Ok(Bundled {
        items: item_ids.len(),
        users: users.map_or(0, |(ids, _)| ids.len()),
        dimension,
        why: index.plan().why.clone(),
    })
}

fn read(file: &VectorFile) -> Result<(Vec<String>, Vectors)> {
    let columns = VectorColumns { vector: file.vector_column.clone(), id: file.id_column.clone() };
    let mut vectors = read_vectors(&file.path, &columns)?;
    let count = vectors.rows.rows();
    let (source, ids) = match (&file.ids, vectors.ids.take()) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
            (path, text.lines().map(str::to_owned).collect())
        }
        (None, Some(ids)) => (&file.path, ids),
        (None, None) => (&file.path, (0..count).map(|row| row.to_string()).collect::<Vec<_>>()),
    };
    if ids.len() != count {
        let reason = format!("has {} ids for {count} vectors in {}", ids.len(), file.path.display());
        return Err(Error::invalid(source.display().to_string(), reason));
    }
    for (row, id) in ids.iter().enumerate() {
        validate_id(&format!("{}:{}", source.display(), row + 1), id)?;
    }
    Ok((ids, vectors))
}
