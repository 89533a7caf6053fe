//! `savor import KIND FILE…`: files into the store, streaming; with `--url` into a server, in requests of moderate size.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::args::{ImportArgs, RecordKind};
use crate::cli::bars::Bars;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::output::tell;
use crate::cli::remote::Remote;
use crate::cli::render::imported;
use crate::cli::settings::{Setting, replaced, value};
use crate::cli::signals::Stop;
use crate::engine::{Engine, Put};
use crate::error::Error;
use crate::ingest::{self, ImportOptions, Kind, Mapping, Row, Sink, Source, Summary, Written};
use crate::record::{Event, Item, User};

/// A server takes bodies of some MiB; lines are sent when they reach this.
const REQUEST_BYTES: usize = 1 << 20;

pub fn run(context: &Context, args: ImportArgs) -> Result<(), Failure> {
    if args.rejects.is_some() && args.files.len() > 1 {
        return Err(Failure::Usage("--rejects names one file, but several are imported; leave it out".into()));
    }
    let kind = match args.kind {
        RecordKind::Items => Kind::Items,
        RecordKind::Users => Kind::Users,
        RecordKind::Events => Kind::Events,
    };
    let mapping = mapping(&args)?;
    let source = |path: &PathBuf| Source { path: path.clone(), format: context.files, mapping: mapping.clone() };
    let sources: Vec<Source> = args.files.iter().map(source).collect();
    let target = match context.remote()? {
        Some(remote) => Target::There(remote),
        None => Target::Here(Box::new(context.open_or_create()?)),
    };
    let stop = Stop::on_signal()?;
    if args.strict && sources.len() > 1 {
        sources.iter().try_for_each(|source| all_good(source, kind, &stop))?;
    }
    let mut hopeless = false;
    for source in &sources {
        let rejects = args.rejects.clone().unwrap_or_else(|| rejects_of(&source.path));
        let options = ImportOptions { strict: args.strict, rejects: Some(rejects), ..ImportOptions::default() };
        let bars = Bars::new(stop.clone());
        let summary = target.import(kind, source, &options, &bars)?;
        bars.finish();
        hopeless |= summary.rejected > 0 && summary.rejected == summary.read;
        context.output.show(&summary, |summary| imported::table(summary, &source.path))?;
        if context.output.is_table() {
            summary.first_errors.iter().for_each(|error| tell(error));
        }
    }
    // A file of which nothing at all could be used is not what the user meant.
    if hopeless { Err(Failure::Shown) } else { Ok(()) }
}

/// The mapping's file with the single options in place.
fn mapping(args: &ImportArgs) -> Result<Mapping, Failure> {
    let file = args.mapping.as_ref().map_or_else(|| Ok(Mapping::default()), Mapping::from_file)?;
    let room = match args.kind {
        RecordKind::Items => "items",
        RecordKind::Users => "users",
        RecordKind::Events => "events",
    };
    let mut settings = Vec::new();
    for field in &args.map {
        let Some((field, column)) = field.split_once('=') else {
            return Err(Failure::Usage(format!("--map {field}: expected field=column, such as user=customer")));
        };
        // A column may be called 1 or true; only a table is more than a name.
        let column = if column.starts_with('{') { value(column) } else { column.into() };
        settings.push(Setting::new(format!("{room}.{field}"), column));
    }
    if let Some(delimiter) = &args.delimiter {
        let delimiter = if matches!(delimiter.as_str(), "\\t" | "tab") { "\t" } else { delimiter };
        settings.push(Setting::new("delimiter", delimiter));
    }
    if args.no_header {
        settings.push(Setting::new("header", false));
    }
    if args.decimal_comma {
        settings.push(Setting::new("decimal_comma", true));
    }
    replaced(file, settings, Mapping::validate)
}

/// Where bad rows of a file go: beside the user, not beside the file, whose folder may be read-only.
fn rejects_of(path: &Path) -> PathBuf {
    let name = path.file_name().filter(|name| *name != "-").map(|name| name.to_string_lossy().into_owned());
    PathBuf::from(format!("{}.rejects.jsonl", name.as_deref().unwrap_or("stdin")))
}

