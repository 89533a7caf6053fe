//! The REST server over real connections, on a real engine in a directory of its own: what a client in another language can
//! rely on.

// A test that cannot go on says where.
#![allow(clippy::unwrap_used)]

mod access;
mod attacks;
mod audit;
mod client;
mod experiments;
mod filters;
mod hostile_mixtures;
mod hostile_text;
mod hostile_wire;
mod limits;
mod operations;
mod oracles;
mod overload;
mod protocol;
mod questions;
mod records;
mod revoked;
mod scenarios;
mod server;
mod tenants;
mod tls;
