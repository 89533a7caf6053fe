//! The search for settings as a user meets it: killed in the middle it goes on, and what it writes is what training uses.
//!
//! The victim of the kill is this very test binary, started again with a directory in its environment.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "support/command.rs"]
mod command;
mod support;
#[path = "support/turning.rs"]
mod turning;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use command::savor;
use savor::{Engine, Error, ModelKind, Progress, Silent, Step, TuneOptions, Tuned};
use serde_json::Value;
use support::{config, world};
use turning::turning;

const VICTIM: &str = "SAVOR_TEST_TUNE_DIR";

fn options() -> TuneOptions {
    TuneOptions {
        models: vec![ModelKind::Ials, ModelKind::Linear, ModelKind::Popularity],
        trials: 14,
        ..TuneOptions::default()
    }
}

/// What was found, without what depends on the clock.
fn found(tuned: &Tuned) -> Tuned {
    let mut found = Tuned { seconds: 0.0, resumed: 0, ..tuned.clone() };
    found.trials.iter_mut().for_each(|trial| trial.seconds = 0.0);
    found
}

#[test]
fn a_search_that_is_killed_goes_on_and_ends_as_if_it_had_not_been() {
    let whole_dir = tempfile::tempdir().unwrap();
    let engine = world(whole_dir.path());
    let whole = engine.tune(&options(), &Silent).unwrap();
    let measured = engine.tune(&options(), &Silent).unwrap().resumed;
    assert_eq!(whole.resumed, 0);

    let dir = tempfile::tempdir().unwrap();
    drop(world(dir.path()));
    let mut said = 0;
    for _ in 0..3 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim_that_tunes_until_it_is_killed", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        said += lines.filter(|line| line.starts_with("measured")).take(4).count() as u64;
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
    let engine = Engine::open(dir.path(), config()).unwrap();
    let after = engine.tune(&options(), &Silent).unwrap();
    // A measurement is said twice at most: by itself, and as the end of its batch.
    assert!(2 * after.resumed >= said && said >= 8, "{} kept, {said} said", after.resumed);
    assert_eq!(found(&after), found(&whole));
    assert_eq!(whole.fading.as_ref().unwrap().half_life, None, "tastes stay as they are");
    let again = engine.tune(&options(), &Silent).unwrap();
    assert_eq!(again.resumed, measured, "nothing was measured twice");
    assert_eq!(engine.tune(&TuneOptions { fresh: true, ..options() }, &Silent).unwrap().resumed, 0);
}

/// Does nothing unless it is started as the victim. A step is reported when its measurement is on disk; that of a
/// replayed batch is not counted.
#[test]
fn victim_that_tunes_until_it_is_killed() {
    struct Say;
    impl Progress for Say {
        fn report(&self, step: &Step) {
            if matches!(step, Step::Tuning { seconds_left: Some(_), .. }) {
                let mut out = std::io::stdout().lock();
                out.write_all(b"measured\n").and_then(|()| out.flush()).unwrap();
            }
        }
    }
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let engine = Engine::open(Path::new(&dir), config()).unwrap();
    engine.tune(&options(), &Say).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn the_threads_do_not_change_what_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let of = |threads: usize| {
        let mut train = engine.config().train.clone();
        train.threads = threads;
        let options = TuneOptions { train: Some(train), fresh: true, ..options() };
        let mut tuned = found(&engine.tune(&options, &Silent).unwrap());
        tuned.train.threads = 0;
        tuned
    };
    assert_eq!(of(1), of(4));
}

#[test]
fn a_search_inside_a_split_does_not_see_the_test_part() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let inside = TuneOptions { inside: Some(savor::Split::Time { train: 0.8 }), ..options() };
    let before = engine.tune(&inside, &Silent).unwrap();
    // The last fifth of the events, now much longer: it moves the split and is kept out of the search again.
    let users = engine.stats().unwrap().users;
    let events: Vec<_> = (0..200)
        .map(|n| savor::Event::new(format!("u{}", n % users), "g0-0", "click").at(support::time(9_000 + n as i64)))
        .collect();
    engine.append_events(&events).unwrap();
    let after =
        engine.tune(&TuneOptions { inside: Some(savor::Split::Time { train: 0.64 }), ..options() }, &Silent).unwrap();
    assert_eq!(found(&after), found(&before), "640 of 800 events are 640 of 1,000");
    assert!(after.resumed > 0, "it is the same search");
}

#[test]
fn bad_options_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    for (options, field) in [
        (TuneOptions { trials: 0, ..options() }, "trials"),
        (TuneOptions { metric: Some("auc".into()), ..options() }, "metric"),
        (TuneOptions { minutes: Some(f64::NAN), ..options() }, "minutes"),
        (TuneOptions { models: vec![ModelKind::Linear, ModelKind::Ratings], ..options() }, "models"),
    ] {
        let error = engine.tune(&options, &Silent).unwrap_err();
        assert!(matches!(&error, Error::Invalid { field: named, .. } if named == field), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let engine = Engine::open(empty.path(), config()).unwrap();
    assert_eq!(engine.tune(&options(), &Silent).unwrap_err().code(), "no_data");
}

#[test]
fn only_a_named_model_is_taken_and_the_configured_one_is_compared_with() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    assert_eq!(engine.config().train.model, ModelKind::Blend);
    let named = vec![ModelKind::Popularity, ModelKind::Popularity];
    let tuned = engine.tune(&TuneOptions { models: named, ..options() }, &Silent).unwrap();
    assert_eq!(tuned.train.model, ModelKind::Popularity);
    let models: Vec<ModelKind> = tuned.trials.iter().map(|trial| trial.model).collect();
    assert_eq!(models, [ModelKind::Blend, ModelKind::Popularity], "the better one, and what could be chosen");
    assert!(tuned.trials[1].ahead.unwrap() < 0.0);
}

