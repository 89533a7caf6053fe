//! What a key costs: the same question to two servers of the same data, one without keys and one with, in turn over keep-alive
//! connections; the first request of a key, which is proven by Argon2; and whether the time in which a wrong secret is refused tells how
//! much of it was right, or whether there is a key of that id. Makes its own data and ends with one line for machines.
//!
//!     cargo bench --bench access -- [--seconds S] [--connections C]

mod server;

use std::error::Error;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use savor::{Config, Engine, Event, Item, KeyDesign, Scope, Timestamp};
use server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Alternating runs of each server; the medians are reported.
const ROUNDS: usize = 9;
/// First requests that are timed, each of a key of its own.
const FIRST: usize = 15;
/// Refusals that are timed of each kind.
const REFUSALS: usize = 20_000;
const PATH: &str = "/v1/lists/popular?limit=10";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let seconds = Duration::from_secs_f64(value("--seconds").map_or(Ok(2.0), |text| text.parse())?);
    let connections: usize = value("--connections").map_or(Ok(4), |text| text.parse())?;

    let dir = tempfile::tempdir()?;
    let (open, keyed) = (dir.path().join("open"), dir.path().join("keyed"));
    drop(filled(&open)?);
    let engine = filled(&keyed)?;
    let key = || engine.create_key(&KeyDesign::new("bench", [Scope::Read])).map(|made| made.token.reveal().to_owned());
    let token = key()?;
    let fresh = (0..FIRST).map(|_| key()).collect::<std::result::Result<Vec<_>, _>>()?;
    let turns = |of: &str| (3..52).step_by(4).map(|by| turned(of, by)).collect::<Vec<_>>();
    let (nanos, deviations) = timing(&engine, &[vec![near(&token)], turns(&token)].concat());
    let (unknown, _) = timing(&engine, &[vec![near(&stranger(&token))], turns(&token)].concat());
    drop(engine);

    let (open, keyed) = (serve(&open)?, serve(&keyed)?);
    let mut first = Vec::new();
    for token in &fresh {
        let mut connection = Connection::open(keyed.address, Some(token))?;
        let asked = Instant::now();
        connection.get()?;
        first.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    println!("{:>5} {:>12} {:>12} {:>12} {:>12}", "round", "open p50 ms", "keyed p50 ms", "open rps", "keyed rps");
    let mut columns: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        let mut row = [0.0; 4];
        for (place, (server, token)) in [(&open, None), (&keyed, Some(&token))].into_iter().enumerate() {
            let mut alone = load(server.address, token, 1, seconds)?;
            alone.sort_unstable();
            row[place] = alone[alone.len() / 2].as_secs_f64() * 1e3;
            row[place + 2] = load(server.address, token, connections, seconds)?.len() as f64 / seconds.as_secs_f64();
        }
        // The first round warms up.
        if round > 0 {
            println!("{round:>5} {:>12.4} {:>12.4} {:>12.0} {:>12.0}", row[0], row[1], row[2], row[3]);
            columns.iter_mut().zip(row).for_each(|(column, figure)| column.push(figure));
        }
    }
    let [open_p50, keyed_p50, open_rps, keyed_rps] = columns.map(median);
    println!(
        "access open_p50_ms={open_p50:.4} keyed_p50_ms={keyed_p50:.4} p50_ratio={:.3} open_rps={open_rps:.0} keyed_rps={keyed_rps:.0} \
         rps_ratio={:.3} first_ms={:.1} timing_ns={nanos:.1} timing_sd={deviations:.2} \
         unknown_id_ns={unknown:.0}",
        keyed_p50 / open_p50,
        keyed_rps / open_rps,
        median(first)
    );
    Ok(())
}

fn filled(dir: &Path) -> Result<Engine> {
    let engine = Engine::open(dir, Config::default())?;
    engine.put_items(&(0..2_000).map(|number| Item::new(format!("i{number}"))).collect::<Vec<_>>())?;
    let events: Vec<Event> = (0..20_000i64)
        .map(|n| {
            let time = Timestamp::from_millis(1_700_000_000_000 + n * 1_000).unwrap_or_default();
            Event::new(format!("u{}", n % 500), format!("i{}", (n * n + 7 * n) % 2_000), "view").at(time)
        })
        .collect();
    engine.append_events(&events)?;
    Ok(engine)
}

