//! `simulate`: people whose tastes are known, and drift, ask a real server over HTTP what to see, and click. It shows
//! what telling the server of events, training it daily and exploring are worth, through a drift that is planted; or
//! it is load, to see that a server stays quick, sound and of the same size.

mod clicks;
mod clock;
mod month;
mod picture;
mod population;
mod server;
#[path = "../../torture/shim.rs"]
#[allow(dead_code)] // It turns no more than the clock.
mod shim;
mod soak;
mod world;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use clock::Clock;
use month::{Month, Policy, live};
use server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const WEEK: usize = 7;

/// A population with known tastes that uses a real server: click-through over a month, load, and soak
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Start this binary, for each policy anew in an empty temporary directory, and turn its clock
    #[arg(long, value_name = "FILE", required_unless_present = "url")]
    savor: Option<PathBuf>,
    /// Or use the server there, which should be empty, and keeps its own settings and clock: one policy that asks a server, or --soak
    #[arg(long, value_name = "URL", conflicts_with = "savor")]
    url: Option<String>,
    /// Who chooses what is shown
    #[arg(long, value_enum, value_delimiter = ',',
        default_values = ["random", "popular", "static", "live", "retrained", "explored", "oracle"])]
    policies: Vec<Policy>,
    /// Decides everything but the server
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated days
    #[arg(long, default_value_t = 28)]
    days: usize,
    /// The day, counted from 1, that begins with the planted drift
    #[arg(long, default_value_t = 15)]
    drift: usize,
    /// Share of the places that `explored` explores with
    #[arg(long, default_value_t = 0.1)]
    explore: f64,
    /// Where the picture goes
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// A setting of the servers that are started, such as train.dimension=32; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Only load: so many seconds
    #[arg(long, value_name = "SECONDS")]
    soak: Option<u64>,
    /// Connections of the load
    #[arg(long, default_value_t = 8)]
    connections: usize,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if let Some(seconds) = args.soak {
        return soak::soak(&server(args, Policy::Live, None)?, args.seed, seconds, args.connections);
    }
    let asking = args.policies.iter().filter(|policy| policy.asks()).count();
    if args.url.is_some() && asking > 1 {
        return Err(format!("--url takes one policy that asks the server, not {asking}: name it by --policies").into());
    }
    let planted = args.drift.saturating_sub(1);
    let alone = |policy: Policy| -> Result<Month> {
        let server = if policy.asks() { Some(server(args, policy, Some(Clock::new()?))?) } else { None };
        let month = live(policy, server.as_ref(), args.seed, args.days, planted)?;
        eprintln!("{}: {:.2} %", policy.name(), 100.0 * month.rate(0..args.days));
        Ok(month)
    };
    // Each has a world and a server of its own.
    let months = std::thread::scope(|scope| {
        let threads: Vec<_> = args.policies.iter().map(|policy| scope.spawn(|| alone(*policy))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a policy panicked")?)
            .collect::<Result<Vec<Month>>>()
    })?;
    table(&months, args.days, planted);
    if let Some(path) = &args.picture {
        std::fs::write(path, picture::svg(&months, planted, args.seed))
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    println!("{}", for_machines(&months, args, planted));
    Ok(())
}

fn server(args: &Args, policy: Policy, clock: Option<Clock>) -> Result<Server> {
    match (&args.url, &args.savor) {
        (Some(url), _) => Ok(Server::there(url)),
        (None, Some(savor)) => {
            let mut settings = policy.settings(args.explore);
            settings.extend(args.settings.iter().cloned());
            Server::start(savor, &settings, clock)
        }
        (None, None) => Err("--savor FILE or --url URL is missing".into()),
    }
}

/// Percent of what was shown, by week, the week before the drift, the week after, and the last.
fn table(months: &[Month], days: usize, planted: usize) {
    print!("{:<12}", "clicks, %");
    for week in 1..=days.div_ceil(WEEK) {
        print!("{:>8}", format!("week {week}"));
    }
    println!("{:>8}{:>8}{:>8}{:>10}", "before", "after", "all", "live/runs");
    for month in months {
        print!("{:<12}", month.policy.name());
        for week in 0..days.div_ceil(WEEK) {
            print!("{:>8.2}", 100.0 * month.rate(week * WEEK..(week + 1) * WEEK));
        }
        let [before, after, all] = [0..planted, planted..days, 0..days].map(|days| 100.0 * month.rate(days));
        println!("{before:>8.2}{after:>8.2}{all:>8.2}{:>10}", format!("{}/{}", month.live, month.trained));
    }
}

fn for_machines(months: &[Month], args: &Args, planted: usize) -> String {
    let mut line = format!("simulate seed={} days={} drift={}", args.seed, args.days, args.drift);
    for month in months {
        let name = month.policy.name();
        let [all, before, after] = [0..args.days, 0..planted, planted..args.days].map(|days| month.rate(days));
        line += &format!(" {name}_ctr={all:.4} {name}_before={before:.4} {name}_after={after:.4}");
    }
    line
}
