//! What the user typed, word by word: clap's structures and nothing else. What it means (which directory or server, which
//! configuration) is worked out in [`super::context`]; clap itself refuses bad usage with exit code 2.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::ingest;
use crate::record::Timestamp;

mod data;
mod experiment;
mod key;
mod learn;
mod query;
mod scenario;
mod tenant;
mod tune;

pub use data::{DoctorArgs, ExportArgs, FeaturesCommand, ImportArgs, ItemCommand, RecordKind, UserCommand};
pub use experiment::{ExperimentCommand, ReplayArgs};
pub use key::{AuditArgs, CreateKeyArgs, KeyCommand};
pub use learn::{EvaluateArgs, SnapshotCommand, TrainArgs, WhenActive};
pub use query::{ExplainArgs, ListArgs, Narrow, RankArgs, RecommendArgs, SimilarArgs};
pub use scenario::ScenarioCommand;
pub use tenant::{Said, TenantCommand, TenantWord};
pub use tune::TuneArgs;

/// An embedded recommendation engine: events in; trained, indexed and served recommendations out.
#[derive(Debug, Parser)]
#[command(name = "savor", version, max_term_width = 110, after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  savor import items films.csv && savor import events ratings.csv
  savor train
  savor recommend alice
  savor serve
  savor recommend alice --url http://127.0.0.1:8380

Exit codes: 0 done, 1 failed, 2 bad usage.";

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// The data directory
    #[arg(long, global = true, env = "SAVOR_DATA", value_name = "DIR", default_value = "./savor-data")]
    pub data: PathBuf,
    /// The tenant that the command is about; the data directory itself if absent, or `default`
    #[arg(long, global = true, env = "SAVOR_TENANT", value_name = "NAME")]
    pub tenant: Option<TenantWord>,
    /// The configuration; DIR/savor.toml if there is one
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting in place of the configuration's, such as train.dimension=32; repeatable
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Send the command to the server there, not to a data directory
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// The API key for the server, in a file; or SAVOR_API_KEY in the environment. Never an argument: those are for all to see
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The authorities (PEM) that vouch for the server's certificate, in place of the public ones
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How results are written: table, or json (one document a line). For import also the format of the files
    #[arg(long, global = true, value_name = "FORMAT")]
    pub format: Vec<FormatWord>,
    /// What is logged, on standard error: a level or tracing's directives; warn, or info for serve
    #[arg(long, global = true, env = "RUST_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// How the log is written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// A word after `--format`. Results and files have no format in common, so that `import` can take both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatWord {
    /// How results are written.
    Results(Format),
    /// How the files of an import are written.
    Files(ingest::Format),
}

/// How results are written to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tables for people.
    Table,
    /// One JSON document a line.
    Json,
}

impl FromStr for FormatWord {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "table" => Ok(Self::Results(Format::Table)),
            "json" => Ok(Self::Results(Format::Json)),
            other => other.parse().map(Self::Files),
        }
    }
}

impl Common {
    /// How results are written.
    pub fn results(&self) -> Format {
        let results = |word: &FormatWord| match word {
            FormatWord::Results(format) => Some(*format),
            FormatWord::Files(_) => None,
        };
        self.format.iter().rev().find_map(results).unwrap_or(Format::Table)
    }

    /// How files are written, if that was said.
    pub fn files(&self) -> Option<ingest::Format> {
        let files = |word: &FormatWord| match word {
            FormatWord::Results(_) => None,
            FormatWord::Files(format) => Some(*format),
        };
        self.format.iter().rev().find_map(files)
    }
}

