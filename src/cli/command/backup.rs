//! `savor backup TO`: a consistent copy, also while the directory is in use by a server (`--url`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cli::args::BackupArgs;
use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::engine::Tenants;

/// Where the copy lies.
#[derive(Serialize, Deserialize)]
struct Backup {
    path: PathBuf,
}

pub fn run(context: &Context, args: BackupArgs) -> Result<(), Failure> {
    let backup = match context.place()? {
        Place::Here(engine) => {
            match context.tenant() {
                Some(_) => engine.backup_with_settings(&args.to)?,
                None => Tenants::around(*engine)?.backup(&args.to)?,
            }
            Backup { path: args.to }
        }
        Place::There(remote) => remote.post("/v1/backups", &serde_json::json!({"name": args.to}))?,
    };
    let sentence = format!("the backup is in {}; `savor restore` takes it", backup.path.display());
    context.output.done(&backup, sentence)
}
