//! `savor similar ITEM`: items like this one.

use crate::cli::args::SimilarArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::answer;
use crate::record::Likeness;

pub fn run(context: &Context, args: SimilarArgs) -> Result<(), Failure> {
    let place = context.place()?;
    let by = if args.next { Likeness::Next } else { Likeness::Taste };
    answer::show(context, &place, &place.similar_items(&args.item, by, args.narrow)?)
}
