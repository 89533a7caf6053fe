//! Keeps what was shown. Answers are handed to one thread over a bounded queue, which writes what has gathered for a moment
//! as one batch without a sync: an answer waits neither for the disk nor for another, and wakes nobody. When the queue is full an answer is dropped
//! and counted; when the process crashes, what is in the queue is lost, and by a power cut the last that was written. The
//! same thread removes what is too old or too much ([`Room`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Engine;
use super::departed::{Moment, Since};
use super::room::Room;
use crate::config::{EXPOSURE_BYTES, ExposuresConfig};
use crate::error::{Error, Result};
use crate::recommend::Kept;
use crate::record::{Answer, Exposure, Query, Timestamp};
use crate::store::{ShownAnswer, Store};

/// So many answers are written at once at most.
const BATCH: usize = 512;
/// So many bytes are written at once, but for a single answer that has more: a writer waits no longer for large answers.
const BATCH_BYTES: u64 = 4 << 20;
/// The first of a batch waits so long for others: a thread that woke for each answer would take the processor from those who
/// ask.
const GATHER: Duration = Duration::from_millis(50);

/// The way from answers to the store.
#[derive(Default)]
pub(super) struct Exposures {
    writer: OnceLock<Writer>,
    counts: Arc<Counts>,
}

/// What has become of answers, beside being kept.
#[derive(Default)]
pub(super) struct Counts {
    pub dropped: AtomicU64,
    /// Removed before their time, as there was no room for them.
    pub evicted: AtomicU64,
}

struct Writer {
    queue: SyncSender<Message>,
    thread: JoinHandle<()>,
    waiting: Arc<Waiting>,
}

/// Bytes of the answers that wait or are being written: a few answers may be as large as many.
struct Waiting {
    bytes: AtomicU64,
    most: u64,
}

impl Waiting {
    /// For so many answers.
    fn new(queue: usize) -> Self {
        Self { bytes: AtomicU64::new(0), most: (queue as u64).saturating_mul(EXPOSURE_BYTES) }
    }

    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.most
    }

    /// Takes room; one answer that is larger than all of it has it alone.
    fn take(&self, bytes: u64) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= self.most;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

enum Message {
    Shown {
        shown: ShownAnswer,
        /// The moment at which it was asked for.
        asked: Arc<Moment>,
    },
    /// Tell when everything before is written.
    Flush(Sender<()>),
}

impl Exposures {
    fn start(&self, store: Arc<Store>, config: &ExposuresConfig) -> Result<()> {
        if self.writer.get().is_some() {
            return Ok(());
        }
        let (queue, messages) = sync_channel(config.queue);
        let waiting = Arc::new(Waiting::new(config.queue));
        let (config, counts, shared) = (config.clone(), Arc::clone(&self.counts), Arc::clone(&waiting));
        let write = move || write(&store, &messages, &config, &counts, &shared);
        let thread = std::thread::Builder::new().name("savor-exposures".into()).spawn(write);
        // Of two that start at once the later one's thread ends with its queue.
        let _ = self.writer.set(Writer { queue, thread: thread.map_err(Error::io("thread"))?, waiting });
        Ok(())
    }

    /// Whether answers are kept.
    pub fn is_kept(&self) -> bool {
        self.writer.get().is_some()
    }

    /// `shown` is called if answers are kept and there is room; an answer that has no record is dropped.
    fn hand_over(&self, asked: &Arc<Moment>, shown: impl FnOnce() -> Option<ShownAnswer>) {
        let Some(writer) = self.writer.get() else { return };
        let shown = if writer.waiting.is_full() { None } else { shown() };
        if !shown.is_some_and(|shown| writer.send(shown, asked)) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {
        let Some(writer) = self.writer.get() else { return };
        let (told, written) = channel();
        if writer.queue.send(Message::Flush(told)).is_ok() {
            writer.thread.thread().unpark();
            // An error means that the thread has ended: there is nothing to wait for.
            let _ = written.recv();
        }
    }
}

impl Writer {
    /// Whether there was room for it.
    fn send(&self, shown: ShownAnswer, asked: &Arc<Moment>) -> bool {
        let bytes = shown.bytes();
        if !self.waiting.take(bytes) {
            return false;
        }
        let is_sent = self.queue.try_send(Message::Shown { shown, asked: Arc::clone(asked) }).is_ok();
        if !is_sent {
            self.waiting.give_back(bytes);
        }
        is_sent
    }
}

/// What waits is written before the engine is gone.
impl Drop for Exposures {
    fn drop(&mut self) {
        if let Some(Writer { queue, thread, .. }) = self.writer.take() {
            drop(queue);
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread that keeps exposures ended by a panic");
            }
        }
    }
}

