//! Kills a real Savor, again and again, and looks whether anything that it acknowledged is lost. A model of the engine
//! (`model`) stands beside the process: several lanes of writers (`lane`) write over HTTP, by the library and by commands,
//! one more thread trains, switches, backs up; a schedule (`plan`) from the seed says who is killed when: at a random
//! moment, or at a named fault point (`savor::fault`). Then the directory is opened and compared with the model, whole
//! (`world`).
//!
//! The seed repeats the schedule and what each lane decides. It does not repeat how the threads of the victim come to run,
//! so that a run is never the same twice.

mod lane;
mod model;
mod plan;
mod target;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use savor::fault::Point;

use plan::Schedule;
use world::World;

/// Errors of all kinds; nobody matches on them.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A new directory after so many rounds, so that the comparison stays quick.
const ROUNDS_OF_A_WORLD: u64 = 40;

/// Kills Savor at random moments and at named fault points, and compares what is left with what was acknowledged.
#[derive(Parser)]
struct Args {
    /// Ends after so many minutes
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Ends after so many kills, if that comes first
    #[arg(long)]
    kills: Option<u64>,
    /// Decides the schedule; by the clock if absent
    #[arg(long)]
    seed: Option<u64>,
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

/// What a run has seen.
#[derive(Default)]
struct Figures {
    rounds: u64,
    kills: u64,
    kinds: BTreeMap<String, u64>,
    acknowledged: u64,
    /// Operations in doubt at a kill: not there afterwards, and there whole (an import: in part).
    undone: u64,
    done: u64,
    backups: u64,
    restored: u64,
    compared_events: u64,
    /// Runs that visited a point, and kills at it.
    points: BTreeMap<String, (u64, u64)>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.library {
        Some(dir) => world::config().and_then(|config| target::serve_library(dir, config)),
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
    println!("seed {seed}: the schedule is that of --seed {seed}");
    let binary = match &args.savor {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("savor-victim"),
    };
    let (begun, most) = (Instant::now(), Duration::from_secs_f64(args.minutes * 60.0));
    let mut schedule = Schedule::new(seed);
    let mut figures = Figures::default();
    let mut world = World::new(&binary, &args.golden)?;
    let mut told = Instant::now();
    while begun.elapsed() < most && args.kills.is_none_or(|kills| figures.kills < kills) {
        if figures.rounds > 0 && figures.rounds % ROUNDS_OF_A_WORLD == 0 {
            world = World::new(&binary, &args.golden)?;
        }
        let plan = schedule.next();
        if args.verbose {
            println!("round {}: {plan:?}", figures.rounds);
        }
        if let Err(error) = world.round(&plan, &mut figures) {
            let kept = world.keep();
            return Err(format!(
                "seed {seed}, round {}: {plan:?}: {error}\nthe directory is kept in {}",
                figures.rounds,
                kept.display()
            )
            .into());
        }
        figures.rounds += 1;
        if told.elapsed() > Duration::from_secs(30) {
            println!(
                "{:.0} s: {} kills, {} acknowledged, 0 lost",
                begun.elapsed().as_secs_f64(),
                figures.kills,
                figures.acknowledged
            );
            told = Instant::now();
        }
    }
    report(&figures, seed, begun.elapsed());
    let missed: Vec<_> = Point::ALL
        .iter()
        .map(|point| point.name())
        .filter(|name| figures.points.get(*name).is_none_or(|(_, kills)| *kills == 0))
        .collect();
    match args.all_points && !missed.is_empty() {
        true => Err(format!("no kill at: {}; run longer", missed.join(", ")).into()),
        false => Ok(()),
    }
}

fn report(figures: &Figures, seed: u64, elapsed: Duration) {
    println!("\n{:<28} {:>12} {:>8}", "fault point", "runs visited", "kills");
    for point in Point::ALL {
        let (visits, kills) = figures.points.get(point.name()).copied().unwrap_or_default();
        println!("{:<28} {visits:>12} {kills:>8}", point.name());
    }
    let kinds: Vec<_> = figures.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("\nseed {seed}, {:.0} s, {} rounds: {}", elapsed.as_secs_f64(), figures.rounds, kinds.join(", "));
    println!(
        "{} operations acknowledged; in doubt at a kill: {} not there, {} there",
        figures.acknowledged, figures.undone, figures.done
    );
    println!(
        "{} backups restored and compared, {} restores killed; {} events compared",
        figures.backups, figures.restored, figures.compared_events
    );
    println!("{} kills, 0 lost", figures.kills);
}
