//! `savor list popular|latest`: a list that is the same for everybody.

use crate::cli::args::ListArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::answer;

pub fn run(context: &Context, args: ListArgs) -> Result<(), Failure> {
    let place = context.place()?;
    answer::show(context, &place, &place.list(args.list.into(), args.narrow)?)
}
