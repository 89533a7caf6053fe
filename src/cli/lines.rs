//! JSON Lines, to a file or to standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::failure::Failure;
use super::output::tell;
use super::render::count;
use crate::error::Error;

/// Where the lines go.
pub struct Lines {
    path: Option<PathBuf>,
    out: BufWriter<Box<dyn Write>>,
    lines: u64,
}

impl Lines {
    /// To a file, or to standard output.
    pub fn new(path: Option<PathBuf>) -> Result<Self, Failure> {
        let out: Box<dyn Write> = match &path {
            Some(path) => Box::new(File::create(path).map_err(Error::io(path))?),
            None => Box::new(io::stdout()),
        };
        Ok(Self { path, out: BufWriter::with_capacity(1 << 16, out), lines: 0 })
    }

    /// One record, one line.
    pub fn write<T: Serialize>(&mut self, record: &T) -> Result<(), Failure> {
        let line = serde_json::to_vec(record).map_err(io::Error::from)?;
        self.lines += 1;
        let written = self.out.write_all(&line).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|error| named(self.path.as_deref(), error))
    }

    /// Says how many there were, where they went to a file.
    pub fn finish(mut self, what: &str) -> Result<(), Failure> {
        self.out.flush().map_err(|error| named(self.path.as_deref(), error))?;
        if let Some(path) = &self.path {
            tell(&format!("{} {what} written to {}", count(self.lines), path.display()));
        }
        Ok(())
    }
}

fn named(path: Option<&Path>, error: io::Error) -> Failure {
    match path {
        Some(path) => Error::io(path)(error).into(),
        None => Failure::Output(error),
    }
}
