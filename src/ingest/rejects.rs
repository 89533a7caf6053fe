//! The rejects file: each bad row as one line of JSON ([`Rejected`]), so that it can be mended and imported again. The
//! file is made when the first row is rejected.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::Rejected;
use crate::error::{Error, Result};

/// Writes rejected rows, if somewhere is given to write them to.
pub(super) struct Rejects {
    path: Option<PathBuf>,
    file: Option<BufWriter<File>>,
}

impl Rejects {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, file: None }
    }

    /// Writes one row; the first makes the file anew.
    pub fn write(&mut self, rejected: &Rejected) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::new(File::create(path).map_err(Error::io(path))?)),
        };
        serde_json::to_writer(&mut *file, rejected).map_err(|error| Error::io(path)(error.into()))?;
        file.write_all(b"\n").map_err(Error::io(path))
    }

    /// Flushes what was written; the file, if there is one.
    pub fn finish(self) -> Result<Option<PathBuf>> {
        let (Some(mut file), Some(path)) = (self.file, self.path) else { return Ok(None) };
        file.flush().map_err(Error::io(&path))?;
        Ok(Some(path))
    }
}
