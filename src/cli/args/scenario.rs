//! The words of `scenario`.

use std::path::PathBuf;

use clap::Subcommand;

/// `savor scenario …`.
#[derive(Debug, Subcommand)]
pub enum ScenarioCommand {
    /// All scenarios as they answer now
    List,
    /// A scenario as TOML, ready to be changed and put again
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// An older version
        #[arg(long, value_name = "NUMBER")]
        version: Option<u64>,
    },
    /// Put a scenario from a TOML (or JSON) file; it answers from the next question on
    Put {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Its name; the file's without its ending if absent
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only if this is still its version; 0 if there is none yet
        #[arg(long, value_name = "NUMBER")]
        expected_version: Option<u64>,
    },
    /// Delete a scenario; its versions stay to be looked up
    Delete {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Only if this is still its version
        #[arg(long, value_name = "NUMBER")]
        expected_version: Option<u64>,
    },
    /// The versions of a scenario, the newest first
    History {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}
