//! What a ranker adds to an answer: the same questions for ten items to one data directory, by turns with the learned ranker,
//! with one that gives the candidates the order that they have, and without any; on one thread. The second finds as many
//! candidates as the first, and is given their metadata: what the first adds to it is features and scores.
//!
//!     cargo bench --bench ranking -- DIR
//!
//! The last line: `rank500_p50_ms=… unranked_p50_ms=… answer_p50_ms=… answer_p99_ms=…`: the difference of the medians with the
//! learned ranker and with the one that does nothing; answers without a ranker; answers with the learned one.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use savor::{Config, Engine, Query, Ranker, RankerQuestion};

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

/// Who puts candidates in order.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Learned,
    Unchanged,
    None,
}

/// Leaves all as it is.
struct Unchanged;

impl Ranker for Unchanged {
    fn score(&self, question: &RankerQuestion<'_>) -> savor::Result<Vec<f32>> {
        Ok(vec![0.0; question.items.len()])
    }
}

fn run(dir: &str) -> savor::Result<()> {
    let orders = [Order::Learned, Order::Unchanged, Order::None];
    let users = ranked(&opened(dir, Order::Learned)?)?;
    let mut times = orders.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (order, times) in orders.into_iter().zip(&mut times) {
            times.extend(answered(&opened(dir, order)?, &users)?);
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let [learned, unchanged, none] = &times;
    let at = |times: &[f64], share: f64| times.get((share * (times.len() - 1) as f64) as usize).copied().unwrap_or(0.0);
    let [with, found, without] = [learned, unchanged, none].map(|times| at(times, 0.5));
    eprintln!(
        "{} users: {with:.3} ms with the ranker, {found:.3} ms with one that does nothing, {without:.3} ms without",
        users.len()
    );
    println!(
        "rank500_p50_ms={:.3} unranked_p50_ms={without:.3} answer_p50_ms={with:.3} answer_p99_ms={:.3}",
        with - found,
        at(learned, 0.99)
    );
    Ok(())
}

fn opened(dir: &str, order: Order) -> savor::Result<Engine> {
    let mut config = Config::default();
    config.ranker.enabled = order == Order::Learned;
    let engine = Engine::open(dir, config)?;
    if order == Order::Unchanged {
        engine.set_ranker(Some(Arc::new(Unchanged)));
    }
    Ok(engine)
}

/// Some users for whom the ranker orders: of others it knows too little.
fn ranked(engine: &Engine) -> savor::Result<Vec<String>> {
    let mut ranked = Vec::new();
    for user in engine.users(None, 10_000)?.entries {
        if engine.recommend(&Query::for_user(&user.id).limit(1))?.items.iter().any(|item| item.rank.is_some()) {
            ranked.push(user.id);
        }
    }
    if ranked.is_empty() {
        return Err(savor::Error::Conflict("the active snapshot has no ranker".into()));
    }
    let step = ranked.len().div_ceil(USERS);
    Ok(ranked.into_iter().step_by(step).collect())
}

/// Milliseconds that answers take when all is in memory.
fn answered(engine: &Engine, users: &[String]) -> savor::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(users.len());
    for pass in 0..2 {
        for user in users {
            let began = Instant::now();
            engine.recommend(&Query::for_user(user).limit(10))?;
            let elapsed = began.elapsed().as_secs_f64() * 1000.0;
            if pass == 1 {
                times.push(elapsed);
            }
        }
    }
    Ok(times)
}
