//! The rooms of Savor that hold unsafe code, and what reads their files, compiled alone.

#![allow(dead_code, unused_imports)]

#[path = "../../../src/config/mod.rs"]
mod config;
#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/fault.rs"]
mod fault;
#[path = "../../../src/index/mod.rs"]
pub mod index;
#[path = "../../../src/linalg/mod.rs"]
mod linalg;
#[path = "../../../src/progress.rs"]
mod progress;
#[path = "../../../src/record/mod.rs"]
mod record;
#[path = "../../../src/snapshot/sections.rs"]
pub mod sections;

pub use error::{Error, Result};
