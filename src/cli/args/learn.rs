//! The words of the commands that learn: `train`, `evaluate`, `snapshot`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::query::Differing;

use crate::config::Split;

/// Training settings by name; each is short for `--set train.…`.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Training settings, in place of the configuration's")]
pub struct TrainSettings {
    /// Which model: blend, ials, filter, linear, bpr, softmax, ratings or popularity
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Length of the factors
    #[arg(long, value_name = "COUNT")]
    dimension: Option<String>,
    /// Passes over both sides
    #[arg(long, value_name = "COUNT")]
    epochs: Option<String>,
    /// Weight of the L2 penalty
    #[arg(long, value_name = "NUMBER")]
    regularization: Option<String>,
    /// How the penalty grows with a row's events: 1 in proportion, 0 not at all
    #[arg(long, value_name = "NUMBER")]
    regularization_exponent: Option<String>,
    /// Weight of the pairs without an event
    #[arg(long, value_name = "NUMBER")]
    unobserved_weight: Option<String>,
    /// How a row is solved: auto, cholesky, cg or block
    #[arg(long, value_name = "NAME")]
    solver: Option<String>,
    /// Steps of --solver cg in each pass; the other solvers do not look at it
    #[arg(long, value_name = "COUNT")]
    cg_steps: Option<String>,
    /// The same seed, data and settings give the same factors
    #[arg(long, value_name = "NUMBER")]
    seed: Option<String>,
    /// Threads; 0 means all cores
    #[arg(long, value_name = "COUNT")]
    threads: Option<String>,
}

impl TrainSettings {
    /// The given settings as `--set` takes them.
    pub fn into_settings(self) -> Vec<String> {
        // Models with a table of settings of their own have these three in it.
        let table = match self.model.as_deref() {
            Some("bpr" | "softmax") => "sgd.",
            Some("ratings") => "ratings.",
            _ => "",
        };
        let own = [("dimension", self.dimension), ("epochs", self.epochs), ("regularization", self.regularization)];
        let own = own.map(|(name, value)| (format!("{table}{name}"), value));
        let named = [
            ("model", self.model),
            ("regularization_exponent", self.regularization_exponent),
            ("unobserved_weight", self.unobserved_weight),
            ("solver", self.solver),
            ("cg_steps", self.cg_steps),
            ("seed", self.seed),
            ("threads", self.threads),
        ];
        let named = named.map(|(name, value)| (name.to_owned(), value));
        let given = |(name, value): (String, Option<String>)| value.map(|value| format!("train.{name}={value}"));
        named.into_iter().chain(own).filter_map(given).collect()
    }
}

/// `savor train`.
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// When the new snapshot goes live
    #[arg(long, value_enum, default_value_t = WhenActive::Gate)]
    pub activate: WhenActive,
    /// Do not measure the snapshot on held-out events first; saves half of the time, leaves the gate nothing to compare
    #[arg(long)]
    pub no_measure: bool,
    /// Learn no ranker: candidates stay in the order of retrieval
    #[arg(long)]
    pub no_ranker: bool,
    #[command(flatten)]
    pub settings: TrainSettings,
}

/// When a new snapshot goes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhenActive {
    /// If it passes the configured gate
    Gate,
    /// In any case
    Always,
    /// Not now
    Never,
}

/// `savor evaluate`.
#[derive(Debug, clap::Args)]
pub struct EvaluateArgs {
    /// Hold out by time (time:0.8 trains on the first 80 %), each user's last item (leave-last-out), or every pair once, in
    /// so many trainings (folds:5)
    #[arg(long, value_name = "SPLIT", value_parser = split, conflicts_with = "test")]
    pub split: Option<Split>,
    /// Train on everything stored, test on the user and item pairs of this file (its format by its name or --format)
    #[arg(long, value_name = "FILE")]
    pub test: Option<PathBuf>,
    /// Leave out what a user had any event with before, as answers do, and not only what the user liked
    #[arg(long)]
    pub exclude_seen: bool,
    /// Measure other training settings on the same users, too: KEY=VALUE,…, such as model=ials,dimension=64; repeatable
    #[arg(long, value_name = "SETTINGS")]
    pub compare: Vec<String>,
    #[command(flatten)]
    pub differing: Differing,
    #[command(flatten)]
    pub report: ReportArgs,
    #[command(flatten)]
    pub settings: TrainSettings,
}

