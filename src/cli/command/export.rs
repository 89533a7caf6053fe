//! `savor export KIND`: everything of a kind as JSON Lines, in the form that `savor import` reads. Items and users come in
//! the order of their ids, events in the order of time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::args::{ExportArgs, RecordKind};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::output::tell;
use crate::cli::place::LARGEST_PAGE;
use crate::cli::render::count;
use crate::engine::Page;
use crate::error::Error;
use crate::record::{Item, User};

pub fn run(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let mut sink = Sink::new(args.output)?;
    match args.kind {
        RecordKind::Items => {
            let place = context.place()?;
            each(|cursor| place.items(cursor, LARGEST_PAGE), |item: &Item| sink.write(item))?;
        }
        RecordKind::Users => {
            let place = context.place()?;
            each(|cursor| place.users(cursor, LARGEST_PAGE), |user: &User| sink.write(user))?;
        }
        RecordKind::Events => {
            let mut failure = None;
            let read = context.open()?.for_each_event(&mut |event| {
                sink.write(event).map_err(|error| {
                    failure = Some(error);
                    Error::Cancelled("export")
                })
            });
            failure.map_or_else(|| read.map_err(Failure::from), Err)?;
        }
    }
    sink.finish(args.kind)
}

/// Every entry of a listing, page by page.
fn each<T>(
    page: impl Fn(Option<&str>) -> Result<Page<T>, Failure>,
    mut entry: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut cursor: Option<String> = None;
    loop {
        let page = page(cursor.as_deref())?;
        page.entries.iter().try_for_each(&mut entry)?;
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// Where the lines go.
struct Sink {
    path: Option<PathBuf>,
    out: BufWriter<Box<dyn Write>>,
    lines: u64,
}

impl Sink {
    fn new(path: Option<PathBuf>) -> Result<Self, Failure> {
        let out: Box<dyn Write> = match &path {
            Some(path) => Box::new(File::create(path).map_err(Error::io(path))?),
            None => Box::new(io::stdout()),
        };
        Ok(Self { path, out: BufWriter::with_capacity(1 << 16, out), lines: 0 })
    }

    fn write<T: Serialize>(&mut self, record: &T) -> Result<(), Failure> {
        let line = serde_json::to_vec(record).map_err(io::Error::from)?;
        self.lines += 1;
        let written = self.out.write_all(&line).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|error| named(self.path.as_deref(), error))
    }

    fn finish(mut self, kind: RecordKind) -> Result<(), Failure> {
        self.out.flush().map_err(|error| named(self.path.as_deref(), error))?;
        if let Some(path) = &self.path {
            let what = match kind {
                RecordKind::Items => "items",
                RecordKind::Users => "users",
                RecordKind::Events => "events",
            };
            tell(&format!("{} {what} written to {}", count(self.lines), path.display()));
        }
        Ok(())
    }
}

fn named(path: Option<&Path>, error: io::Error) -> Failure {
    match path {
        Some(path) => Error::io(path)(error).into(),
        None => Failure::Output(error),
    }
}
