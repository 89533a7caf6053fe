//! Where results go: tables for people or JSON for programs, on standard output. A reader that has seen enough (`| head`)
//! ends the command quietly.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::args::Format;
use super::failure::Failure;

/// Writes results in the wanted format.
#[derive(Clone, Copy, Debug)]
pub struct Output(Format);

impl Output {
    /// Writes in this format.
    pub fn new(format: Format) -> Self {
        Self(format)
    }

    /// Whether people read the results.
    pub fn is_table(self) -> bool {
        self.0 == Format::Table
    }

    /// Shows a result: as one line of JSON, exactly as serde writes it, or as the text that `table` makes of it.
    pub fn show<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match self.0 {
            Format::Table => writeln!(out, "{}", table(value).trim_end_matches('\n'))?,
            Format::Json => writeln!(out, "{}", serde_json::to_string(value).map_err(io::Error::from)?)?,
        }
        Ok(out.flush()?)
    }

    /// Says in a sentence what was done; programs get the value.
    pub fn done<T: Serialize>(self, value: &T, sentence: impl AsRef<str>) -> Result<(), Failure> {
        self.show(value, |_| sentence.as_ref().to_owned())
    }
}

/// Tells people something beside the results, on standard error. Nobody listening there is no failure.
pub fn tell(sentence: &str) {
    let _ = writeln!(io::stderr(), "{sentence}");
}

/// Whether bars may be drawn.
pub fn draws_bars() -> bool {
    io::stderr().is_terminal()
}