#[test]
fn a_search_without_time_measures_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let error = engine.tune(&TuneOptions { minutes: Some(0.0), ..options() }, &Silent).unwrap_err();
    assert!(error.code() == "no_data" && error.to_string().contains("0 minutes"), "{error}");
    assert_eq!(engine.tune(&options(), &Silent).unwrap().resumed, 0);
}

#[test]
fn a_model_of_ratings_is_not_left_for_one_that_ranks_unless_these_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let mut train = engine.config().train.clone();
    train.model = ModelKind::Ratings;
    let options = |models| TuneOptions { train: Some(train.clone()), models, ..options() };
    let error = engine.tune(&options(Vec::new()), &Silent).unwrap_err().to_string();
    assert!(error.starts_with("models: ") && error.contains("ratings"), "{error}");
    let tuned = engine.tune(&options(vec![ModelKind::Popularity]), &Silent).unwrap();
    assert_eq!((tuned.train.model, tuned.trials.len()), (ModelKind::Popularity, 1));
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let output = savor(dir, &[args, &["--format", "json"]].concat()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_a_search_writes_is_what_training_uses() {
    let place = tempfile::tempdir().unwrap();
    let (dir, data) = (place.path(), place.path().join("data"));
    drop(world(&data));
    // A penalty under which nothing is learned: there must be something better.
    let ours = "# our shop\n[train]\nmodel = \"ials\"\ndimension = 8\nregularization = 1e6 # too much\n\n[snapshot]\nkeep = 2\n";
    std::fs::write(data.join("savor.toml"), ours).unwrap();
    let search = ["tune", "--models", "ials", "--trials", "20"];
    let dry = json(dir, &[&search[..], &["--dry-run"]].concat());
    assert_eq!(std::fs::read_to_string(data.join("savor.toml")).unwrap(), ours);

    let tuned = json(dir, &[&search[..], &["--plot", "search.html"]].concat());
    assert!(dry["resumed"] == 0 && tuned["resumed"].as_u64().unwrap() >= 20, "the second run has nothing to do");
    assert_eq!(tuned["train"], dry["train"]);
    let page = std::fs::read_to_string(dir.join("search.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("regularization"));

    let written = std::fs::read_to_string(data.join("savor.toml")).unwrap();
    assert!(written.starts_with("# our shop\n[train]\n") && written.contains("[snapshot]\nkeep = 2\n"), "{written}");
    assert!(written.contains("# too much") && !written.contains("1e6"), "{written}");
    assert_eq!(json(dir, &["config", "show"])["train"], tuned["train"]);
    let mut trained = json(dir, &["train", "--activate", "always"])["train"].clone();
    for (setting, value) in trained.as_object_mut().unwrap() {
        // What the search leaves to the data is settled by training.
        if tuned["train"][setting] == 0 || tuned["train"][setting] == 0.0 || value.is_object() {
            *value = tuned["train"][setting].clone();
        }
    }
    assert_eq!(trained, tuned["train"]);

    let table = savor(dir, &[&search[..], &["--write", "other.toml"]].concat()).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("chosen: trial") && table.contains("other.toml"), "{table}");
    assert_eq!(json(dir, &["config", "show", "--config", "other.toml"])["train"], tuned["train"]);
}

#[test]
fn where_tastes_turn_events_fade_and_training_is_told() {
    let place = tempfile::tempdir().unwrap();
    let (dir, data) = (place.path(), place.path().join("data"));
    drop(turning(&data, config()));
    let search = ["tune", "--models", "linear", "--trials", "1"];
    let tuned = json(dir, &search);
    let tried = tuned["fading"]["tried"].as_array().unwrap();
    let score =
        |half_life: &Value| tried.iter().find(|tried| tried["half_life"] == *half_life).unwrap()["score"].as_f64();
    let chosen = &tuned["fading"]["half_life"];
    assert!(score(chosen) > score(&Value::Null), "{tried:?}");
    let told = format!("[events]\nhalf_life = {chosen}\n");
    let written = std::fs::read_to_string(data.join("savor.toml")).unwrap();
    assert!(written.contains(&told), "{written}");
    assert_eq!(&json(dir, &["config", "show"])["events"]["half_life"], chosen);
    let again = json(dir, &search);
    assert_eq!(&again["fading"]["tried"][0]["half_life"], chosen, "what is configured is what others must beat");
}

#[test]
fn a_configuration_that_cannot_be_written_to_is_refused_before_the_search() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    drop(world(&data));
    std::fs::write(data.join("savor.toml"), "train = { epochs = 3 }\n").unwrap();
    let output = savor(place.path(), &["tune", "--trials", "1000"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && message.contains("--write"), "{message}");
}
