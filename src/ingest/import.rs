//! Importing: rows are read and checked on a thread of their own and come in batches over a short channel to the
//! caller's thread, which gives them to the sink. Memory is bounded by a few batches, whatever the size of the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rejects::Rejects;
use super::{Kind, Record, Rejected, Row, Rows, Source, read};
use crate::error::{Error, Result};
use crate::progress::{Progress, Step};
use crate::record::{Event, Item, Timestamp, User};

/// Takes records in, in order; the engine implements it over the store. A call may leave its records in memory until
/// [`Sink::finish`].
pub trait Sink {
    /// Takes events.
    fn write_events(&mut self, events: &[Event]) -> Result<Written>;
    /// Takes whole items in place of what was known of them.
    fn write_items(&mut self, items: &[Item]) -> Result<Written>;
    /// Takes whole users in place of what was known of them.
    fn write_users(&mut self, users: &[User]) -> Result<Written>;
    /// Makes what was taken durable. Called once at the end, also after a failure or a cancellation.
    fn finish(&mut self) -> Result<()>;
}

/// What became of the records of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Written {
    /// New or changed.
    pub stored: u64,
    /// Known already, just so.
    pub known: u64,
}

/// How to import.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportOptions {
    /// Reads the whole input once before anything is stored, and stops at the first bad row; what only the sink can tell
    /// is not foreseen. Not for standard input.
    pub strict: bool,
    /// Where bad rows go, as lines of JSON; nowhere if absent. Made anew if there is one to write.
    pub rejects: Option<PathBuf>,
    /// The largest number of records in one write.
    pub batch: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { strict: false, rejects: None, batch: 32_768 }
    }
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Rows read; those of an adjacency list are its pairs.
    pub read: u64,
    /// Records that are new or changed.
    pub stored: u64,
    /// Records that were known already.
    pub known: u64,
    /// Rows that could not be stored.
    pub rejected: u64,
    /// Events without a time, which count as of 1970-01-01.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub untimed: u64,
    /// How many events are of which type, of the first hundred types.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, u64>,
    /// The errors of the first ten of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_errors: Vec<String>,
    /// The file in which they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<PathBuf>,
    /// Columns that no field was read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored_columns: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

fn is_nothing(count: &u64) -> bool {
    *count == 0
}

const FIRST_ERRORS: usize = 10;
/// Types of events that are told of.
const MOST_TYPES: usize = 100;
/// A batch is full at so many bytes of input, too: a thousand vectors weigh more than a thousand clicks.
const BATCH_BYTES: u64 = 4 << 20;
/// Batches that may wait for the sink.
const WAITING: usize = 3;
/// How often a waiting import looks whether it is cancelled.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reads a source into a sink. Bad rows are counted, written to the rejects file, and the rest goes on; a row that the
/// sink refuses with [`Error::Invalid`] is a bad row, too.
///
/// When cancelled, or when the source or the sink fails, what was stored until then stays and is durable. Doing it again
/// stores nothing twice.
pub fn import(
    source: &Source,
    kind: Kind,
    options: &ImportOptions,
    sink: &mut dyn Sink,
    progress: &dyn Progress,
) -> Result<Summary> {
    let started = Instant::now();
    if options.strict {
        if source.is_stdin() {
            return Err(Error::invalid("strict", "reads the input twice, which standard input does not allow"));
        }
        check(source, kind, progress)?;
    }
    let mut storing = Storing {
        file: &source.path,
        sink,
        rejects: Rejects::new(options.rejects.clone()),
        summary: Summary::default(),
    };
    let outcome = run(source, kind, options, &mut storing, progress);
    let finished = storing.sink.finish();
    let rejects = storing.rejects.finish();
    outcome?;
    finished?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Summary { rejects: rejects?, seconds, ..storing.summary })
}

/// Reads all rows and stops at the first bad one.
fn check(source: &Source, kind: Kind, progress: &dyn Progress) -> Result<()> {
    const ASK_EVERY: u64 = 4096;
    for (row, number) in read(source, kind)?.zip(0u64..) {
        if let Row::Rejected(rejected) = row? {
            return Err(rejected.into_error(&source.path));
        }
        if number % ASK_EVERY == 0 && progress.cancelled() {
            return Err(Error::Cancelled("import"));
        }
    }
    Ok(())
}

fn run(
    source: &Source,
    kind: Kind,
    options: &ImportOptions,
    storing: &mut Storing<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let rows = read(source, kind)?;
    let total = rows.total_bytes();
    let (sender, receiver) = sync_channel(WAITING);
    let limit = options.batch.max(1);
    // Not a scoped thread: one that waits for standard input must not hold up a cancelled import.
    let reading = thread::Builder::new()
        .name("savor-ingest".into())
        .spawn(move || send_batches(rows, kind, limit, &sender))
        .map_err(Error::io(&source.path))?;
    while let Some(batch) = next_batch(&receiver, progress)? {
        let batch = batch?;
        storing.store(&batch)?;
        progress.report(&Step::Importing {
            rows: storing.summary.read,
            rejected: storing.summary.rejected,
            bytes: batch.bytes,
            total_bytes: total,
        });
        storing.summary.untimed += batch.untimed;
        add_types(&mut storing.summary.types, &batch.types);
        storing.summary.ignored_columns = batch.ignored;
    }
    reading.join().map_err(|_| Error::corrupt(source.path.display().to_string(), "its reader failed on it"))
}

