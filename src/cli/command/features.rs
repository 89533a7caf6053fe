//! `savor features …`: the columns of the feature table, their distributions, and the values of a user and an item.

use crate::cli::args::FeaturesCommand;
use crate::cli::bars::Bars;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::files::{try_page, write_page};
use crate::cli::render::features;
use crate::cli::signals::Stop;
use crate::report::features_page;

pub fn run(context: &Context, command: FeaturesCommand) -> Result<(), Failure> {
    match command {
        FeaturesCommand::List => {
            context.output.show(&context.place()?.feature_columns()?, |columns| features::columns(columns))
        }
        FeaturesCommand::Stats { report } => {
            let engine = context.open()?;
            report.as_deref().map(try_page).transpose()?;
            let bars = Bars::new(Stop::on_signal()?);
            let statistics = engine.features(&bars)?;
            bars.finish();
            let shown = context.output.show(&statistics, features::statistics);
            if let Some(file) = &report {
                write_page(file, &features_page(&statistics))?;
            }
            shown
        }
        FeaturesCommand::Show { user, item } => {
            context.output.show(&context.place()?.feature_values(user.as_deref(), item.as_deref())?, features::values)
        }
    }
}
