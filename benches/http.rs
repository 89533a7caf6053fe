//! How fast an answer comes over HTTP, beside what warp alone can do on this machine. Starts `savor serve` on a data
//! directory and a bare warp server that sends the bytes of one such answer, asks both in turn over keep-alive
//! connections, and ends with one line for machines. `benches/http.sh` makes the data and calls this.
//!
//!     cargo bench --bench http -- --data DIR [--ranked] [--seconds S] [--connections C]

mod server;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Alternating runs of each server; the medians are reported.
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_secs(1);
/// Users asked about, in turn.
const USERS: usize = 1000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    if let Some(answer) = value("--bare-warp") {
        return bare_warp(answer);
    }
    let Some(data) = value("--data") else {
        return Err("--data DIR is missing: a directory with a trained snapshot; benches/http.sh makes one".into());
    };
    let seconds = Duration::from_secs_f64(value("--seconds").map_or(Ok(2.0), |text| text.parse())?);
    let connections: usize = value("--connections").map_or(Ok(8), |text| text.parse())?;
    let is_ranked = arguments.iter().any(|argument| argument == "--ranked");
    measure(data, is_ranked, seconds, connections)
}

fn measure(data: &str, is_ranked: bool, seconds: Duration, connections: usize) -> Result<()> {
    // One after the other: two cannot have a directory open.
    let (paths, sample) = {
        let savor = serve(data, CACHE, true)?;
        let paths = known_users(savor.address, is_ranked)?;
        let sample = sample(savor.address, &paths)?;
        (paths, sample)
    };
    println!("{} users, answers of about {} bytes, {connections} connections", paths.len(), sample.len());
    let itself = std::env::current_exe()?;
    let bare = Server::start(Command::new(itself).args(["--bare-warp", &sample]))?;
    load(bare.address, &paths, 1, WARM_UP)?;
    let anew = compare(&serve(data, 0, true)?, &bare, &paths, seconds, connections)?;
    println!("each answer made anew: {anew}");
    let kept = compare(&serve(data, CACHE, true)?, &bare, &paths, seconds, connections)?;
    println!("kept answers: {kept}");
    let unlogged = compare(&serve(data, CACHE, false)?, &bare, &paths, seconds, connections)?;
    println!("kept answers, without exposures: {unlogged}");
    println!(
        "http {anew} kept_p50_ms={:.3} kept_p99_ms={:.3} kept_ratio={:.2} unlogged_ratio={:.2}",
        kept.p50,
        kept.p99,
        kept.ratio(),
        unlogged.ratio()
    );
    Ok(())
}

/// MiB of answers that are kept by default.
const CACHE: usize = 64;

fn serve(data: &str, cache_mib: usize, exposures: bool) -> Result<Server> {
    let (cache, exposures) = (format!("recommend.cache_mib={cache_mib}"), format!("exposures.enabled={exposures}"));
    Server::start(Command::new(env!("CARGO_BIN_EXE_savor")).args([
        "serve",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--set",
        &cache,
        "--set",
        &exposures,
    ]))
}

/// Medians of the rounds.
struct Figures {
    p50: f64,
    p99: f64,
    rps: f64,
    bare_rps: f64,
}

impl Figures {
    fn ratio(&self) -> f64 {
        self.rps / self.bare_rps
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50, p99, rps, bare_rps } = self;
        let ratio = self.ratio();
        write!(to, "p50_ms={p50:.3} p99_ms={p99:.3} rps={rps:.0} bare_warp_rps={bare_rps:.0} ratio={ratio:.2}")
    }
}

