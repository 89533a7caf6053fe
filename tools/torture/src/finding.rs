//! What must not be seen after a kill, in the kinds that are counted.

use std::fmt;

use crate::Failure;

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// So many records are not as they were acknowledged: gone, others, or back after their deletion.
    Lost(u64),
    /// A directory could not be opened or read, or a command on it failed.
    FailedOpen,
    /// Something is half there.
    Mixed,
    /// Savor panicked, or ended by itself.
    Panic,
    /// A running Savor refused what is valid, or told a wrong number.
    WrongAnswer,
}

/// One of them, with what was seen.
#[derive(Debug)]
pub struct Finding {
    pub kind: Kind,
    pub what: String,
}

impl Finding {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    /// The finding that an error is. Errors: it is none, and the torture itself cannot go on.
    pub fn of(error: Failure) -> crate::Result<Self> {
        match error.downcast::<Self>() {
            Ok(finding) => Ok(*finding),
            // What the engine says when it is opened, read or restored after a kill.
            Err(error) => error.downcast::<savor::Error>().map(|error| Self::new(Kind::FailedOpen, error.to_string())),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?}: {}", self.kind, self.what)
    }
}

impl std::error::Error for Finding {}

/// For `return`: a state that is half there.
pub fn mixed<T>(what: impl Into<String>) -> crate::Result<T> {
    Err(Finding::new(Kind::Mixed, what).into())
}

/// For `return`: an answer of a running Savor that is wrong.
pub fn wrong_answer<T>(what: impl Into<String>) -> crate::Result<T> {
    Err(Finding::new(Kind::WrongAnswer, what).into())
}
