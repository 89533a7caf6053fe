//! The words of `savor experiment`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::record::{SnapshotId, Timestamp};

/// `savor experiment …`.
#[derive(Debug, Subcommand)]
pub enum ExperimentCommand {
    /// All experiments and where they stand
    List,
    /// An experiment's plan
    Show {
        /// Its name
        #[arg(value_name = "EXPERIMENT")]
        id: String,
    },
    /// Plan an experiment, or change one
    Put {
        /// Its name
        #[arg(value_name = "EXPERIMENT")]
        id: String,
        /// The plan, as JSON; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// How long it would take, by what was shown in the last four weeks
    Forecast {
        /// Its name
        #[arg(value_name = "EXPERIMENT")]
        id: String,
    },
    /// Users take part from now on
    Start {
        /// Its name
        #[arg(value_name = "EXPERIMENT")]
        id: String,
    },
    /// Nobody takes part any more
    Stop {
        /// Its name
        #[arg(value_name = "EXPERIMENT")]
        id: String,
    },
    /// Remove an experiment that does not run
    Delete {
        /// Its name
        #[arg(value_name = "EXPERIMENT")]
        id: String,
    },
    /// What may be concluded so far, as often as you like to look
    Report {
        /// Its name
        #[arg(value_name = "EXPERIMENT")]
        id: String,
        /// Write a page with plots, too
        #[arg(long, value_name = "FILE.html")]
        report: Option<PathBuf>,
    },
    /// What would this policy have earned, by what was shown and clicked?
    Replay(ReplayArgs),
}

/// `savor experiment replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// The scenario that would have answered
    #[arg(long, value_name = "SCENARIO")]
    pub scenario: Option<String>,
    /// The snapshot that would have answered; the active one if absent
    #[arg(long, value_name = "SNAPSHOT", value_parser = snapshot)]
    pub snapshot: Option<SnapshotId>,
    /// Fields of the question that would have been set, as JSON: {"diversity": {"mmr": 0.3}}
    #[arg(long, value_name = "JSON")]
    pub query: Option<String>,
    /// Only what was shown since then: 2026-11-24 or 2026-11-24T08:30:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Event types that count; repeatable
    #[arg(long = "type", value_name = "TYPE", default_value = "click")]
    pub types: Vec<String>,
    /// At most so many answers, taken at even distances
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10_000)]
    pub limit: usize,
}

fn snapshot(text: &str) -> Result<SnapshotId, String> {
    text.parse().map(SnapshotId).map_err(|_| format!("\"{text}\" is not the number of a snapshot"))
}
