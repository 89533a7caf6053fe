//! `savor` as it is, built with the feature `fault-points`: it kills itself where `SAVOR_FAULT` says.

use std::process::ExitCode;

fn main() -> ExitCode {
    savor::cli::main()
}
