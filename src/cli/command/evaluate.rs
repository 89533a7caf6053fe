//! `savor evaluate`: the model beside popularity, on events that it has not seen. Nothing is stored.

use crate::cli::args::EvaluateArgs;
use crate::cli::bars::Bars;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::report;
use crate::cli::signals::Stop;
use crate::engine::EvaluateOptions;
use crate::ingest::Source;

pub fn run(context: Context, args: EvaluateArgs) -> Result<(), Failure> {
    let context = context.with_settings(args.settings.into_settings());
    let test = args.test.map(|file| Source { format: context.files, ..Source::file(file) });
    let engine = context.open()?;
    let bars = Bars::new(Stop::on_signal()?);
    let options = EvaluateOptions { train: None, split: args.split, test };
    let evaluation = engine.evaluate(&options, &bars)?;
    bars.finish();
    context.output.show(&evaluation, report::table)
}