fn write(store: &Store, messages: &Receiver<Message>, config: &ExposuresConfig, counts: &Counts, waiting: &Waiting) {
    let mut batch = Vec::new();
    let mut is_behind = false;
    let mut room = Room::new(store, config, counts);
    loop {
        // A turn between two batches: answers do not wait for all that is to go.
        let wait = room.tidy();
        let first = match messages.recv_timeout(wait) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if !is_behind && matches!(first, Message::Shown { .. }) {
            std::thread::park_timeout(GATHER);
        }
        let (mut flushes, mut taken) = (Vec::new(), 0);
        is_behind = false;
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Shown { shown, asked } => {
                    taken += shown.bytes();
                    match of_those_there(shown, &asked) {
                        Ok(shown) => batch.extend(shown),
                        Err(error) => {
                            counts.dropped.fetch_add(1, Ordering::Relaxed);
                            tracing::warn!(%error, "what was shown is not kept");
                        }
                    }
                }
                Message::Flush(told) => flushes.push(told),
            }
            is_behind = batch.len() >= BATCH || taken >= BATCH_BYTES;
            if is_behind {
                break;
            }
        }
        if let Err(error) = room.put(&batch) {
            counts.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
            match error {
                // It stays so until somebody makes room, and is counted.
                Error::Quota { .. } => tracing::debug!(answers = batch.len(), %error, "what was shown is not kept"),
                _ => tracing::warn!(answers = batch.len(), %error, "what was shown is not kept"),
            }
        }
        batch.clear();
        waiting.give_back(taken);
        for told in flushes {
            // Whoever waited may be gone.
            let _ = told.send(());
        }
    }
}

/// The exposure of whoever the user is by now; none of who was deleted since the question was asked. A departure flushes the
/// queue after it is known, so that nothing that has passed here before is written later.
fn of_those_there(shown: ShownAnswer, asked: &Moment) -> Result<Option<ShownAnswer>> {
    match shown.user.as_deref().map_or(Since::There, |user| asked.since(user)) {
        Since::There => Ok(Some(shown)),
        Since::Gone => Ok(None),
        Since::Is(into) => {
            let into = into.to_owned();
            shown.to(&into).map(Some)
        }
    }
}

impl Engine {
    /// From now on answers to the main question are kept, for outcomes to join, and running experiments are looked at every
    /// hour. A server says so by itself unless `exposures.enabled` is off.
    pub fn keep_exposures(&self) -> Result<()> {
        self.inner.exposures.start(Arc::clone(&self.inner.store), &self.inner.config.exposures)?;
        self.watch_experiments()
    }

    /// Waits until all answers given so far are written. Reports and listings do so by themselves.
    pub fn flush_exposures(&self) {
        self.inner.exposures.flush();
    }

    /// Answers that were not kept, because too many waited or the store refused them, since the engine was opened.
    pub fn dropped_exposures(&self) -> u64 {
        self.inner.exposures.counts.dropped.load(Ordering::Relaxed)
    }

    /// Answers that were removed before their time, as all took more than they may, since the engine was opened.
    pub fn evicted_exposures(&self) -> u64 {
        self.inner.exposures.counts.evicted.load(Ordering::Relaxed)
    }

    /// What a user was shown, the newest first.
    pub fn user_exposures(&self, user: &str, limit: usize) -> Result<Vec<Exposure>> {
        self.flush_exposures();
        self.inner.store.user_exposures(user, limit)
    }

    /// An answer that was shown; `None` if it was not kept, or is older than the retention.
    pub fn exposure(&self, recommendation_id: &str) -> Result<Option<Exposure>> {
        self.flush_exposures();
        self.inner.store.exposure(recommendation_id)
    }

    /// Forgets what questions that were in flight while a user departed have left of them, or gives it to whom they turned out to
    /// be. What such questions leave from now on they forget themselves. Tells whether anything kept was found.
    pub(super) fn departed(&self, user: &str, into: Option<&str>) -> Result<bool> {
        let inner = &*self.inner;
        inner.departed.depart(user, into);
        self.forget_answers(user, into);
        if !inner.exposures.is_kept() {
            return Ok(false);
        }
        self.flush_exposures();
        match into {
            Some(into) => inner.store.move_exposures(user, into).map(|answers| answers > 0),
            None => inner.store.delete_exposures(user).map(|answers| answers > 0),
        }
    }