/// Reads a file to its end, so that of several files none is stored if one is bad.
fn all_good(source: &Source, kind: Kind, stop: &Stop) -> Result<(), Error> {
    for row in ingest::read(source, kind)? {
        if let Row::Rejected(rejected) = row? {
            return Err(rejected.into_error(&source.path));
        }
        if stop.is_set() {
            return Err(Error::Cancelled("import"));
        }
    }
    Ok(())
}

/// Where records go.
enum Target {
    Here(Box<Engine>),
    There(Remote),
}

impl Target {
    fn import(&self, kind: Kind, source: &Source, options: &ImportOptions, bars: &Bars) -> Result<Summary, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.import(kind, source, options, bars)?),
            Self::There(remote) => {
                let mut sink = RemoteSink { remote, failure: None };
                let summary = ingest::import(source, kind, options, &mut sink, bars);
                sink.failure.map_or_else(|| summary.map_err(Failure::from), Err)
            }
        }
    }
}

/// Sends records to a server. What the server says, other than that a record is bad, ends the import.
struct RemoteSink<'a> {
    remote: &'a Remote,
    failure: Option<Failure>,
}

impl RemoteSink<'_> {
    /// Sends records in requests of moderate size; `count` reads the answer to one.
    fn send<T: Serialize, A: for<'de> Deserialize<'de>>(
        &mut self,
        path: &str,
        records: &[T],
        count: impl Fn(A) -> Result<Written, Failure>,
    ) -> Result<Written, Error> {
        let mut written = Written::default();
        let mut lines = Vec::new();
        for (place, record) in records.iter().enumerate() {
            serde_json::to_writer(&mut lines, record).map_err(|error| Error::invalid("", error.to_string()))?;
            lines.push(b'\n');
            if lines.len() < REQUEST_BYTES && place + 1 < records.len() {
                continue;
            }
            let answer =
                self.remote.post_lines(path, std::mem::take(&mut lines)).map_err(|failure| self.note(failure))?;
            let Written { stored, known } = count(answer).map_err(|failure| self.note(failure))?;
            written.stored += stored;
            written.known += known;
        }
        Ok(written)
    }

    fn note(&mut self, failure: Failure) -> Error {
        match failure {
            Failure::Server { code, detail } if code == "invalid" => Error::invalid("", detail),
            failure => {
                self.failure = Some(failure);
                Error::Cancelled("import")
            }
        }
    }
}

impl Sink for RemoteSink<'_> {
    fn write_events(&mut self, events: &[Event]) -> Result<Written, Error> {
        #[derive(Deserialize)]
        struct Accepted {
            accepted: u64,
            duplicates: u64,
            rejected: Vec<Rejected>,
        }
        #[derive(Deserialize)]
        struct Rejected {
            code: String,
            reason: String,
        }
        // They were good here: what the server refuses of them, it has no room for, and that ends the import.
        let count = |answer: Accepted| match answer.rejected.into_iter().next() {
            None => Ok(Written { stored: answer.accepted, known: answer.duplicates }),
            Some(Rejected { code, reason }) => Err(Failure::Server { code, detail: reason }),
        };
        self.send("/v1/events", events, count)
    }

    fn write_items(&mut self, items: &[Item]) -> Result<Written, Error> {
        self.send("/v1/items", items, upserted)
    }

    fn write_users(&mut self, users: &[User]) -> Result<Written, Error> {
        self.send("/v1/users", users, upserted)
    }

    fn finish(&mut self) -> Result<(), Error> {
        // The server has acknowledged each request.
        Ok(())
    }
}

fn upserted(put: Put) -> Result<Written, Failure> {
    Ok(Written { stored: put.created + put.changed, known: put.unchanged })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_rows_go_to_the_working_directory() {
        assert_eq!(rejects_of(Path::new("/mnt/read-only/a.csv.gz")), PathBuf::from("a.csv.gz.rejects.jsonl"));
        assert_eq!(rejects_of(Path::new("-")), PathBuf::from("stdin.rejects.jsonl"));
    }
}