/// How the log is written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read items, users or events from files
    Import(ImportArgs),
    /// Write items, users or events as JSON Lines
    Export(ExportArgs),
    /// Learn a snapshot from the events, measure it, and put it live if it passes the gate
    Train(TrainArgs),
    /// Search models and settings, and write the best into the configuration
    Tune(TuneArgs),
    /// Measure models on held-out events, beside popularity
    Evaluate(EvaluateArgs),
    /// What should these users see next?
    Recommend(RecommendArgs),
    /// Items like this one
    Similar(SimilarArgs),
    /// A list that is the same for everybody
    List(ListArgs),
    /// Put your own candidates in order for a user or a session
    Rank(RankArgs),
    /// Why a user is recommended what: each score, split over the user's past items
    Explain(ExplainArgs),
    /// Answer over HTTP until stopped
    Serve(ServeArgs),
    /// List, show, switch, compare, export and import snapshots
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// List, show, put and delete scenarios: serving configurations with sources and rules
    #[command(subcommand)]
    Scenario(ScenarioCommand),
    /// Plan, start, watch and end experiments; what would another policy have earned?
    #[command(subcommand)]
    Experiment(ExperimentCommand),
    /// Look up, export, join and delete users
    #[command(subcommand)]
    User(UserCommand),
    /// Look up and delete items
    #[command(subcommand)]
    Item(ItemCommand),
    /// What is known of users and items as numbers: columns, distributions, values
    #[command(subcommand)]
    Features(FeaturesCommand),
    /// List, show, make, change and delete tenants: namespaces of which none sees another's
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Make, list, rotate and revoke API keys: who may ask a server
    #[command(subcommand)]
    Key(KeyCommand),
    /// What was done, by which key, and who was not let in
    Audit(AuditArgs),
    /// Remove the events that are older than the retention of their type
    Expire,
    /// Rewrite the files that still have the bytes of what has been deleted
    Purge,
    /// Back the data directory up while it is in use; look after backups
    Backup(BackupArgs),
    /// Make a data directory from a backup
    Restore(RestoreArgs),
    /// What has changed in the events since the snapshot was trained, which alarms are up, and what was decided
    Drift(DriftArgs),
    /// How much there is, and what serves
    Stats,
    /// Check the data directory; fails when something is not as it should be
    Doctor(DoctorArgs),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// `savor serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Address and port, in place of the configuration's; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// Listen beyond loopback though there are no API keys: everybody who reaches the server may then do everything
    #[arg(long)]
    pub open_to_everybody: bool,
}

/// `savor drift`.
#[derive(Debug, clap::Args)]
pub struct DriftArgs {
    /// Every statistic, not only the largest
    #[arg(long)]
    pub all: bool,
    /// So many of the latest decisions
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub decisions: usize,
}

/// `savor backup`.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// The folder of the backup, new or with generations in it; with --url, a name in the folder that the server's operator has
    /// chosen
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    /// Only the writes since the last generation, so that a moment between two of them can be restored
    #[arg(long)]
    pub writes: bool,
    /// List the generations
    #[arg(long, conflicts_with = "writes")]
    pub list: bool,
    /// Read every byte of the backup and compare the checksums
    #[arg(long, conflicts_with_all = ["writes", "list"])]
    pub verify: bool,
    /// Remove all generations but the newest COUNT
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["writes", "list", "verify"])]
    pub prune: Option<std::num::NonZeroUsize>,
}

/// `savor restore`.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The backup; it is put into the data directory (--data), which must be empty or new
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
    /// This generation; the newest, and the writes after it, if absent
    #[arg(long, value_name = "NUMBER")]
    pub generation: Option<u64>,
    /// Everything up to the write with this number
    #[arg(long, value_name = "NUMBER", conflicts_with = "generation")]
    pub sequence: Option<u64>,
    /// Everything that was written until this time (2026-01-31T12:00:00Z, or milliseconds)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["generation", "sequence"])]
    pub time: Option<Timestamp>,
    /// Revoke the keys that are in it: among them are those that were revoked since, and secrets that were rotated away
    #[arg(long)]
    pub revoke_keys: bool,
}

/// `savor config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting with its value, as TOML (or JSON)
    Show,
    /// Say whether the configuration is valid, and what is wrong with it
    Check,
}
