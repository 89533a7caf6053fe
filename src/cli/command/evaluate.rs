//! `savor evaluate`: models beside popularity, on events that they have not seen. Nothing is stored.

use crate::cli::args::EvaluateArgs;
use crate::cli::bars::Bars;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::files::{try_page, write_page};
use crate::cli::render::report;
use crate::cli::settings;
use crate::cli::signals::Stop;
use crate::engine::EvaluateOptions;
use crate::ingest::Source;
use crate::report::evaluation_page;

pub fn run(context: Context, args: EvaluateArgs) -> Result<(), Failure> {
    let context = context.with_settings(args.settings.into_settings());
    let test = args.test.map(|file| Source { format: context.files, ..Source::file(file) });
    let engine = context.open()?;
    let own = &engine.config().train;
    let compare = args.compare.iter().map(|text| settings::contender(own, text)).collect::<Result<_, _>>()?;
    args.report.report.as_deref().map(try_page).transpose()?;
    let bars = Bars::new(Stop::on_signal()?);
    let diversity = args.differing.into_diversity();
    let exclude_seen = args.exclude_seen;
    let options = EvaluateOptions { train: None, compare, diversity, split: args.split, exclude_seen, test };
    let evaluation = engine.evaluate(&options, &bars)?;
    bars.finish();
    let shown = context.output.show(&evaluation, |evaluation| report::evaluation(evaluation, args.report.slices));
    if let Some(file) = &args.report.report {
        write_page(file, &evaluation_page(&evaluation))?;
    }
    shown
}
