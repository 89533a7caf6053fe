//! What an answer costs with experiments: the same questions, asked in turns of an engine that keeps nothing, of one that
//! keeps what it shows, and of one on which experiments run as well. See `benches/experiments.sh`.

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{Config, Engine, Event, Query, Timestamp, TrainOptions, User};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USERS: u32 = 2_000;
const ITEMS: u32 = 2_000;
const EVENTS: i64 = 60_000;
const QUESTIONS: usize = 2_000;
const ROUNDS: usize = 5;

fn main() -> Outcome<()> {
    let names = ["plain", "kept", "tested"];
    let dirs = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
    let engines = [engine(dirs[0].path())?, engine(dirs[1].path())?, engine(dirs[2].path())?];
    engines[1].keep_exposures()?;
    engines[2].keep_exposures()?;
    // Both take part for each user: the second one's filter reads the user's profile.
    let target = r#""target":{"must":[{"key":"country","match":{"value":"c1"}}]}"#;
    for (id, rest) in [("first", r#""traffic":5000"#.to_owned()), ("second", format!(r#""traffic":5000,{target}"#))] {
        let plan = format!(r#"{{"layer":"l",{rest},"variants":[{{"name":"A"}},{{"name":"B"}}]}}"#);
        engines[2].put_experiment(id, &serde_json::from_str(&plan)?)?;
        engines[2].start_experiment(id)?;
    }
    let mut took: [Vec<f64>; 3] = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for question in 0..QUESTIONS {
            let query = Query::for_user(format!("u{}", question as u32 * 7 % USERS));
            for (engine, took) in engines.iter().zip(&mut took) {
                let began = Instant::now();
                engine.recommend(&query)?;
                // The first round warms up.
                if round > 0 {
                    took.push(began.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
    }
    let at = |took: &mut Vec<f64>, share: f64| {
        took.sort_by(f64::total_cmp);
        took[((took.len() - 1) as f64 * share) as usize]
    };
    let mut line = String::from("experiments");
    println!("{:8} {:>9} {:>9}", "", "p50, ms", "p99, ms");
    for (name, took) in names.iter().zip(&mut took) {
        let (p50, p99) = (at(took, 0.5), at(took, 0.99));
        println!("{name:8} {p50:9.4} {p99:9.4}");
        line += &format!(" {name}.p50_ms={p50:.4} {name}.p99_ms={p99:.4}");
    }
    let began = Instant::now();
    let report = engines[2].experiment_report("first")?;
    let answers: u64 = report.variants.iter().map(|variant| variant.answers).sum();
    line += &format!(" report.answers={answers} report.ms={:.1}", began.elapsed().as_secs_f64() * 1e3);
    println!("dropped: {} and {}", engines[1].dropped_exposures(), engines[2].dropped_exposures());
    println!("{line}");
    Ok(())
}

/// Users with taste and a profile, and a snapshot.
fn engine(dir: &std::path::Path) -> Outcome<Engine> {
    let mut config = Config::default();
    // Each answer is made anew.
    config.recommend.cache_mib = 0;
    config.train.dimension = 64;
    config.exposures.queue = 100_000;
    let engine = Engine::open(dir.join("data"), config)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let event = |n: i64| {
        let user = random.random_range(0..USERS);
        let item = (user % 20 + 20 * random.random_range(0..ITEMS / 20)) % ITEMS;
        let time = Timestamp::from_millis(1_767_225_600_000 + n * 60_000)?;
        Ok(Event::new(format!("u{user}"), format!("i{item}"), "click").at(time))
    };
    engine.append_events(&(0..EVENTS).map(event).collect::<Outcome<Vec<_>>>()?)?;
    let users = (0..USERS).map(|number| {
        let mut user = User::new(format!("u{number}"));
        user.attributes.insert("country".into(), format!("c{}", number % 2).into());
        user
    });
    engine.put_users(&users.collect::<Vec<_>>())?;
    let snapshot = engine.train(&TrainOptions { measure: false, ranker: false, ..TrainOptions::default() })?;
    engine.activate(snapshot)?;
    Ok(engine)
}
