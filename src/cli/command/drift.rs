//! `savor drift`: what has changed since the snapshot was trained, and what was decided.

use serde::Serialize;

use crate::cli::args::DriftArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::drift;
use crate::monitor::{Decision, DriftReport};

/// Both, for machines.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    drift: DriftReport,
    decisions: Vec<Decision>,
}

pub fn run(context: &Context, args: &DriftArgs) -> Result<(), Failure> {
    let place = context.place()?;
    let drift = place.drift()?;
    let decisions = place.decisions(args.decisions)?;
    let shown = Shown { drift, decisions };
    context.output.show(&shown, |shown| drift::shown(&shown.drift, &shown.decisions, args.all))
}
