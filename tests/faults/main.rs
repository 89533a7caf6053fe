//! A disk and a clock that fail: the real binary with a shim between it and the system, and every kind of file with bytes
//! changed, cut off or gone. Each fault ends in a recovery or in an error that names the file and the remedy; what was
//! acknowledged is there, and questions are answered as long as there is something to answer from.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "../http/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../support/command.rs"]
mod command;
mod damage;
mod disk;
#[path = "../../tools/torture/shim.rs"]
mod orders;
#[path = "../cli/place.rs"]
#[allow(dead_code)]
mod place;
mod shim;
