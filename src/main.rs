//! The `savor` binary: see `savor --help`.

use std::process::ExitCode;

// What a library is embedded in chooses its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    savor::cli::main()
}
