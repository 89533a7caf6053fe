//! Load and soak: the same people ask and click for as long as wanted, over many connections, and the server must not
//! fail, nor grow, nor lose what it acknowledged.

use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::{Value, json};

use crate::Result;
use crate::population::{Purpose, stream};
use crate::server::{Client, Server};
use crate::world::World;

/// Answers in a row after which one event is sent.
const QUESTIONS_AN_EVENT: usize = 10;
/// Resident memory may grow by so much from the first third of the time to its end.
const GROWTH: f64 = 1.25;
/// And by so many MiB at least: caches fill.
const GROWTH_MIB: f64 = 64.0;
const LOOKS: u32 = 60;

#[derive(Default)]
struct Seen {
    /// Seconds since the start and milliseconds that each answer took.
    questions: Vec<(f64, f64)>,
    events: usize,
    /// Events that the server says it has stored.
    stored: u64,
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
    let before = server.client.get("/v1/stats")?["events"].as_u64().unwrap_or_default();
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let (users, items) = (world.population.users.len(), world.population.items.len());
    let mut memory = Vec::new();
    let mut all = Seen::default();
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..connections)
            .map(|number| {
                let client = server.client.another();
                scope.spawn(move || hammer(&client, seed, number, (start, end), users, items))
            })
            .collect();
        while Instant::now() < end {
            std::thread::sleep(Duration::from_secs(seconds).div_f64(f64::from(LOOKS)));
            if let Some(mib) = server.memory() {
                println!("after {:>6.0} s: {mib:.0} MiB", start.elapsed().as_secs_f64());
                memory.push((start.elapsed().as_secs_f64(), mib));
            }
        }
        for client in clients {
            let seen = client.join().map_err(|_| "a client panicked")??;
            all.questions.extend(seen.questions);
            all.events += seen.events;
            all.stored += seen.stored;
            all.refused += seen.refused;
            all.failed += seen.failed;
        }
        Ok(())
    })?;
    let after = server.client.get("/v1/stats")?["events"].as_u64().unwrap_or_default();
    let sixth = seconds as f64 / 6.0;
    let (p50, p99) = (quantile(&all.questions, 0.5, 0.0..f64::MAX), quantile(&all.questions, 0.99, 0.0..f64::MAX));
    let p99_early = quantile(&all.questions, 0.99, sixth..2.0 * sixth);
    let p99_late = quantile(&all.questions, 0.99, 5.0 * sixth..f64::MAX);
    let mib: Vec<f64> = memory.iter().map(|(_, mib)| *mib).collect();
    let (early, late, grown) = growth(&mib);
    // While caches fill, memory rises by what it may.
    let settled: Vec<_> = memory.iter().copied().filter(|(at, _)| *at > sixth).collect();
    println!(
        "soak seconds={seconds} connections={connections} questions={} events={} p50_ms={p50:.3} p99_ms={p99:.3} \
         p99_early_ms={p99_early:.3} p99_late_ms={p99_late:.3} rps={:.0} refused={} failed={} rss_early_mib={early:.0} \
         rss_late_mib={late:.0} rss_slope_mib_per_hour={:.1} acknowledged={} lost={}",
        all.questions.len(),
        all.events,
        all.questions.len() as f64 / seconds as f64,
        all.refused,
        all.failed,
        3_600.0 * slope(&settled),
        all.stored,
        all.stored as i64 - (after as i64 - before as i64),
    );
    if all.failed > 0 || all.questions.is_empty() {
        return Err(format!("{} answers were a failure, {} were good", all.failed, all.questions.len()).into());
    }
    // Retention may remove old ones only; none of these are.
    if after < before + all.stored {
        return Err(format!("{} events were acknowledged, {} are there", all.stored, after - before).into());
    }
    if grown { Err(format!("memory grew from {early:.0} to {late:.0} MiB").into()) } else { Ok(()) }
}

/// The time within which such a share of the answers of a span came.
fn quantile(answers: &[(f64, f64)], share: f64, span: std::ops::Range<f64>) -> f64 {
    let mut millis: Vec<f64> = answers.iter().filter(|(at, _)| span.contains(at)).map(|(_, millis)| *millis).collect();
    millis.sort_by(f64::total_cmp);
    millis.get((millis.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

/// By how much the second of each pair rises with the first (least squares).
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    let (x, y) = (x / count, y / count);
    let (xy, xx) = points
        .iter()
        .fold((0.0, 0.0), |sum, point| (sum.0 + (point.0 - x) * (point.1 - y), sum.1 + (point.0 - x).powi(2)));
    if xx > 0.0 { xy / xx } else { 0.0 }
}

/// The largest memory of the second sixth and of the last, and whether that is growth. The first sixth fills caches.
fn growth(memory: &[f64]) -> (f64, f64, bool) {
    let largest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let sixth = memory.len() / 6;
    let (early, late) = (largest(&memory[sixth..2 * sixth]), largest(&memory[memory.len() - sixth..]));
    (early, late, late > (early * GROWTH).max(early + GROWTH_MIB))
}

fn hammer(
    client: &Client,
    seed: u64,
    number: usize,
    (start, end): (Instant, Instant),
    users: usize,
    items: usize,
) -> Result<Seen> {
    let mut rng = stream(seed, Purpose::Visit, usize::MAX, number);
    let mut seen = Seen::default();
    while Instant::now() < end {
        let user = format!("u{}", rng.random_range(0..users));
        let asked = Instant::now();
        let (status, answer) = client.ask(&format!("/v1/users/{user}/recommendations?limit=10"), None)?;
        if status == 200 {
            let took = asked.elapsed();
            seen.questions.push(((asked - start).as_secs_f64(), took.as_secs_f64() * 1e3));
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
            let (status, said) = client.ask("/v1/events", Some(&event))?;
            count(&mut seen, status);
            seen.stored += said["accepted"].as_u64().unwrap_or_default();
            seen.events += 1;
        }
    }
    Ok(seen)
}

fn count(seen: &mut Seen, status: u16) {
    seen.refused += usize::from(!(200..300).contains(&status));
    // 503 is a refusal in order.
    seen.failed += usize::from(status >= 500 && status != 503);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_what_rises() {
        assert_eq!(slope(&[(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]), 2.0);
        assert_eq!((slope(&[]), slope(&[(1.0, 1.0)])), (0.0, 0.0));
        assert_eq!(quantile(&[(0.0, 9.0), (1.0, 1.0), (1.5, 3.0)], 0.99, 1.0..2.0), 3.0);
    }

    #[test]
    fn growth_is_told_from_caches_that_fill() {
        let flat: Vec<f64> = (0..60).map(|look| if look < 10 { 10.0 * f64::from(look) } else { 100.0 }).collect();
        assert!(!growth(&flat).2);
        let leak: Vec<f64> = (0..60).map(|look| 100.0 + 5.0 * f64::from(look)).collect();
        assert!(growth(&leak).2);
        assert!(!growth(&[]).2);
    }
}
