//! What a question costs while the policy trains in the background, beside the same questions in quiet. See
//! `benches/retraining.sh`.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{Config, Engine, Event, Query, Timestamp, TrainOptions};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const START: i64 = 1_767_225_600_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let number = |name: &str, default: usize| value(name).map_or(Ok(default), |text| text.parse::<usize>());
    let (users, items, events) = (number("--users", 20_000)?, number("--items", 10_000)?, number("--events", 600_000)?);
    let seconds = Duration::from_secs(number("--seconds", 15)? as u64);
    let dir = tempfile::tempdir_in(std::env::var_os("SAVOR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into))?;
    let mut config = Config::default();
    // Each answer is made anew.
    config.recommend.cache_mib = 0;
    config.retrain.enabled = true;
    config.retrain.every = None;
    config.retrain.events = 1;
    config.retrain.pause = "1ms".parse()?;
    let engine = Engine::open(dir.path().join("data"), config)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for from in (0..events).step_by(10_000) {
        let batch: Vec<Event> =
            (from..events.min(from + 10_000)).map(|number| event(number, users, items, &mut random)).collect();
        engine.append_events(&batch)?;
    }
    let id = engine.train(&TrainOptions { measure: false, ..TrainOptions::default() })?;
    engine.activate(id)?;
    let quiet = ask(&engine, users, seconds, &mut || Ok(()))?;
    let mut trainings = 0;
    let mut next = events;
    let began = Instant::now();
    // New events for a reason to train; the clock goes on by a day, so that no pause holds it back.
    let busy = ask(&engine, users, seconds, &mut || {
        let is_running =
            engine.jobs()?.first().is_some_and(|job| job.state == savor::JobState::Running && job.kind == "retrain");
        if !is_running {
            engine.append_events(&[event(next, users, items, &mut random)])?;
            next += 1;
            let now = Timestamp::from_millis(Timestamp::now().millis() + 86_400_000 * (trainings + 1))?;
            trainings += i64::from(!engine.tend(now)?.decisions.is_empty());
        }
        Ok(())
    })?;
    eprintln!("{trainings} trainings began in {:.1} s", began.elapsed().as_secs_f64());
    engine.shutdown();
    println!("retraining quiet_p99_ms={quiet:.3} busy_p99_ms={busy:.3} ratio={:.2}", busy / quiet);
    Ok(())
}

/// Users like a tenth of the items, which one their number tells.
fn event(number: usize, users: usize, items: usize, random: &mut ChaCha8Rng) -> Event {
    let user = random.random_range(0..users);
    let place = (random.random::<f64>().powi(2) * items as f64 / 10.0) as usize;
    let item = if random.random::<f64>() < 0.2 { random.random_range(0..items) } else { place * 10 + user % 10 };
    let time = Timestamp::from_millis(START + number as i64 * 1000).unwrap_or(Timestamp::MIN);
    Event::new(format!("u{user}"), format!("i{item}"), "click").at(time)
}

/// The p99 of questions one after another, in milliseconds; `between` is called ten times a second, and its time does not count.
fn ask(engine: &Engine, users: usize, time: Duration, between: &mut dyn FnMut() -> Outcome<()>) -> Outcome<f64> {
    let (began, mut random) = (Instant::now(), ChaCha8Rng::seed_from_u64(2));
    let (mut times, mut last) = (Vec::new(), Duration::ZERO);
    while began.elapsed() < time {
        if began.elapsed() - last > Duration::from_millis(100) {
            last = began.elapsed();
            between()?;
        }
        let query = Query::for_user(format!("u{}", random.random_range(0..users))).limit(10);
        let asked = Instant::now();
        engine.recommend(&query)?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    eprintln!(
        "{:>9} questions: p50 {:.3} ms, p90 {:.3}, p99 {:.3}, p99.9 {:.3}",
        times.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999)
    );
    Ok(at(0.99))
}
