//! Tells somebody elsewhere of alarms and decisions, by an HTTP POST of JSON. Whoever tells does not wait: messages go into a bounded
//! queue, one thread posts them in order, and tries again, ever more rarely, where nobody answers. What does not fit into the
//! queue, or finds nobody after all attempts, is lost and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::engine::Tended;
use crate::error::{Error, Result};
use crate::monitor::{Alert, Decision};

/// Messages that wait, at most.
const QUEUE: usize = 64;
/// Times that a message is posted.
const ATTEMPTS: u32 = 8;
/// Before the second attempt.
pub const PAUSE: Duration = Duration::from_secs(1);
/// The longest wait before another.
const LONGEST: Duration = Duration::from_secs(120);
/// The receiver has so long to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What is posted. `text` is what chat services show.
#[derive(Serialize)]
struct Message<'a> {
    text: String,
    /// Whose; absent for the data directory's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    alerts: &'a [Alert],
    decisions: &'a [Decision],
}

/// Posts messages to one address until it is dropped.
pub struct Webhook {
    queue: Option<SyncSender<Vec<u8>>>,
    stop: Option<Sender<()>>,
    lost: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Webhook {
    /// Begins; `pause` is the wait before the second attempt, doubled for each after it. Errors: [`Error::Io`] without a thread.
    pub fn start(url: &str, pause: Duration) -> Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let (stop, stopped) = channel();
        let lost = Arc::new(AtomicU64::new(0));
        let (url, counted) = (url.to_owned(), Arc::clone(&lost));
        let work = move || post_all(&url, pause, &messages, &stopped, &counted);
        let thread =
            std::thread::Builder::new().name("savor-webhook".into()).spawn(work).map_err(Error::io("thread"))?;
        Ok(Self { queue: Some(queue), stop: Some(stop), lost, thread: Some(thread) })
    }

    /// Puts what happened into the queue, if anything did.
    pub fn tell(&self, tenant: Option<&str>, tended: &Tended) {
        let Tended { alerts, decisions, .. } = tended;
        if alerts.is_empty() && decisions.is_empty() {
            return;
        }
        let risen =
            alerts.iter().map(|alert| format!("{} {}", alert.name, if alert.raised { "is up" } else { "is over" }));
        let decided = decisions.iter().map(|decision| format!("{}: {}", decision.kind.word(), decision.reason));
        let of = tenant.map_or_else(String::new, |tenant| format!(" of tenant {tenant}"));
        let text = format!("savor{of}: {}", risen.chain(decided).collect::<Vec<_>>().join("; "));
        let Ok(body) = serde_json::to_vec(&Message { text, tenant, alerts, decisions }) else { return };
        let is_queued = self.queue.as_ref().is_some_and(|queue| queue.try_send(body).is_ok());
        if !is_queued {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("the queue of the webhook is full: a message is lost");
        }
    }

    /// Messages that found nobody.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        drop((self.queue.take(), self.stop.take()));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the webhook's thread ended by a panic");
        }
    }
}

fn post_all(url: &str, pause: Duration, messages: &Receiver<Vec<u8>>, stopped: &Receiver<()>, lost: &AtomicU64) {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER)).max_redirects(0).build().into();
    while let Ok(body) = messages.recv() {
        let mut attempt = 1;
        loop {
            if stopped.try_recv() == Err(TryRecvError::Disconnected) {
                lost.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("the server stops: a message of the webhook is lost");
                break;
            }
            // A redirect is not followed: whoever answers with one must not choose where messages go.
            let error = match agent.post(url).header("content-type", "application/json").send(&body[..]) {
                Ok(answer) if answer.status().is_success() => break,
                Ok(answer) => format!("it answers {}", answer.status()),
                Err(error) => error.to_string(),
            };
            let is_over = attempt >= ATTEMPTS
                || stopped.recv_timeout(wait(pause, attempt)) == Err(RecvTimeoutError::Disconnected);
            if is_over {
                lost.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(error, attempt, "the webhook does not take it: a message is lost");
                break;
            }
            attempt += 1;
        }
    }
}

fn wait(pause: Duration, attempt: u32) -> Duration {
    pause.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::record::Timestamp;

    fn tended(name: &str) -> Tended {
        let alert = Alert { name: name.into(), raised: true, value: 2.0, level: 1.0, time: Timestamp::now() };
        Tended { alerts: vec![alert], ..Tended::default() }
    }

    /// Answers one request with a status and gives back its body.
    fn answer(listener: &TcpListener, status: &str) -> serde_json::Value {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        write!(reader.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn a_message_is_posted_until_somebody_takes_it_and_the_next_comes_after_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/alarms", listener.local_addr().unwrap());
        let webhook = Webhook::start(&url, Duration::from_millis(1)).unwrap();
        webhook.tell(None, &Tended::default());
        webhook.tell(Some("acme"), &tended("first"));
        webhook.tell(None, &tended("second"));
        let names: Vec<_> = ["503 Busy", "302 Found", "500 No", "200 OK", "204 Fine"]
            .into_iter()
            .map(|status| answer(&listener, status)["alerts"][0]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["first", "first", "first", "first", "second"]);
        assert_eq!(webhook.lost(), 0);
    }

    #[test]
    fn a_full_queue_loses_messages_and_a_stop_does_not_wait_for_the_next_attempt() {
        // Nobody listens there any more.
        let url = format!("http://{}/", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let webhook = Webhook::start(&url, LONGEST).unwrap();
        (0..QUEUE + 10).for_each(|_| webhook.tell(None, &tended("x")));
        assert!(webhook.lost() >= 9);
        drop(webhook);
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let waits = [1, 2, 3, 20].map(|attempt| wait(PAUSE, attempt).as_secs());
        assert_eq!(waits, [1, 2, 4, 120]);
    }
}