/// Asks both in turn. Each question is asked before it counts: what is kept is there.
fn compare(savor: &Server, bare: &Server, paths: &[String], seconds: Duration, connections: usize) -> Result<Figures> {
    let mut connection = Connection::open(savor.address)?;
    for path in paths {
        connection.get(path)?;
    }
    load(savor.address, paths, 1, WARM_UP)?;
    println!("{:>5} {:>12} {:>12} {:>12} {:>12}", "round", "p50 ms", "p99 ms", "savor rps", "warp rps");
    let (mut p50, mut p99, mut rps, mut bare_rps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let mut alone = load(savor.address, paths, 1, seconds)?;
        alone.sort_unstable();
        let at = |share: f64| alone[((alone.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        p50.push(at(0.5));
        p99.push(at(0.99));
        rps.push(load(savor.address, paths, connections, seconds)?.len() as f64 / seconds.as_secs_f64());
        bare_rps.push(load(bare.address, paths, connections, seconds)?.len() as f64 / seconds.as_secs_f64());
        let last = |figures: &[f64]| figures.last().copied().unwrap_or_default();
        println!("{round:>5} {:>12.3} {:>12.3} {:>12.0} {:>12.0}", last(&p50), last(&p99), last(&rps), last(&bare_rps));
    }
    Ok(Figures { p50: median(p50), p99: median(p99), rps: median(rps), bare_rps: median(bare_rps) })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The questions: one for each of some thousand users, spread evenly over all, who get a personal answer, by a ranker if one
/// is to be measured.
fn known_users(address: SocketAddr, is_ranked: bool) -> Result<Vec<String>> {
    let mut connection = Connection::open(address)?;
    let mut ids = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let after = cursor.map_or(String::new(), |cursor| format!("&cursor={}", encoded(&cursor)));
        let page: Value = serde_json::from_slice(connection.get(&format!("/v1/users?limit=1000{after}"))?)?;
        ids.extend(
            page["entries"].as_array().into_iter().flatten().filter_map(|user| Some(encoded(user["id"].as_str()?))),
        );
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let mut known = Vec::new();
    for id in ids.iter().step_by(ids.len().div_ceil(USERS).max(1)) {
        let path = format!("/v1/users/{id}/recommendations?limit=10");
        let answer: Value = serde_json::from_slice(connection.get(&path)?)?;
        // New items have no rank; the others of an answer have one, or none has.
        let has_rank = answer["items"].as_array().into_iter().flatten().any(|item| item["rank"].is_number());
        if answer["degraded"].is_null() && (has_rank || !is_ranked) {
            known.push(path);
        }
    }
    if known.len() < 100 {
        let (known, all) = (known.len(), ids.len());
        return Err(format!(
            "{known} of {all} users get such an answer, expected 100: is it trained, has it a ranker?"
        )
        .into());
    }
    Ok(known)
}

fn encoded(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// One answer, for the bare server to repeat.
fn sample(address: SocketAddr, paths: &[String]) -> Result<String> {
    let path = paths.first().ok_or("no users")?;
    Ok(String::from_utf8(Connection::open(address)?.get(path)?.to_vec())?)
}

/// Asks over so many connections for so long; gives the time that each answer took.
fn load(address: SocketAddr, paths: &[String], connections: usize, time: Duration) -> Result<Vec<Duration>> {
    let start = Instant::now();
    let ask = |first: usize| -> Result<Vec<Duration>> {
        let mut connection = Connection::open(address)?;
        let mut times = Vec::new();
        for path in paths.iter().cycle().skip(first * 97) {
            let asked = Instant::now();
            if asked - start >= time {
                break;
            }
            connection.get(path)?;
            times.push(asked.elapsed());
        }
        Ok(times)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|number| scope.spawn(move || ask(number))).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok(all)
    })
}

/// A keep-alive connection that does as little as possible beside the server under test.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    /// The body of an answer that must be a 200.
    fn get(&mut self, path: &str) -> Result<&[u8]> {
        self.request.clear();
        write!(self.request, "GET {path} HTTP/1.1\r\nhost: savor\r\n\r\n")?;
        self.stream.write_all(&self.request)?;
        self.answer.clear();
        let mut chunk = [0; 16 << 10];
        loop {
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            self.answer.extend_from_slice(&chunk[..read]);
            if let Some((head, length)) = head(&self.answer)?
                && self.answer.len() >= head + length
            {
                return Ok(&self.answer[head..head + length]);
            }
        }
    }
}

/// The length of the head and of the body, once the head is there.
fn head(answer: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end])?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("expected a 200: {}", String::from_utf8_lossy(answer)).into());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(Some((end + 4, length.ok_or("no content length")?.parse()?)))
}

/// Warp and nothing else: the route of the main question, the bytes of one answer for everybody.
fn bare_warp(answer: &str) -> Result<()> {
    use warp::Filter;
    let answer = answer.to_owned();
    let route = warp::path!("v1" / "users" / String / "recommendations").and(warp::get()).map(move |_: String| {
        let mut response = warp::http::Response::new(answer.clone());
        let json = warp::http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(warp::http::header::CONTENT_TYPE, json);
        response
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        warp::serve(route).incoming(listener).run().await;
        Ok(())
    })
}
