//! Where results go: tables for people or JSON for programs, on standard output. A reader that has seen enough (`| head`)
//! ends the command quietly.

use std::borrow::Cow;
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
            Format::Table => writeln!(out, "{}", printable(table(value).trim_end_matches('\n')))?,
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
    let _ = writeln!(io::stderr(), "{}", printable(sentence));
}

/// The text without what would command a terminal: ids and attributes are whatever somebody sent.
pub fn printable(text: &str) -> Cow<'_, str> {
    let commands = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    match text.contains(commands) {
        true => Cow::Owned(text.replace(commands, "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// Whether bars may be drawn.
pub fn draws_bars() -> bool {
    io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_commands_the_terminal() {
        let sent = "\u{1b}]0;owned\u{7}a\tb\n\u{9b}2Jc\r";
        assert_eq!(printable(sent), "\u{fffd}]0;owned\u{fffd}a\tb\n\u{fffd}2Jc\u{fffd}");
        assert!(matches!(printable("Crème brûlée\n"), Cow::Borrowed(_)));
    }
}
