//! How a command fails: what is said on standard error, and the exit code (1 failed, 2 bad usage).

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use super::args::Format;
use super::output::printable;
use crate::error::Error;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// What was typed makes no sense.
    Usage(String),
    /// The engine refused or failed.
    Engine(Error),
    /// The server refused or failed; its code and its words.
    Server { code: String, detail: String },
    /// The server was not reached.
    Unreachable { url: String, reason: String },
    /// The result says itself what is wrong: a check that did not pass.
    Shown,
    /// Standard output failed.
    Output(io::Error),
}

/// What may help where a server was not reached.
fn remedy(url: &str, reason: &str) -> &'static str {
    let is_tls = url.starts_with("https:");
    if reason.contains("certificate") {
        "--ca-file FILE names the certificate to trust, or the one of its authority"
    } else if is_tls && reason.contains("InvalidContentType") {
        "it does not speak TLS: ask by http://"
    } else if !is_tls && reason.contains("HTTP version") {
        "it may speak TLS: ask by https://"
    } else {
        "is `savor serve` running there?"
    }
}

impl Failure {
    /// Says what happened and gives the exit code.
    pub fn report(self, format: Format) -> ExitCode {
        let (code, message) = match &self {
            Self::Shown => return ExitCode::from(1),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Usage(message) => ("usage", message.clone()),
            Self::Engine(error) => (error.code(), error.to_string()),
            Self::Server { code, detail } => (code.as_str(), detail.clone()),
            Self::Unreachable { url, reason } => {
                ("unreachable", format!("no Savor server answers at {url}: {reason}; {}", remedy(url, reason)))
            }
            Self::Output(error) => ("io", format!("standard output: {error}")),
        };
        let line = match format {
            Format::Table => format!("savor: {}", printable(&message)),
            Format::Json => json!({"error": {"code": code, "message": message}}).to_string(),
        };
        let _ = writeln!(io::stderr(), "{line}");
        ExitCode::from(if matches!(self, Self::Usage(_)) { 2 } else { 1 })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
