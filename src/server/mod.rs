//! The REST server: the engine over HTTP/1.1 and JSON, for services that are not written in Rust. It promises that bad
//! input is answered with a problem that names the field, that no client can hold it up (slow, huge or numerous requests are
//! cut off or turned away), that nobody is let in who has no key for it, and that a stop lets requests in flight finish. It listens
//! where the configuration says, loopback by default, and beyond that only with keys. Opening and closing the engine are the
//! caller's.

mod access;
mod admission;
mod app;
mod body;
mod budget;
mod call;
mod connections;
mod context;
mod descriptors;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
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
mod tenancy;
#[cfg(test)]
mod tests;
mod tls;
mod webhook;

use std::time::Duration;

pub use listener::{Server, serve};
pub use openapi::document as openapi;
pub use schemas::schemas;
pub use tls::Certificates;

use crate::record::Span;

/// A configured span as a time to wait: a millisecond to a day.
fn wait(span: Span) -> Duration {
    Duration::from_millis(span.millis().clamp(1, 86_400_000).unsigned_abs())
}
