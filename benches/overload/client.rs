//! Cheap clients: raw requests over keep-alive connections, all on one thread, so that the server has the other processor to
//! itself. Closed loop: each connection asks when it has been answered. Open loop: questions come when they are due, whether the ones
//! before have been answered or not, as people do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::Result;

/// Connections of an open loop at most. What is due when all wait for answers is not sent, and counts as unanswered.
const CONNECTIONS: usize = 2_000;
/// How long answers are waited for after the last question.
const AFTER: Duration = Duration::from_secs(3);

/// What came back.
#[derive(Default)]
pub struct Tally {
    /// Questions that were due.
    pub offered: usize,
    /// Of these, what could not be sent as no connection was free.
    pub unsent: usize,
    /// Answers within the deadline, by `degraded`.
    pub good: BTreeMap<String, usize>,
    /// Answers after it.
    pub late: usize,
    /// Everything else, by status; 0: no answer.
    pub refused: BTreeMap<u16, usize>,
    /// Milliseconds from when a question was due until it was answered.
    pub millis: Vec<f64>,
    /// Events that were acknowledged, and that were refused.
    pub writes: (usize, usize),
}

impl Tally {
    /// Answers within the deadline.
    pub fn good(&self) -> usize {
        self.good.values().sum()
    }

    /// Of these, those that are all they would have been.
    pub fn whole(&self) -> usize {
        self.good.iter().filter(|(degraded, _)| !degraded.starts_with("overloaded")).map(|(_, count)| count).sum()
    }

    /// The time within which such a share was answered.
    pub fn quantile(&mut self, share: f64) -> f64 {
        self.millis.sort_by(f64::total_cmp);
        let place = (self.millis.len().saturating_sub(1) as f64 * share) as usize;
        self.millis.get(place).copied().unwrap_or(f64::NAN)
    }

    fn count(&mut self, request: &Request, answer: &Answer, took: Duration, deadline: Duration) {
        let is_good = answer.status == 200;
        if request.is_write {
            self.writes.0 += usize::from(is_good);
            self.writes.1 += usize::from(!is_good);
            return;
        }
        if !is_good {
            *self.refused.entry(answer.status).or_default() += 1;
            return;
        }
        self.millis.push(took.as_secs_f64() * 1e3);
        if took <= deadline {
            *self.good.entry(answer.degraded.clone()).or_default() += 1;
        } else {
            self.late += 1;
        }
    }
}

/// A request as it goes over the wire.
#[derive(Clone)]
pub struct Request {
    /// Its bytes.
    pub bytes: Rc<[u8]>,
    /// Whether it is an event.
    pub is_write: bool,
}

struct Answer {
    status: u16,
    degraded: String,
}

/// A keep-alive connection.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    chunk: Box<[u8; 4096]>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4 << 10), chunk: Box::new([0; 4096]) })
    }

    async fn ask(&mut self, request: &Request) -> Result<Answer> {
        let mut rest = &request.bytes[..];
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        self.buffer.clear();
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut self.chunk[..]) {
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(read) => self.buffer.extend_from_slice(&self.chunk[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end])?;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(Ok(0), str::parse)?;
            if self.buffer.len() < end + 4 + length {
                continue;
            }
            let status = head.get(9..12).unwrap_or_default().parse()?;
            let body = std::str::from_utf8(&self.buffer[end + 4..])?;
            let degraded = body.split_once("\"degraded\":\"").and_then(|(_, rest)| rest.split_once('"'));
            return Ok(Answer { status, degraded: degraded.map_or("full", |(word, _)| word).to_owned() });
        }
    }
}

fn on_this_thread<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, work))
}

/// Asks over so many connections for so long, each time when the answer before has come.
pub fn closed_loop(
    address: SocketAddr,
    requests: &[Request],
    connections: usize,
    time: Duration,
    deadline: Duration,
) -> Result<Tally> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    on_this_thread(async {
        let end = Instant::now() + time;
        let asking = (0..connections).map(|number| {
            let (tally, requests) = (Rc::clone(&tally), requests.to_vec());
            tokio::task::spawn_local(async move {
                let mut connection = Connection::open(address).await?;
                for request in requests.iter().cycle().skip(number * 97) {
                    let asked = Instant::now();
                    if asked >= end {
                        break;
                    }
                    tally.borrow_mut().offered += 1;
                    let answer = connection.ask(request).await?;
                    tally.borrow_mut().count(request, &answer, asked.elapsed(), deadline);
                }
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            })
        });
        let asking: Vec<_> = asking.collect();
        for task in asking {
            task.await??;
        }
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    })??;
    Ok(tally.take())
}

/// Asks so many times a second for so long, whatever is answered.
pub fn open_loop(
    address: SocketAddr,
    requests: &[Request],
    rate: f64,
    time: Duration,
    deadline: Duration,
) -> Result<Tally> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    on_this_thread(async {
        let idle: Rc<RefCell<Vec<Connection>>> = Rc::default();
        let open = Rc::new(RefCell::new(0usize));
        let (start, mut due) = (Instant::now(), 0u64);
        let mut next = requests.iter().cycle();
        while start.elapsed() < time {
            let until = (start.elapsed().as_secs_f64() * rate) as u64;
            for number in due..until {
                let Some(request) = next.next().cloned() else { break };
                tally.borrow_mut().offered += usize::from(!request.is_write);
                let connection = idle.borrow_mut().pop();
                if connection.is_none() && *open.borrow() >= CONNECTIONS {
                    tally.borrow_mut().unsent += 1;
                    continue;
                }
                *open.borrow_mut() += usize::from(connection.is_none());
                let asked = start + Duration::from_secs_f64(number as f64 / rate);
                let (tally, idle, open) = (Rc::clone(&tally), Rc::clone(&idle), Rc::clone(&open));
                tokio::task::spawn_local(async move {
                    let answered = async {
                        let mut connection = match connection {
                            Some(connection) => connection,
                            None => Connection::open(address).await?,
                        };
                        let answer = connection.ask(&request).await?;
                        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((connection, answer))
                    };
                    match answered.await {
                        Ok((connection, answer)) => {
                            tally.borrow_mut().count(&request, &answer, asked.elapsed(), deadline);
                            idle.borrow_mut().push(connection);
                        }
                        Err(_) => {
                            *tally.borrow_mut().refused.entry(0).or_default() += 1;
                            *open.borrow_mut() -= 1;
                        }
                    }
                });
            }
            due = until;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let end = Instant::now() + AFTER;
        while idle.borrow().len() < *open.borrow() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let unanswered = *open.borrow() - idle.borrow().len();
        if unanswered > 0 {
            *tally.borrow_mut().refused.entry(0).or_default() += unanswered;
        }
    })?;
    Ok(tally.take())
}
