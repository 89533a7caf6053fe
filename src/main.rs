//! The `savor` binary: see `savor --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    savor::cli::main()
}
