//! The REST server: the engine over HTTP/1.1 and JSON, for services that are not written in Rust. It promises that bad
//! input is answered with a problem that names the field, that no client can hold it up (slow, huge or numerous requests are
//! cut off or turned away), and that a stop lets requests in flight finish. It listens where the configuration says,
//! loopback by default: authentication and TLS are left to a proxy in front. Opening and closing the engine are the
//! caller's.

mod admission;
mod app;
mod body;
mod call;
mod connections;
mod context;
mod descriptors;
mod gate;
mod limit;
mod listener;
mod load;
mod metrics;
mod openapi;
mod problem;
mod records;
mod reply;
mod route;
mod routes;
mod schemas;
mod stall;
mod steward;
mod table;
#[cfg(test)]
mod tests;
mod webhook;

use std::time::Duration;

pub use listener::{Server, serve};
pub use openapi::document as openapi;
pub use schemas::schemas;

use crate::record::Span;

/// A configured span as a time to wait: a millisecond to a day.
fn wait(span: Span) -> Duration {
    Duration::from_millis(span.millis().clamp(1, 86_400_000).unsigned_abs())
}