/// How a report of measured models is shown.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Show recall by activity of users and by popularity of items, too
    #[arg(long)]
    pub slices: bool,
    /// Write a page with plots, too
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

/// `savor snapshot …`.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// All snapshots, the newest first
    List,
    /// What a snapshot is made of and how good it is
    Show {
        /// Its number
        #[arg(value_name = "SNAPSHOT")]
        id: u64,
    },
    /// Put a snapshot live
    Activate {
        /// Its number
        #[arg(value_name = "SNAPSHOT")]
        id: u64,
        /// Only if it passes the configured gate
        #[arg(long)]
        gate: bool,
    },
    /// Go back to the snapshot that was live before
    Rollback,
    /// Measure two snapshots on the events that came after both were trained
    Compare {
        /// The one that is compared with
        #[arg(value_name = "A")]
        a: u64,
        /// The one that is compared
        #[arg(value_name = "B")]
        b: u64,
        #[command(flatten)]
        report: ReportArgs,
    },
    /// Write a snapshot as one portable file
    Export {
        /// Its number
        #[arg(value_name = "SNAPSHOT")]
        id: u64,
        /// The file
        #[arg(value_name = "TO")]
        to: PathBuf,
    },
    /// Take in a snapshot that `snapshot export` or index-build wrote; it is checked whole and is not live yet
    Import {
        /// The file
        #[arg(value_name = "FROM")]
        from: PathBuf,
        /// Put it live
        #[arg(long)]
        activate: bool,
    },
}

pub fn split(text: &str) -> Result<Split, String> {
    let time = |share: &str| match share.parse() {
        Ok(train) if (0.01..=0.99).contains(&train) => Ok(Split::Time { train }),
        _ => Err(format!("\"{share}\" is not a share between 0.01 and 0.99")),
    };
    match text.split_once(':') {
        Some(("time", share)) => time(share),
        Some(("folds", folds)) => match folds.parse() {
            Ok(folds) if (2..=100).contains(&folds) => Ok(Split::Folds { folds }),
            _ => Err(format!("\"{folds}\" is not a number of parts between 2 and 100")),
        },
        None if text == "time" => Ok(Split::Time { train: 0.8 }),
        None if text == "leave-last-out" => Ok(Split::LeaveLastOut),
        _ => Err("expected time:SHARE, leave-last-out or folds:PARTS".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_its_settings_in_its_own_table() {
        let settings = |model: Option<&str>| {
            let settings = TrainSettings {
                model: model.map(str::to_owned),
                dimension: Some("8".into()),
                seed: Some("1".into()),
                ..TrainSettings::default()
            };
            settings.into_settings()
        };
        assert_eq!(settings(None), ["train.seed=1", "train.dimension=8"]);
        assert_eq!(settings(Some("ials")), ["train.model=ials", "train.seed=1", "train.dimension=8"]);
        assert_eq!(settings(Some("bpr")), ["train.model=bpr", "train.seed=1", "train.sgd.dimension=8"]);
        assert_eq!(settings(Some("ratings")), ["train.model=ratings", "train.seed=1", "train.ratings.dimension=8"]);
    }

    #[test]
    fn a_split_is_named_with_its_share() {
        assert_eq!(split("time:0.9"), Ok(Split::Time { train: 0.9 }));
        assert_eq!(split("leave-last-out"), Ok(Split::LeaveLastOut));
        assert_eq!(split("folds:5"), Ok(Split::Folds { folds: 5 }));
        for text in ["folds", "folds:1", "folds:x", "time:1.5", "time:nan", "random", "leave-last-out:2", ""] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
