//! Load and soak: the same people ask and click for as long as wanted, over many connections, and the server must not
//! fail, nor grow.

use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::{Value, json};

use crate::Result;
use crate::month::World;
use crate::population::{Purpose, stream};
use crate::server::{Client, Server};

/// Answers in a row after which one event is sent.
const QUESTIONS_AN_EVENT: usize = 10;
/// Resident memory may grow by so much from the first third of the time to its end.
const GROWTH: f64 = 1.25;
/// And by so many MiB at least: caches fill.
const GROWTH_MIB: f64 = 64.0;
const LOOKS: u32 = 60;

#[derive(Default)]
struct Seen {
    questions: Vec<f64>,
    events: usize,
    /// Answers that were no success, and those of them that were a failure of the server.
    refused: usize,
    failed: usize,
}

/// Hammers the server; an error if it failed or grew.
pub fn soak(server: &Server, seed: u64, seconds: u64, connections: usize) -> Result<()> {
    let (world, events) = World::warmed_up(seed);
    server.client.put("/v1/items", &world.items(0))?;
    server.client.put("/v1/events", &events)?;
    server.client.train("always")?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let (users, items) = (world.population.users.len(), world.population.items.len());
    let mut memory = Vec::new();
    let mut all = Seen::default();
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..connections)
            .map(|number| {
                let client = server.client.another();
                scope.spawn(move || hammer(&client, seed, number, end, users, items))
            })
            .collect();
        while Instant::now() < end {
            std::thread::sleep(Duration::from_secs(seconds).div_f64(f64::from(LOOKS)));
            memory.extend(server.memory());
        }
        for client in clients {
            let seen = client.join().map_err(|_| "a client panicked")??;
            all.questions.extend(seen.questions);
            all.events += seen.events;
            all.refused += seen.refused;
            all.failed += seen.failed;
        }
        Ok(())
    })?;
    all.questions.sort_by(f64::total_cmp);
    let at = |share: f64| all.questions.get((all.questions.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    let (early, late, grown) = growth(&memory);
    println!(
        "soak seconds={seconds} connections={connections} questions={} events={} p50_ms={:.3} p99_ms={:.3} rps={:.0} \
         refused={} failed={} rss_early_mib={early:.0} rss_late_mib={late:.0}",
        all.questions.len(),
        all.events,
        at(0.5),
        at(0.99),
        all.questions.len() as f64 / seconds as f64,
        all.refused,
        all.failed,
    );
    if all.failed > 0 || all.questions.is_empty() {
        return Err(format!("{} answers were a 5xx, {} were good", all.failed, all.questions.len()).into());
    }
    if grown { Err(format!("memory grew from {early:.0} to {late:.0} MiB").into()) } else { Ok(()) }
}

/// The largest memory of the second sixth and of the last, and whether that is growth. The first sixth fills caches.
fn growth(memory: &[f64]) -> (f64, f64, bool) {
    let largest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let sixth = memory.len() / 6;
    let (early, late) = (largest(&memory[sixth..2 * sixth]), largest(&memory[memory.len() - sixth..]));
    (early, late, late > (early * GROWTH).max(early + GROWTH_MIB))
}

fn hammer(client: &Client, seed: u64, number: usize, end: Instant, users: usize, items: usize) -> Result<Seen> {
    let mut rng = stream(seed, Purpose::Visit, usize::MAX, number);
    let mut seen = Seen::default();
    while Instant::now() < end {
        let user = format!("u{}", rng.random_range(0..users));
        let asked = Instant::now();
        let (status, answer) = client.ask(&format!("/v1/users/{user}/recommendations?limit=10"), None)?;
        if status == 200 {
            seen.questions.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        count(&mut seen, status);
        if seen.questions.len().is_multiple_of(QUESTIONS_AN_EVENT) {
            // Somebody clicks the first, or finds something.
            let item = match answer["items"][0]["item"].as_str() {
                Some(item) => item.to_owned(),
                None => format!("i{}", rng.random_range(0..items)),
            };
            let event: Value = json!({ "user": user, "item": item, "type": "click", "position": 0,
                "recommendation_id": answer["recommendation_id"] });
            count(&mut seen, client.ask("/v1/events", Some(&event))?.0);
            seen.events += 1;
        }
    }
    Ok(seen)
}

fn count(seen: &mut Seen, status: u16) {
    seen.refused += usize::from(!(200..300).contains(&status));
    seen.failed += usize::from(status >= 500);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_caches_that_fill() {
        let flat: Vec<f64> = (0..60).map(|look| if look < 10 { 10.0 * f64::from(look) } else { 100.0 }).collect();
        assert!(!growth(&flat).2);
        let leak: Vec<f64> = (0..60).map(|look| 100.0 + 5.0 * f64::from(look)).collect();
        assert!(growth(&leak).2);
        assert!(!growth(&[]).2);
    }
}
