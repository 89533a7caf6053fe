//! What a ranker adds to an answer: the same questions to one data directory with the ranker asked and left out, by turns,
//! on one thread.
//!
//!     cargo bench --bench ranking -- DIR
//!
//! The last line: `rank500_p50_ms=… answer_p50_ms=… answer_p99_ms=…`, the first of them the difference of the medians.

use std::process::ExitCode;
use std::time::Instant;

use savor::{Config, Engine, Query};

const USERS: usize = 200;
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    match std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(|dir| run(&dir)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("usage: cargo bench --bench ranking -- DIR");
            ExitCode::from(2)
        }
    }
}

fn run(dir: &str) -> savor::Result<()> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut candidates = 0;
    for round in 0..2 * ROUNDS {
        let mut config = Config::default();
        config.ranker.enabled = round % 2 == 0;
        // For everybody, those of whom little is known too: what is measured is the time.
        config.ranker.least_pairs = Some(0);
        candidates = config.ranker.candidates;
        let engine = Engine::open(dir, config)?;
        let mut users: Vec<String> = engine.users(None, 10_000)?.entries.into_iter().map(|user| user.id).collect();
        let step = users.len().div_ceil(USERS).max(1);
        users = users.into_iter().step_by(step).collect();
        let times = if round % 2 == 0 { &mut with } else { &mut without };
        for (pass, user) in users.iter().map(|user| (0, user)).chain(users.iter().map(|user| (1, user))) {
            // Without a ranker as many candidates are found: what is compared is the ranking alone.
            let limit = if round % 2 == 0 { 10 } else { candidates };
            let query = Query::for_user(user).limit(limit);
            let began = Instant::now();
            let answer = engine.recommend(&query)?;
            let elapsed = began.elapsed().as_secs_f64() * 1000.0;
            if round % 2 == 0 && answer.items.iter().all(|item| item.rank.is_none()) && answer.degraded.is_none() {
                return Err(savor::Error::Conflict("the active snapshot has no ranker".into()));
            }
            if pass == 1 {
                times.push(elapsed);
            }
        }
    }
    with.sort_by(f64::total_cmp);
    without.sort_by(f64::total_cmp);
    let at = |times: &[f64], share: f64| times.get((share * (times.len() - 1) as f64) as usize).copied().unwrap_or(0.0);
    eprintln!("{candidates} candidates: {:.3} ms with the ranker, {:.3} ms without", at(&with, 0.5), at(&without, 0.5));
    println!(
        "rank500_p50_ms={:.3} answer_p50_ms={:.3} answer_p99_ms={:.3}",
        at(&with, 0.5) - at(&without, 0.5),
        at(&with, 0.5),
        at(&with, 0.99)
    );
    Ok(())
}
