//! The command line. Three stages, apart from each other: what was typed (`args`), what it means (`context`,
//! `settings`), what is done about it (`command`, one file each); results are drawn by `render` and nowhere else. Every
//! command works on a data directory here or, with `--url`, through a server. It promises results on standard output
//! and everything else on standard error, and the exit codes 0 done, 1 failed, 2 bad usage.

mod args;
mod bars;
mod command;
mod context;
mod failure;
mod files;
mod liked;
mod lines;
mod logs;
mod output;
mod patch;
mod place;
mod remote;
mod render;
mod settings;
mod signals;
mod titles;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Does what the process's arguments say; the whole of the `savor` binary.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let format = args.common.results();
    let level = args
        .common
        .log
        .clone()
        .unwrap_or_else(|| if matches!(args.command, Command::Serve(_)) { "info".into() } else { "warn".into() });
    let done = logs::start(&level, args.common.log_format).and_then(|()| command::run(args));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(format),
    }
}
