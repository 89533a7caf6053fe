//! The log: structured events on standard error, never among the results.

use std::io;

use tracing_subscriber::EnvFilter;

use super::args::LogFormat;
use super::failure::Failure;

/// Starts logging what the directives let through: `info`, or `savor=debug,warn` in the language of tracing.
pub fn start(directives: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| Failure::Usage(format!("--log {directives}: {error}; try info, or savor=debug,warn")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    let started = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::Usage(format!("--log: {error}")))
}