    /// What memory holds of a user beside the store.
    fn forget_answers(&self, user: &str, into: Option<&str>) {
        self.inner.answers.forget(user);
        self.inner.showings.hand_over(user, into);
        self.inner.pages.forget_user(user);
    }

    /// At the end of a question: whether its user has departed meanwhile; then what it has left in memory goes.
    pub(super) fn settle(&self, user: Option<&str>, asked: &Moment) {
        let Some(user) = user else { return };
        match asked.since(user) {
            Since::There => {}
            Since::Is(into) => self.forget_answers(user, Some(into)),
            Since::Gone => self.forget_answers(user, None),
        }
    }

    /// Hands an answer over to be kept, after so many items of the pages before. `teams` says whose item each is, in an
    /// interleaved answer.
    pub(super) fn expose(
        &self,
        query: &Query,
        before: usize,
        answer: &Answer,
        teams: &[Option<String>],
        asked: &Arc<Moment>,
    ) {
        self.inner.exposures.hand_over(asked, || {
            let record = ShownAnswer::record(query, before, answer, teams).ok()?;
            let (answer, user) = (answer.recommendation_id.clone(), query.user.clone());
            Some(ShownAnswer { answer, time: Timestamp::now(), user, record })
        });
    }

    /// The same of an answer that is given again, under this name.
    pub(super) fn expose_again(&self, query: &Query, kept: &Kept, name: &str, asked: &Arc<Moment>) {
        self.inner.exposures.hand_over(asked, || {
            let record = kept.record(|answer| ShownAnswer::record(query, 0, answer, &[]).ok())?;
            let (answer, user) = (name.to_owned(), query.user.clone());
            Some(ShownAnswer { answer, time: Timestamp::now(), user, record })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;
    use crate::record::Span;

    fn shown(name: &str, time: Timestamp) -> ShownAnswer {
        let answer = Answer {
            recommendation_id: name.into(),
            snapshot: None,
            scenario: None,
            degraded: None,
            evidence: None,
            items: Vec::new(),
            next: None,
            before: None,
            experiment: None,
            search: None,
        };
        let record = ShownAnswer::record(&Query::for_user("u"), 0, &answer, &[]).unwrap();
        ShownAnswer { answer: name.into(), time, user: Some("u".into()), record }
    }

    #[test]
    fn what_is_shown_is_written_between_two_turns_of_tidying() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        let config = ExposuresConfig::default();
        let now = Timestamp::now();
        let long_ago = now.before(config.retention).before(Span::days(1));
        let old: Vec<ShownAnswer> = (0..5_000).map(|n| shown(&format!("old{n}"), long_ago)).collect();
        store.put_shown(&old).unwrap();
        let (queue, messages) = sync_channel(2);
        let (told, written) = channel();
        let waiting = Waiting::new(1);
        let new = shown("new", now);
        assert!(waiting.take(new.bytes()));
        queue.send(Message::Shown { shown: new, asked: Arc::default() }).unwrap();
        queue.send(Message::Flush(told)).unwrap();
        drop(queue);
        write(&store, &messages, &config, &Counts::default(), &waiting);
        written.recv().unwrap();
        assert!(store.exposure("new").unwrap().is_some());
        let left = store.user_exposures("u", 9_999).unwrap().len();
        assert!(left > 1_000, "{left} are left when there is something to write");
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0, "what is written waits no more");
    }

    #[test]
    fn answers_of_large_questions_have_the_room_of_many_small_ones_and_no_more() {
        let (queue, messages) = sync_channel(100);
        let thread = std::thread::spawn(|| ());
        let exposures = Exposures::default();
        let waiting = Arc::new(Waiting::new(100));
        assert!(exposures.writer.set(Writer { queue, thread, waiting: Arc::clone(&waiting) }).is_ok());
        let large = || ShownAnswer { record: vec![0; 16 << 10].into(), ..shown("large", Timestamp::now()) };
        for _ in 0..50 {
            exposures.hand_over(&Arc::default(), || Some(large()));
        }
        let taken = messages.try_iter().count() as u64;
        assert!(taken >= 10 && taken * large().bytes() <= waiting.most, "{taken}");
        assert_eq!(exposures.counts.dropped.load(Ordering::Relaxed), 50 - taken);
        // What is larger than all of it is kept where nothing else waits.
        waiting.give_back(taken * large().bytes());
        let huge = ShownAnswer { record: vec![0; 1 << 20].into(), ..shown("huge", Timestamp::now()) };
        exposures.hand_over(&Arc::default(), || Some(huge));
        exposures.hand_over(&Arc::default(), || unreachable!("no record is made of what is dropped"));
        assert_eq!(messages.try_iter().count(), 1);
    }
}
