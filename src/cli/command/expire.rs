//! `savor expire`: events older than the retention of their type go.

use crate::cli::context::Context;
use crate::cli::failure::Failure;

pub fn run(context: &Context) -> Result<(), Failure> {
    let expired = context.place()?.expire()?;
    context.output.done(&expired, format!("{} events were too old and are removed", expired.events))
}
