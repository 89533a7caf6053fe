//! The binary as a user starts it.

use std::path::Path;
use std::process::{Command, Stdio};

/// `savor` with these words in the folder `dir`, whose data are in `data` there; no setting comes from outside.
pub fn savor(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_savor"));
    command
        .args(args)
        .env_remove("RUST_LOG")
        .env_remove("SAVOR_API_KEY")
        .env("SAVOR_DATA", dir.join("data"))
        .current_dir(dir)
        .stdin(Stdio::null());
    command
}
