//! A search for settings as a table: every trial, the best first.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{count, table as empty};
use crate::config::HalfLife;
use crate::engine::{Fading, Tuned, TunedTrial};

/// Conditions, trials, what was chosen, and where it was written to with the command that takes it from there.
pub fn table(tuned: &Tuned, written: Option<(&Path, &str)>) -> String {
    let mut text = format!(
        "{} on {}, {} users; {} trials in {:.0} s{}\n\n",
        tuned.metric,
        tuned.split,
        count(tuned.users),
        tuned.trials.len(),
        tuned.seconds,
        if tuned.resumed > 0 { format!(", {} measurements of an earlier run", tuned.resumed) } else { String::new() },
    );
    if let Some(fading) = &tuned.fading {
        text += &format!("{}\n\n{}\n\n", half_lives(fading), faded(fading));
    }
    text += &trials(tuned);
    text += &format!("\n\nchosen: trial {}, {}", tuned.chosen, tuned.reason);
    text += &match written {
        Some((file, command)) => format!("\nwritten to {}: `{command}` takes it from there", file.display()),
        None => "\nnothing is written".into(),
    };
    text
}

fn half_lives(fading: &Fading) -> String {
    let mut table = empty(&["half-life", "score", "ahead"], &[1]);
    for tried in &fading.tried {
        let mark = if tried.half_life == fading.half_life { "> " } else { "" };
        let name = HalfLife::from(tried.half_life);
        table.add_row([format!("{mark}{name}"), format!("{:.4}", tried.score), difference(tried.ahead, tried.error)]);
    }
    table.trim_fmt()
}

/// The half-life under which everything else was measured, and why.
pub fn faded(fading: &Fading) -> String {
    let name =
        fading.half_life.map_or_else(|| "events do not fade".into(), |span| format!("events halve every {span}"));
    format!("{name}: {}", fading.reason)
}

fn trials(tuned: &Tuned) -> String {
    let rungs = tuned.rungs.iter().map(String::as_str);
    let header: Vec<&str> = ["trial", "model"].into_iter().chain(rungs).chain(["ahead", "s", "settings"]).collect();
    let mut table = empty(&header, &Vec::from_iter((0..header.len() - 1).filter(|place| *place != 1)));
    for trial in &tuned.trials {
        let scores = trial.scores.iter().map(|score| score.map(|score| format!("{score:.4}")).unwrap_or_default());
        let first = [
            format!("{}{}", if trial.number == tuned.chosen { "> " } else { "" }, trial.number),
            trial.model.name().into(),
        ];
        let last = [ahead(trial), format!("{:.1}", trial.seconds), told(trial)];
        table.add_row(first.into_iter().chain(scores).chain(last));
    }
    table.trim_fmt()
}

/// How far ahead of the configured model's default, with the standard error.
pub fn ahead(trial: &TunedTrial) -> String {
    difference(trial.ahead, trial.error)
}

fn difference(ahead: Option<f64>, error: Option<f64>) -> String {
    let error = error.map_or(String::new(), |error| format!(" ± {error:.4}"));
    ahead.map_or(String::new(), |ahead| format!("{ahead:+.4}{error}"))
}

/// What is special about a trial.
pub fn told(trial: &TunedTrial) -> String {
    match &trial.failure {
        Some(failure) => failure.clone(),
        None if trial.is_default => "as configured".into(),
        None => settings(&trial.settings),
    }
}

fn settings(settings: &BTreeMap<String, Value>) -> String {
    settings
        .iter()
        .map(|(path, value)| format!("{path}={}", value.to_string().trim_matches('"')))
        .collect::<Vec<_>>()
        .join(" ")
}
