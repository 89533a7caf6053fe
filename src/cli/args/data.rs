//! The words of the commands that move data: `import`, `export`, `user`, `item`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::query::limit;

/// What the records of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecordKind {
    /// What can be recommended, with its metadata
    Items,
    /// Who it is recommended to, with their profiles
    Users,
    /// Who did what with which item, and when
    Events,
}

/// `savor import`.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// What the rows are
    #[arg(value_enum, value_name = "KIND")]
    pub kind: RecordKind,
    /// CSV, TSV, JSON Lines or Parquet, also gzipped, by their names or by --format (csv, tsv, jsonl, parquet,
    /// gorse-jsonl, adjacency); - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Which columns are which fields, as TOML
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// One field's column, such as user=customer or attributes.year=released; {constant="view"} for a constant; repeatable
    #[arg(long, value_name = "FIELD=COLUMN")]
    pub map: Vec<String>,
    /// What stands between the fields of CSV; by the first line if absent
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<String>,
    /// The first line of CSV is a row; columns are called 1, 2, 3, …
    #[arg(long)]
    pub no_header: bool,
    /// Numbers are written 12,5
    #[arg(long)]
    pub decimal_comma: bool,
    /// Store nothing if any row is bad
    #[arg(long)]
    pub strict: bool,
    /// Where bad rows go, as JSON Lines; FILE.rejects.jsonl in the working directory if absent
    #[arg(long, value_name = "FILE", conflicts_with = "strict")]
    pub rejects: Option<PathBuf>,
}

/// `savor export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// What to write
    #[arg(value_enum, value_name = "KIND")]
    pub kind: RecordKind,
    /// The file; standard output if absent
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `savor doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Read every block of the database and every byte of every index, compare the checksums, and compare all entries with each
    /// other
    #[arg(long)]
    pub verify: bool,
    /// List what does not agree with the rest and can be made anew from it; with --yes, do it
    #[arg(long, conflicts_with = "skew")]
    pub repair: bool,
    /// Do what --repair lists
    #[arg(long, requires = "repair")]
    pub yes: bool,
    /// Make sampled feature rows anew from the log, and compare them with those of training and of serving
    #[arg(long)]
    pub skew: bool,
}

/// `savor features …`.
#[derive(Debug, Subcommand)]
pub enum FeaturesCommand {
    /// The columns, what each depends on, and what stands where nothing is known
    List,
    /// How the columns are distributed over the events, and how often nothing is known
    Stats {
        /// A page with plots of the distributions
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// The values of a user, of an item, or of both, as serving sees them now
    Show {
        /// Id of the user
        #[arg(long, value_name = "USER", required_unless_present = "item")]
        user: Option<String>,
        /// Id of the item
        #[arg(long, value_name = "ITEM")]
        item: Option<String>,
    },
}

/// `savor user …`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// A user's profile and last events
    Show {
        /// Id of the user
        #[arg(value_name = "USER")]
        id: String,
        /// How many events
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10, value_parser = limit)]
        limit: usize,
    },
    /// Users with a similar taste
    Similar {
        /// Id of the user
        #[arg(value_name = "USER")]
        id: String,
        /// How many users
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10, value_parser = limit)]
        limit: usize,
    },
    /// An anonymous visitor turns out to be this user: events and attributes of FROM become those of INTO, FROM is deleted
    Merge {
        /// Id of the user who stays
        #[arg(value_name = "INTO")]
        into: String,
        /// Id of the user who goes
        #[arg(value_name = "FROM")]
        from: String,
    },
    /// All that is known about a user, as JSON: profile, events, what was shown, counters, features, experiments
    Export {
        /// Id of the user
        #[arg(value_name = "USER")]
        id: String,
        /// The user's vectors of all snapshots, too
        #[arg(long)]
        vectors: bool,
    },
    /// Delete users: profile, events, factors, every trace
    Delete {
        /// Ids of the users
        #[arg(value_name = "USER", required = true)]
        ids: Vec<String>,
        /// Rewrite the files that still have the bytes, and come back when they are gone
        #[arg(long)]
        purge: bool,
    },
}

/// `savor item …`.
#[derive(Debug, Subcommand)]
pub enum ItemCommand {
    /// An item's metadata
    Show {
        /// Id of the item
        #[arg(value_name = "ITEM")]
        id: String,
    },
    /// Delete items; their events stay in the log and count no more
    Delete {
        /// Ids of the items
        #[arg(value_name = "ITEM", required = true)]
        ids: Vec<String>,
    },
}
