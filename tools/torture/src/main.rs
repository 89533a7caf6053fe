//! Kills a real Savor, again and again, and looks whether anything that it acknowledged is lost. A model of the engine
//! (`model`) stands beside the process: several lanes of writers (`lane`) write over HTTP, by the library and by commands,
//! one more thread trains, switches, backs up, another makes tenants and keys (`tenancy`); a schedule (`plan`) from the seed says who is killed when: at a random
//! moment, or at a named fault point (`savor::fault`). Then the directory is opened and compared with the model, whole
//! (`compare`).
//!
//! The seed repeats the schedules and what each lane decides. It does not repeat how the threads of the victim come to run,
//! so that a run is never the same twice.

mod commands;
mod compare;
mod copies;
mod estate;
mod figures;
mod finding;
mod holdings;
mod lane;
mod library;
mod model;
mod operator;
mod plan;
mod serving;
mod target;
mod tenancy;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;

use figures::Figures;
use plan::Schedule;
use world::World;

/// An error of any kind: a [`finding::Finding`], an error of the engine, or of the torture itself.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

/// A new directory after so many rounds, so that the comparison stays quick.
const ROUNDS_OF_A_WORLD: u64 = 40;

/// Kills Savor at random moments and at named fault points, and compares what is left with what was acknowledged.
///
/// After a finding the directory is kept, a new one is begun, and the run goes on; after `--findings` it ends. The exit code is 0
/// only where there was none. The last line:
///
///   torture kills=… lost=… failed_opens=… mixed=… panics=… seed=… wrong_answers=… acknowledged=… seconds=…
///
/// kills: processes that SIGKILL ended. lost: records that are not as they were acknowledged (gone, other ones, back after
/// their deletion), also in a backup; the switch to a snapshot counts as one. failed_opens: directories that could not be opened or read
/// afterwards, and commands on them that failed. mixed: states that are half there: a write that was in doubt and is neither
/// whole nor absent, records that do not fit the counts or each other (`savor doctor --verify`), a snapshot, backup or restored directory
/// that is visible without being whole, files that nobody owns, an answer with an item that is not there. panics: panics in what a victim wrote to standard
/// error or in the engine that compares, and victims that ended by themselves. wrong_answers: what a running Savor refused
/// though it is valid, or counted wrongly.
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// Ends after so many seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Ends after so many kills, if that comes first
    #[arg(long)]
    kills: Option<u64>,
    /// Ends after so many findings, each of which leaves its directory behind
    #[arg(long, default_value_t = 20)]
    findings: u64,
    /// Decides the schedules; by the clock if absent
    #[arg(long)]
    seed: Option<u64>,
    /// Directories that are worked on at the same time, each by a schedule and processes of its own
    #[arg(long, default_value_t = 2)]
    worlds: u64,
    /// Fails unless the process was killed at every fault point
    #[arg(long)]
    all_points: bool,
    /// Tells each round
    #[arg(long)]
    verbose: bool,
    /// The binary that is killed: a `savor` with fault points; the one beside this if absent
    #[arg(long)]
    savor: Option<PathBuf>,
    /// Directories of older formats, `NAME/data` each
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden"))]
    golden: PathBuf,
    /// The victim with the library in it; started by the program itself
    #[arg(long, hide = true)]
    library: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.library {
        Some(dir) => world::config().and_then(|config| library::serve_library(dir, config)),
        None => run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("torture: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let clock =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = args.seed.unwrap_or_else(clock);
    println!("seed {seed}: the schedules are those of --seed {seed} --worlds {}", args.worlds);
    let binary = match &args.savor {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("savor-victim"),
    };
    let run =
        Run { args, binary, seed, begun: Instant::now(), figures: Mutex::default(), broke: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        let worlds: Vec<_> = (0..args.worlds.max(1)).map(|world| (world, &run)).collect();
        let worlds: Vec<_> = worlds.into_iter().map(|(world, run)| scope.spawn(move || run.torture(world))).collect();
        // All of them come to their end before the first error is told.
        let outcomes: Vec<_> = worlds.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        outcomes.into_iter().try_for_each(|outcome| outcome.unwrap_or_else(|_| Err("the torture panicked".into())))
    })?;
    let figures = run.figures();
    figures.report(seed, run.begun.elapsed());
    let missed = figures.missed();
    match (figures.findings, args.all_points && !missed.is_empty()) {
        (0, false) => Ok(()),
        (0, true) => Err(format!("no kill at: {}; run longer", missed.join(", ")).into()),
        (findings, _) => Err(format!("{findings} findings; they are told above").into()),
    }
}

/// What the worlds of a run share.
struct Run<'a> {
    args: &'a Args,
    binary: PathBuf,
    seed: u64,
    begun: Instant,
    figures: Mutex<Figures>,
    /// One of the worlds cannot go on.
    broke: AtomicBool,
}

impl Run<'_> {
    /// One round after the other.
    fn torture(&self, number: u64) -> Result<()> {
        let outcome = self.rounds(number);
        if outcome.is_err() {
            self.broke.store(true, Ordering::Relaxed);
        }
        outcome
    }

    fn rounds(&self, number: u64) -> Result<()> {
        let mut schedule = Schedule::new(self.seed, number, self.args.worlds);
        let mut world = World::new(&self.binary, &self.args.golden)?;
        for round in 0.. {
            if self.is_over() {
                break;
            }
            if round > 0 && round % ROUNDS_OF_A_WORLD == 0 {
                world = World::new(&self.binary, &self.args.golden)?;
            }
            let plan = schedule.next();
            if self.args.verbose {
                println!("world {number}, round {round}: {plan:?}");
            }
            let mut figures = Figures::default();
            let findings = world.round(&plan, &mut figures)?;
            if !findings.is_empty() {
                let kills = self.figures().kills + figures.kills;
                for finding in findings {
                    eprintln!("{kills} kills, seed {}, world {number}, round {round}, {plan:?}: {finding}", self.seed);
                    figures.count(&finding);
                }
                eprintln!("the directory is kept in {}", world.keep().display());
                world = World::new(&self.binary, &self.args.golden)?;
            }
            self.figures().add(figures, self.begun.elapsed());
        }
        Ok(())
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        let figures = self.figures();
        self.begun.elapsed() >= Duration::from_secs(self.args.seconds)
            || self.args.kills.is_some_and(|kills| figures.kills >= kills)
            || figures.findings >= self.args.findings
            || self.broke.load(Ordering::Relaxed)
    }
}
