//! The one error of the crate: every failure that a caller can meet, as an enum to match on. A message names the thing,
//! the place and the remedy; [`Error::code`] is the stable word that faces show to machines.

use std::path::{Path, PathBuf};

/// A result whose error is Savor's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong. Variants may be added; match with a wildcard arm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value given by the caller is not acceptable. Nothing was changed.
    #[error("{field}: {reason}")]
    Invalid {
        /// The offending field, as a path: `events[3].user`, `train.dimension`.
        field: String,
        /// What is wrong with it and what is expected.
        reason: String,
    },

    /// One row of an input file cannot be read as a record.
    #[error("{}:{line}: {field}: {reason}", file.display())]
    BadRow {
        /// The file.
        file: PathBuf,
        /// The line (CSV, JSON Lines) or row (Parquet), counted from 1.
        line: u64,
        /// The offending column or field.
        field: String,
        /// What is wrong with it and what is expected.
        reason: String,
    },

    /// The thing asked for does not exist.
    #[error("no {kind} \"{id}\"")]
    NotFound {
        /// What kind of thing: `user`, `item`, `snapshot`, `job`, `space`.
        kind: &'static str,
        /// Its id.
        id: String,
    },

    /// The thing is in a state that does not allow the operation.
    #[error("{0}")]
    Conflict(String),

    /// Another process (or another `Engine` in this one) holds the data directory.
    #[error("{} is in use by {holder}; stop it, or send the command there with --url", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Who holds it, as far as the lock file tells: process id and address.
        holder: String,
    },

    /// The directory holds something that Savor did not write.
    #[error("{} is not a Savor data directory: {reason}; give an empty or a new directory", path.display())]
    NotSavor {
        /// The directory.
        path: PathBuf,
        /// What was found there.
        reason: String,
    },

    /// The directory, file or bundle was written by a newer Savor.
    #[error("{} has format {found}, this build reads up to {supported}; upgrade Savor", path.display())]
    NewerFormat {
        /// The directory or file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest format version that this build reads.
        supported: u32,
    },

    /// Stored bytes are not what was written: a checksum, a length or a version does not fit.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// The file, column family or record.
        what: String,
        /// How it shows, and what to do.
        reason: String,
    },

    /// There is not enough data for what was asked.
    #[error("{missing}; {remedy}")]
    NoData {
        /// What is missing.
        missing: String,
        /// What would help.
        remedy: String,
    },

    /// A snapshot was built but did not pass its gate; the active one serves on.
    #[error("snapshot {snapshot} did not pass the gate: {reason}")]
    GateFailed {
        /// The rejected snapshot.
        snapshot: u64,
        /// Each failed condition with its numbers.
        reason: String,
    },

    /// A long operation was cancelled by the caller. Nothing of it is visible.
    #[error("{0} was cancelled")]
    Cancelled(&'static str),

    /// A tenant has used up what it may use. Nothing was changed.
    #[error("quota {quota} of tenant \"{tenant}\": {reason}")]
    Quota {
        /// Whose.
        tenant: String,
        /// Which of [`crate::Quotas`], by its name there.
        quota: &'static str,
        /// How much is used, and what would help.
        reason: String,
        /// After so many milliseconds it may be tried again, where time alone helps.
        retry_after_ms: Option<u64>,
    },

    /// A tenant is there and cannot be asked now.
    #[error("tenant \"{tenant}\" is not available: {reason}")]
    Unavailable {
        /// Which.
        tenant: String,
        /// Why.
        reason: String,
    },

    /// An operating-system error at a path.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },

    /// The store takes no writes: the disk is full, read-only or failing. What was acknowledged is kept, and questions are
    /// answered.
    #[error("nothing can be written: {reason}; {remedy}")]
    Unwritable {
        /// What the disk refused, with the file where it is known.
        reason: String,
        /// What would help.
        remedy: &'static str,
    },

    /// The storage engine failed.
    #[error("storage: {operation}: {reason}")]
    Storage {
        /// What was being done.
        operation: &'static str,
        /// What the storage engine said.
        reason: String,
    },
}

impl Error {
    /// Bad input in a named field.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// A damaged file, family or record.
    pub fn corrupt(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), reason: reason.into() }
    }

    /// Too little data, with the remedy.
    pub fn no_data(missing: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::NoData { missing: missing.into(), remedy: remedy.into() }
    }

    /// A missing thing.
    pub fn not_found(kind: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { kind, id: id.into() }
    }

    /// For `map_err` on file operations: names the path.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// The same error with its field placed inside an outer one: `user` in `events[3]` is `events[3].user`.
    pub fn within(self, outer: &str) -> Self {
        match self {
            Self::Invalid { field, reason } if field.is_empty() => Self::invalid(outer, reason),
            Self::Invalid { field, reason } => Self::invalid(format!("{outer}.{field}"), reason),
            other => other,
        }
    }

    /// The stable machine-readable code of this error, as the REST server and `--format json` show it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::BadRow { .. } => "bad_row",
            Self::NotFound { .. } => "not_found",
            Self::Conflict(_) => "conflict",
            Self::Locked { .. } => "locked",
            Self::NotSavor { .. } => "not_savor",
            Self::NewerFormat { .. } => "newer_format",
            Self::Corrupt { .. } => "corrupt",
            Self::NoData { .. } => "no_data",
            Self::GateFailed { .. } => "gate_failed",
            Self::Cancelled(_) => "cancelled",
            Self::Quota { retry_after_ms: None, .. } => "quota_exceeded",
            Self::Quota { .. } => "quota_rate",
            Self::Unavailable { .. } => "tenant_unavailable",
            Self::Io { .. } => "io",
            Self::Unwritable { .. } => "unwritable",
            Self::Storage { .. } => "storage",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_field_is_named_by_its_whole_path() {
        let error = Error::invalid("user", "is empty").within("events[3]");
        assert_eq!(error.to_string(), "events[3].user: is empty");
        assert_eq!(error.code(), "invalid");
    }

    #[test]
    fn a_bad_row_names_file_line_and_field() {
        let error = Error::BadRow {
            file: "items.csv".into(),
            line: 1204,
            field: "price".into(),
            reason: "is \"12,5\", expected a number".into(),
        };
        assert_eq!(error.to_string(), "items.csv:1204: price: is \"12,5\", expected a number");
    }
}
