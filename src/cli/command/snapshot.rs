//! `savor snapshot …`: what there is, and which of them answers.

use serde::Serialize;

use crate::cli::args::SnapshotCommand;
use crate::cli::bars::Bars;
use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::cli::files::{try_page, write_page};
use crate::cli::place::Active;
use crate::cli::render::{report, snapshot};
use crate::cli::signals::Stop;
use crate::engine::Gate;
use crate::record::SnapshotId;
use crate::report::comparison_page;

pub fn run(context: &Context, command: SnapshotCommand) -> Result<(), Failure> {
    match command {
        SnapshotCommand::List => {
            let mut snapshots = context.place()?.snapshots()?;
            snapshots.sort_by_key(|manifest| std::cmp::Reverse(manifest.id));
            context.output.show(&snapshots, |snapshots| snapshot::list(snapshots))
        }
        SnapshotCommand::Show { id } => {
            let place = context.place()?;
            let manifest = place.snapshot(SnapshotId(id))?;
            let serving = match &place {
                Place::Here(engine) => Some(&engine.config().ranker),
                Place::There(_) => None,
            };
            context.output.show(&manifest, |manifest| snapshot::one(manifest, serving))
        }
        SnapshotCommand::Activate { id, gate } => activate(context, SnapshotId(id), gate),
        SnapshotCommand::Rollback => live(context, context.place()?.rollback()?),
        SnapshotCommand::Compare { a, b, report: shown } => {
            let place = context.place()?;
            shown.report.as_deref().map(try_page).transpose()?;
            let bars = Bars::new(Stop::on_signal()?);
            let comparison = place.compare(SnapshotId(a), SnapshotId(b), &bars)?;
            bars.finish();
            let table = context.output.show(&comparison, |comparison| report::comparison(comparison, shown.slices));
            if let Some(file) = &shown.report {
                write_page(file, &comparison_page(&comparison))?;
            }
            table
        }
        SnapshotCommand::Export { id, to } => {
            context.open()?.export_snapshot(SnapshotId(id), &to)?;
            #[derive(Serialize)]
            struct Exported {
                snapshot: u64,
                path: std::path::PathBuf,
            }
            let sentence = format!("snapshot {id} is in {}", to.display());
            context.output.done(&Exported { snapshot: id, path: to }, sentence)
        }
        SnapshotCommand::Import { from, activate } => {
            let engine = context.open_or_create()?;
            let id = engine.import_snapshot(&from)?;
            if activate {
                engine.activate(id)?;
            }
            let serving = &engine.config().ranker;
            context.output.show(&engine.snapshot(id)?, |manifest| snapshot::one(manifest, Some(serving)))
        }
    }
}

fn activate(context: &Context, id: SnapshotId, gate: bool) -> Result<(), Failure> {
    match context.place()? {
        Place::Here(engine) if gate => engine.activate_if(id, &Gate::from_config(engine.config()))?,
        Place::There(_) if gate => {
            return Err(Failure::Usage("a server compares with the gate when it trains, not here".into()));
        }
        place => place.activate(id)?,
    }
    live(context, id)
}

fn live(context: &Context, active: SnapshotId) -> Result<(), Failure> {
    context.output.done(&Active { active }, format!("snapshot {active} answers now"))
}