fn add_types(types: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    more.iter().for_each(|(kind, count)| count_type(types, kind, *count));
}

fn count_type(types: &mut BTreeMap<String, u64>, kind: &str, count: u64) {
    if let Some(known) = types.get_mut(kind) {
        *known += count;
    } else if types.len() < MOST_TYPES {
        types.insert(kind.to_owned(), count);
    }
}

/// Waits for a batch; `None` when there are no more.
fn next_batch(receiver: &Receiver<Result<Batch>>, progress: &dyn Progress) -> Result<Option<Result<Batch>>> {
    loop {
        if progress.cancelled() {
            return Err(Error::Cancelled("import"));
        }
        match receiver.recv_timeout(PATIENCE) {
            Ok(batch) => return Ok(Some(batch)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Records of one kind with their lines, and the bad rows between them.
struct Batch {
    records: Records,
    lines: Vec<u64>,
    rejected: Vec<Rejected>,
    /// Bytes of the file that have been read.
    bytes: u64,
    ignored: Vec<String>,
    untimed: u64,
    types: BTreeMap<String, u64>,
}

enum Records {
    Items(Vec<Item>),
    Users(Vec<User>),
    Events(Vec<Event>),
}

impl Batch {
    fn new(kind: Kind, capacity: usize) -> Self {
        let records = match kind {
            Kind::Items => Records::Items(Vec::new()),
            Kind::Users => Records::Users(Vec::new()),
            Kind::Events => Records::Events(Vec::with_capacity(capacity)),
        };
        let (ignored, types) = (Vec::new(), BTreeMap::new());
        Self { records, lines: Vec::new(), rejected: Vec::new(), bytes: 0, ignored, untimed: 0, types }
    }

    fn push(&mut self, row: Row) {
        let (line, record) = match row {
            Row::Record { line, record } => (line, record),
            Row::Rejected(rejected) => return self.rejected.push(rejected),
        };
        match (&mut self.records, record) {
            (Records::Items(items), Record::Item(item)) => items.push(item),
            (Records::Users(users), Record::User(user)) => users.push(user),
            (Records::Events(events), Record::Event(event)) => {
                self.untimed += u64::from(event.time == Some(Timestamp::default()));
                count_type(&mut self.types, &event.kind, 1);
                events.push(event);
            }
            // A reader gives records of the kind that it was opened for.
            _ => return,
        }
        self.lines.push(line);
    }

    fn rows(&self) -> usize {
        self.lines.len() + self.rejected.len()
    }
}

/// Reads until the end, an error, or until nobody listens any more.
fn send_batches(mut rows: Rows, kind: Kind, limit: usize, sender: &SyncSender<Result<Batch>>) {
    let capacity = limit.min(1 << 16);
    loop {
        let mut batch = Batch::new(kind, capacity);
        let weight = rows.weight();
        let mut failure = None;
        while batch.rows() < limit && rows.weight() - weight < BATCH_BYTES {
            match rows.next() {
                Some(Ok(row)) => batch.push(row),
                Some(Err(error)) => {
                    failure = Some(error);
                    break;
                }
                None => break,
            }
        }
        batch.bytes = rows.bytes();
        batch.ignored = rows.ignored();
        let ended = batch.rows() == 0 || failure.is_some();
        if batch.rows() > 0 && sender.send(Ok(batch)).is_err() {
            return;
        }
        if let Some(error) = failure {
            // If nobody listens, nobody wants to know.
            let _ = sender.send(Err(error));
        }
        if ended {
            return;
        }
    }
}

/// The side that stores.
struct Storing<'a> {
    file: &'a Path,
    sink: &'a mut dyn Sink,
    rejects: Rejects,
    summary: Summary,
}

impl Storing<'_> {
    fn store(&mut self, batch: &Batch) -> Result<()> {
        self.summary.read += batch.rows() as u64;
        for rejected in &batch.rejected {
            self.reject(rejected.clone())?;
        }
        match &batch.records {
            Records::Items(items) => self.write(items, &batch.lines, |sink, items| sink.write_items(items)),
            Records::Users(users) => self.write(users, &batch.lines, |sink, users| sink.write_users(users)),
            Records::Events(events) => self.write(events, &batch.lines, |sink, events| sink.write_events(events)),
        }
    }

    /// Writes records at once; if the sink refuses one of them, one by one.
    fn write<T: Serialize>(
        &mut self,
        records: &[T],
        lines: &[u64],
        write: impl Fn(&mut dyn Sink, &[T]) -> Result<Written>,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        match write(self.sink, records) {
            Ok(written) => self.count(written),
            Err(Error::Invalid { .. }) => {
                for (record, line) in records.iter().zip(lines) {
                    match write(self.sink, std::slice::from_ref(record)) {
                        Ok(written) => self.count(written),
                        Err(Error::Invalid { field, reason }) => {
                            let row = serde_json::to_string(record).unwrap_or_default();
                            self.reject(Rejected { line: *line, field, reason, row })?;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn count(&mut self, written: Written) {
        self.summary.stored += written.stored;
        self.summary.known += written.known;
    }

    fn reject(&mut self, rejected: Rejected) -> Result<()> {
        self.rejects.write(&rejected)?;
        self.summary.rejected += 1;
        if self.summary.first_errors.len() < FIRST_ERRORS {
            self.summary.first_errors.push(rejected.into_error(self.file).to_string());
        }
        Ok(())
    }
}