/// Wrong in the last letter alone.
fn near(token: &str) -> String {
    let last = if token.ends_with('a') { 'b' } else { 'a' };
    format!("{}{last}", &token[..token.len() - 1])
}

/// Wrong from the first letter on, and of the same letters: how long one takes to be known for a letter tells nothing of the secret.
fn turned(token: &str, by: usize) -> String {
    let secret = token.len() - 52;
    let letters = || token[secret..].chars();
    token[..secret].chars().chain(letters().skip(by)).chain(letters().take(by)).collect()
}

/// For an id of no key.
fn stranger(token: &str) -> String {
    let id: String = token[3..15].chars().rev().collect();
    format!("{}{id}{}", &token[..3], &token[15..])
}

/// By how many ns the first of some wrong tokens is refused later than the others in the mean, and how many standard deviations of the
/// others that is: each takes a time of its own, by where its keyed hash falls.
fn timing(engine: &Engine, tokens: &[String]) -> (f64, f64) {
    let mut times = vec![Vec::new(); tokens.len()];
    // All lie at the same place: where a text lies in memory is not the question.
    let mut sent = String::new();
    for number in 0..tokens.len() * REFUSALS {
        // In an order that no rhythm of the machine follows.
        let which = (number.wrapping_mul(0x9E37_79B9) >> 13) % tokens.len();
        sent.clone_from(&tokens[which]);
        let asked = Instant::now();
        let _ = black_box(engine.check_key(black_box(&sent)));
        times[which].push(asked.elapsed().as_nanos() as f64);
    }
    let means: Vec<f64> = times.into_iter().map(mean).collect();
    let others = &means[1..];
    let usual = others.iter().sum::<f64>() / others.len() as f64;
    let spread = others.iter().map(|mean| (mean - usual).powi(2)).sum::<f64>() / (others.len() as f64 - 1.0).max(1.0);
    (means[0] - usual, (means[0] - usual) / spread.sqrt())
}

/// Of the lower 95 %: interrupts are not the question.
fn mean(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 95 / 100);
    times.iter().sum::<f64>() / times.len() as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Serves a data directory.
fn serve(data: &Path) -> Result<Server> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_savor"));
    command.arg("serve").arg("--data").arg(data).args(["--listen", "127.0.0.1:0", "--log", "error"]);
    Server::start(&mut command)
}

/// Asks over so many connections for so long; gives the time that each answer took.
fn load(address: SocketAddr, token: Option<&String>, connections: usize, time: Duration) -> Result<Vec<Duration>> {
    let start = Instant::now();
    let ask = || -> Result<Vec<Duration>> {
        let mut connection = Connection::open(address, token)?;
        let mut times = Vec::new();
        while start.elapsed() < time {
            let asked = Instant::now();
            connection.get()?;
            times.push(asked.elapsed());
        }
        Ok(times)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(ask)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok(all)
    })
}

/// A keep-alive connection that asks one question.
struct Connection {
    stream: TcpStream,
    request: String,
    answer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, token: Option<&String>) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let key = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        Ok(Self { stream, request: format!("GET {PATH} HTTP/1.1\r\nhost: savor\r\n{key}\r\n"), answer: Vec::new() })
    }

    /// Asks, and reads an answer that must be a 200.
    fn get(&mut self) -> Result<()> {
        self.stream.write_all(self.request.as_bytes())?;
        self.answer.clear();
        let mut chunk = [0; 16 << 10];
        loop {
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            self.answer.extend_from_slice(&chunk[..read]);
            let Some(end) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.answer[..end])?;
            if !head.starts_with("HTTP/1.1 200 ") {
                return Err(format!("expected a 200: {}", String::from_utf8_lossy(&self.answer)).into());
            }
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no content length")?;
            if self.answer.len() >= end + 4 + length.parse::<usize>()? {
                return Ok(());
            }
        }
    }
}
