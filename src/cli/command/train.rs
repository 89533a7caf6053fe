//! `savor train`: a new snapshot, measured, and live if it passes the gate. On a server it is a background job that is
//! followed here; Ctrl-C cancels it there.

use std::time::Duration;

use crate::cli::args::{TrainArgs, WhenActive};
use crate::cli::bars::Bars;
use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::cli::remote::Remote;
use crate::cli::render::snapshot;
use crate::cli::signals::Stop;
use crate::engine::{Activate, Engine, Gate, Job, JobState, TrainOptions};
use crate::error::Error;
use crate::progress::Progress;
use crate::snapshot::Manifest;

const POLL: Duration = Duration::from_millis(300);

pub fn run(context: Context, args: TrainArgs) -> Result<(), Failure> {
    let context = context.with_settings(args.settings.into_settings());
    let activate = match args.activate {
        WhenActive::Gate => Activate::Gate,
        WhenActive::Always => Activate::Always,
        WhenActive::Never => Activate::Never,
    };
    let options = TrainOptions { train: None, measure: !args.no_measure, ranker: !args.no_ranker, activate };
    let manifest = match context.place()? {
        Place::Here(engine) => here(&engine, &options)?,
        Place::There(remote) => {
            let train = context.settings_for_server()?.map(|config| config.train);
            there(&remote, &TrainOptions { train, ..options })?
        }
    };
    context.output.show(&manifest, |manifest| snapshot::one(manifest, None))
}

fn here(engine: &Engine, options: &TrainOptions) -> Result<Manifest, Failure> {
    let bars = Bars::new(Stop::on_signal()?);
    let id = engine.train_with(options, &bars)?;
    bars.finish();
    match options.activate {
        Activate::Gate => engine.activate_if(id, &Gate::from_config(engine.config()))?,
        Activate::Always => engine.activate(id)?,
        Activate::Never => (),
    }
    Ok(engine.snapshot(id)?)
}

fn there(remote: &Remote, options: &TrainOptions) -> Result<Manifest, Failure> {
    let bars = Bars::new(Stop::on_signal()?);
    let mut job: Job = remote.post("/v1/train", options)?;
    let path = format!("/v1/jobs/{}", job.id);
    let mut asked_to_stop = false;
    while job.state == JobState::Running {
        if let Some(step) = &job.step {
            bars.report(step);
        }
        if bars.cancelled() && !asked_to_stop {
            asked_to_stop = true;
            remote.delete(&path)?;
        }
        std::thread::sleep(POLL);
        job = remote.get(&path)?;
    }
    bars.finish();
    match (job.state, job.snapshot, job.message) {
        (JobState::Done, Some(id), None) => remote.get(&format!("/v1/snapshots/{id}")),
        (JobState::Cancelled, ..) => Err(Error::Cancelled("training").into()),
        (_, _, message) => Err(Failure::Server {
            code: "job_failed".into(),
            detail: message.unwrap_or_else(|| format!("job {} ended without a snapshot", job.id)),
        }),
    }
}
