//! `savor backup TO`: another generation of a backup, also while the directory is in use by a server (`--url`); what there is, and
//! whether it is good.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::args::BackupArgs;
use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::cli::render::{bytes, count, table};
use crate::engine::{BackupGeneration, Engine, Tenants};

/// What was made.
#[derive(Serialize, Deserialize)]
struct Backup {
    path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<BackupGeneration>,
    sequence: u64,
}

pub fn run(context: &Context, args: BackupArgs) -> Result<(), Failure> {
    if args.list {
        context.only_here()?;
        return list(context, &args.to);
    }
    if args.verify {
        context.only_here()?;
        let (files, size) = Tenants::verify_backup(&args.to)?;
        let sentence = format!("{} files, {}, every byte as it was written", count(files), bytes(size));
        return context.output.done(&serde_json::json!({"files": files, "bytes": size}), sentence);
    }
    if let Some(keep) = args.prune {
        context.only_here()?;
        let pruned = Tenants::prune_backup(&args.to, keep.get())?;
        return context.output.done(&serde_json::json!({"pruned": pruned}), format!("{pruned} generations removed"));
    }
    let backup = match context.place()? {
        Place::Here(engine) => {
            let whole = |engine| Tenants::around(engine);
            let (generation, sequence) = match (context.tenant().is_some(), args.writes) {
                (true, true) => (None, engine.backup_log(&args.to)?.sequence),
                (false, true) => (None, whole(*engine)?.backup_log(&args.to)?.sequence),
                (is_one, false) => {
                    let made =
                        if is_one { engine.backup_with_settings(&args.to) } else { whole(*engine)?.backup(&args.to) }?;
                    let sequence = made.sequence;
                    (Some(made), sequence)
                }
            };
            Backup { path: args.to, generation, sequence }
        }
        Place::There(remote) => {
            remote.post("/v1/backups", &serde_json::json!({"name": args.to, "log": args.writes}))?
        }
    };
    let place = backup.path.display();
    let sentence = match &backup.generation {
        Some(made) => format!(
            "generation {} is in {place}: {}, {} of it new; `savor restore` takes it",
            made.generation,
            bytes(made.bytes),
            bytes(made.new_bytes)
        ),
        None => format!("the writes up to {} are in {place}", backup.sequence),
    };
    context.output.done(&backup, sentence)
}

fn list(context: &Context, of: &Path) -> Result<(), Failure> {
    context.output.show(&Engine::backups(of)?, |generations| {
        let columns = ["generation", "time", "users", "items", "events", "size", "new", "write", "log until"];
        let mut table = table(&columns, &[0, 2, 3, 4, 5, 6, 7, 8]);
        for of in generations {
            table.add_row([
                of.generation.to_string(),
                of.time.to_string(),
                count(of.users),
                count(of.items),
                count(of.events),
                bytes(of.bytes),
                bytes(of.new_bytes),
                of.sequence.to_string(),
                of.log_until.map(|until| until.to_string()).unwrap_or_default(),
            ]);
        }
        table.trim_fmt()
    })
}
