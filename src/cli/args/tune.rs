//! The words of `savor tune`.

use std::path::PathBuf;

use super::learn::split;
use crate::config::{ModelKind, Split};

/// `savor tune`.
#[derive(Debug, clap::Args)]
pub struct TuneArgs {
    /// How many candidates, the default of each model among them
    #[arg(long, value_name = "COUNT", default_value_t = 40, value_parser = trials)]
    pub trials: usize,
    /// Begin no measurement after so many minutes, and finish those under way; the minutes of an interrupted search count
    #[arg(long, value_name = "NUMBER", value_parser = minutes)]
    pub minutes: Option<f64>,
    /// Choose among these models only: blend, ials, filter, linear, softmax, bpr, popularity. The configured one is measured
    /// in any case, to compare with
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = model)]
    pub models: Vec<ModelKind>,
    /// What is to be made large, such as ndcg@20 or recall@20; the gate's metric if absent
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<String>,
    /// Search inside the training part of this split alone (time:0.8, leave-last-out), so that `savor evaluate` on the same
    /// split tests on events that no trial has seen
    #[arg(long, value_name = "SPLIT", value_parser = split)]
    pub inside_split: Option<Split>,
    /// Seed of the candidates
    #[arg(long, value_name = "NUMBER", default_value_t = 42)]
    pub seed: u64,
    /// Forget what an interrupted search has found, and begin anew
    #[arg(long)]
    pub fresh: bool,
    /// Memory for trials side by side; half of what is free if absent
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
    /// Write the chosen settings there; into the configuration in use (--config, DIR/savor.toml) if absent
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub write: Option<PathBuf>,
    /// Write no settings
    #[arg(long)]
    pub dry_run: bool,
    /// Draw the search as a page of HTML
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

fn trials(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| (1..=100_000).contains(count)).ok_or_else(|| "expected 1 to 100000".into())
}

fn minutes(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|minutes: &f64| *minutes >= 0.0 && minutes.is_finite());
    number.ok_or_else(|| "expected a number of minutes".into())
}

fn model(text: &str) -> Result<ModelKind, String> {
    text.parse().map_err(|error: crate::error::Error| error.to_string())
}
