//! Connections that do nothing good: idle ones, ones that send byte by byte, ones that do not read. Meanwhile somebody asks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::client::{Request, closed_loop};
use super::server::Server;
use super::{DEADLINE, Result};

const IDLE: usize = 10_000;
const SLOW: usize = 1_000;
const DEAF: usize = 500;
/// How long each lasts.
const TIME: Duration = Duration::from_secs(5);

/// Answers within the deadline, a second, while nothing is wrong, and then under each kind of abuse; what memory that takes.
pub fn run(server: &Server, requests: &[Request]) -> Result<()> {
    let asked = || rate(server.address, requests);
    let (usual, before) = (asked()?, server.memory_mib()?);
    println!("{:<44} {usual:>8.0} answers/s, {before:>6.0} MiB", "nothing wrong");
    let report = |what: &str, rate: f64| -> Result<()> {
        println!("{what:<44} {rate:>8.0} answers/s, {:>6.0} MiB", server.memory_mib()?);
        Ok(())
    };
    let idle = open(server.address, IDLE)?;
    let asking = Instant::now();
    let first = answers(server.address)?;
    println!(
        "{} idle connections opened; a new one is answered ({first}) after {:.1} ms",
        idle.len(),
        asking.elapsed().as_secs_f64() * 1e3
    );
    report("10,000 idle connections", asked()?)?;
    drop(idle);
    let mut slow = open(server.address, SLOW)?;
    let dripping = std::thread::spawn(move || {
        let end = Instant::now() + 2 * TIME;
        while Instant::now() < end {
            // The server closes them: that is no failure of this.
            slow.iter_mut().for_each(|stream| drop(stream.write(b"x")));
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    report("1,000 connections that send byte by byte", asked()?)?;
    dripping.join().map_err(|_| "the slow clients panicked")?;
    let mut deaf = open(server.address, DEAF)?;
    let ask = b"GET /v1/lists/popular?limit=1000 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(50);
    deaf.iter_mut().for_each(|stream| drop(stream.write(&ask)));
    report("500 connections that ask and do not read", asked()?)?;
    Ok(())
}

fn rate(address: SocketAddr, requests: &[Request]) -> Result<f64> {
    let tally = closed_loop(address, requests, 8, TIME, DEADLINE)?;
    Ok(tally.good() as f64 / TIME.as_secs_f64())
}

fn open(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        open.push(stream);
    }
    Ok(open)
}

/// The status line that a new connection gets.
fn answers(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let mut start = [0; 15];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}
