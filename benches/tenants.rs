//! What one tenant's answers take while another floods the same server: with questions, with batches of events, and with one
//! training after the other. Starts `savor serve` on a fresh directory, makes two tenants of the same size from a fixed seed,
//! measures one of them alone and then beside the noise, in turn, and ends with one line for machines.
//! `benches/tenants.sh` calls this.
//!
//!     cargo bench --bench tenants -- [--seconds S] [--rate R] [--idle N]

mod server;

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Users and items of each tenant.
const USERS: u64 = 2_000;
const ITEMS: u64 = 2_000;
/// Events of each user.
const EVENTS: u64 = 20;
/// Connections of the noise that ask, and that write.
const ASKING: u64 = 16;
const WRITING: u64 = 4;
/// Events in a batch of the noise.
const BATCH: u64 = 500;
/// Alternating measurements, alone and beside the noise; the medians are reported.
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let seconds = Duration::from_secs_f64(value("--seconds").map_or(Ok(5.0), |text| text.parse())?);
    let rate: f64 = value("--rate").map_or(Ok(100.0), |text| text.parse())?;
    let idle: u64 = value("--idle").map_or(Ok(50), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let server = serve(directory.path())?;
    for tenant in ["quiet", "noisy"] {
        fill(server.address, tenant)?;
    }
    println!("{USERS} users, {ITEMS} items, {} events each; {rate} questions a second", USERS * EVENTS);
    println!("{:>16} {:>10} {:>10} {:>10}   noise", "", "p50 ms", "p99 ms", "refused");
    let (mut quiet, mut beside, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        quiet.push(measured("alone", server.address, rate, seconds, false)?);
        limit(server.address, "{}")?;
        beside.push(measured("beside", server.address, rate, seconds, true)?);
        limit(server.address, r#"{"quotas":{"concurrent_requests":100000}}"#)?;
        open.push(measured("without a limit", server.address, rate, seconds, true)?);
    }
    let (quiet, beside, open) = (median(quiet), median(beside), median(open));
    let before = resident_kib(&server);
    for number in 0..idle {
        Connection::open(server.address, "default")?.send("PUT", &format!("/v1/tenants/idle{number}"), "{}")?.ok()?;
    }
    let each = resident_kib(&server).saturating_sub(before) / idle.max(1);
    println!("{idle} idle tenants take {each} KiB of memory each");
    println!(
        "tenants alone_p50_ms={:.3} alone_p99_ms={:.3} beside_p50_ms={:.3} beside_p99_ms={:.3} factor={:.2} \
         unlimited_p99_ms={:.3} refused={} idle_kib={each}",
        quiet.p50,
        quiet.p99,
        beside.p50,
        beside.p99,
        beside.p99 / quiet.p99,
        open.p99,
        beside.refused
    );
    Ok(())
}

fn limit(address: SocketAddr, settings: &str) -> Result<()> {
    Connection::open(address, "default")?.send("PUT", "/v1/tenants/noisy", settings)?.ok()?;
    Ok(())
}

/// Makes a tenant with a model.
fn fill(address: SocketAddr, tenant: &str) -> Result<()> {
    Connection::open(address, "default")?.send("PUT", &format!("/v1/tenants/{tenant}"), "{}")?.ok()?;
    let mut connection = Connection::open(address, tenant)?;
    let mut random = Random(7);
    for first in (0..USERS * EVENTS).step_by(5_000) {
        let events: Vec<String> = (first..first + 5_000).map(|n| event(&mut random, n)).collect();
        connection.send("POST", "/v1/events?durability=async", &format!("[{}]", events.join(",")))?.ok()?;
    }
    let job: Value = serde_json::from_str(&connection.send("POST", "/v1/train", TRAIN)?.ok()?)?;
    loop {
        let job: Value = serde_json::from_str(&connection.send("GET", &format!("/v1/jobs/{}", job["id"]), "")?.ok()?)?;
        match job["state"].as_str() {
            Some("running") => std::thread::sleep(Duration::from_millis(50)),
            Some("done") => return Ok(()),
            _ => return Err(format!("training ended: {job}").into()),
        }
    }
}

const TRAIN: &str = r#"{"activate":"always","measure":false}"#;

/// An event of a user with an item of his group, mostly.
fn event(random: &mut Random, number: u64) -> String {
    let user = number % USERS;
    let group = if random.below(5) == 0 { random.below(20) } else { user % 20 };
    let item = random.below(ITEMS / 20) * 20 + group;
    format!(r#"{{"user":"u{user}","item":"i{item}","type":"view","time":{}}}"#, 1_700_000_000_000 + number * 1_000)
}

/// What the other tenant got done meanwhile.
#[derive(Default)]
struct Noise {
    answers: AtomicU64,
    events: AtomicU64,
    trainings: AtomicU64,
    refused: AtomicU64,
}

#[derive(Clone, Copy)]
struct Figures {
    p50: f64,
    p99: f64,
    refused: u64,
}

fn median(mut figures: Vec<Figures>) -> Figures {
    figures.sort_by(|a, b| a.p99.total_cmp(&b.p99));
    figures[figures.len() / 2]
}

/// Asks at a steady rate, whatever the answers take: a question that waits for the one before counts its waiting.
fn measured(name: &str, address: SocketAddr, rate: f64, time: Duration, is_noisy: bool) -> Result<Figures> {
    let (noise, stop) = (Noise::default(), AtomicBool::new(false));
    let figures = std::thread::scope(|scope| {
        if is_noisy {
            for number in 0..ASKING {
                let (noise, stop) = (&noise, &stop);
                scope.spawn(move || {
                    repeat(address, stop, noise, &noise.answers, 1, |n| {
                        ("GET", format!("/v1/users/u{}/recommendations", (number * 97 + n) % USERS), String::new())
                    })
                });
            }
            for number in 0..WRITING {
                let (noise, stop) = (&noise, &stop);
                scope.spawn(move || {
                    let mut random = Random(number);
                    repeat(address, stop, noise, &noise.events, BATCH, |n| {
                        let first = (1 + number) * 1_000_000_000 + n * BATCH;
                        let events: Vec<String> = (first..first + BATCH).map(|n| event(&mut random, n)).collect();
                        ("POST", "/v1/events".to_owned(), format!("[{}]", events.join(",")))
                    })
                });
            }
            let (noise, stop) = (&noise, &stop);
            scope.spawn(move || {
                repeat(address, stop, noise, &noise.trainings, 1, |_| {
                    std::thread::sleep(Duration::from_millis(100));
                    ("POST", "/v1/train".to_owned(), TRAIN.to_owned())
                })
            });
            // The flood is there before it counts.
            std::thread::sleep(Duration::from_secs(1));
        }
        let figures = steady(address, rate, time);
        stop.store(true, Ordering::Relaxed);
        figures
    })?;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{name:>16} {:>10.3} {:>10.3} {:>10}   {} answers, {} events, {} trainings, {} refused",
        figures.p50,
        figures.p99,
        figures.refused,
        of(&noise.answers),
        of(&noise.events),
        of(&noise.trainings),
        of(&noise.refused)
    );
    Ok(figures)
}

fn steady(address: SocketAddr, rate: f64, time: Duration) -> Result<Figures> {
    let mut connection = Connection::open(address, "quiet")?;
    let (start, mut times, mut refused) = (Instant::now(), Vec::new(), 0);
    for number in 0.. {
        let due = Duration::from_secs_f64(number as f64 / rate);
        if due >= time {
            break;
        }
        std::thread::sleep((start + due).saturating_duration_since(Instant::now()));
        let path = format!("/v1/users/u{}/recommendations", number * 31 % USERS);
        refused += u64::from(connection.send("GET", &path, "")?.status != 200);
        times.push(start.elapsed().saturating_sub(due));
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    Ok(Figures { p50: at(0.5), p99: at(0.99), refused })
}

/// Sends one request after the other until it is to stop.
fn repeat(
    address: SocketAddr,
    stop: &AtomicBool,
    noise: &Noise,
    done: &AtomicU64,
    worth: u64,
    mut request: impl FnMut(u64) -> (&'static str, String, String),
) {
    let Ok(mut connection) = Connection::open(address, "noisy") else { return };
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (method, path, body) = request(number);
        match connection.send(method, &path, &body) {
            Ok(answer) if answer.status < 300 => done.fetch_add(worth, Ordering::Relaxed),
            Ok(_) => noise.refused.fetch_add(1, Ordering::Relaxed),
            Err(_) => return,
        };
    }
}

fn serve(data: &std::path::Path) -> Result<Server> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_savor"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--set", "train.dimension=32", "--set", "train.epochs=5"]);
    Server::start(command.arg("--data").arg(data.join("data")))
}

/// Memory that a server has, where the system tells (Linux).
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// A keep-alive connection of a tenant.
struct Connection {
    stream: BufReader<TcpStream>,
    tenant: String,
}

struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn ok(self) -> Result<String> {
        if self.status < 300 { Ok(self.body) } else { Err(format!("{}: {}", self.status, self.body).into()) }
    }
}

impl Connection {
    fn open(address: SocketAddr, tenant: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), tenant: tenant.to_owned() })
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let (tenant, length) = (&self.tenant, body.len());
        let media = if body.is_empty() { String::new() } else { "content-type: application/json\r\n".to_owned() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: savor\r\nsavor-tenant: {tenant}\r\n{media}content-length: {length}\r\n\r\n"
        );
        self.stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim_end().parse()?;
            }
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(Answer { status, body: String::from_utf8(bytes)? })
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}
