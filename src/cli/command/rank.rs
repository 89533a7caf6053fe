//! `savor rank ITEM…`: the caller's own candidates in order for a user or a session; those that are unknown come last.

use crate::cli::args::RankArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::answer;
use crate::record::{Query, RankQuery};

pub fn run(context: &Context, args: RankArgs) -> Result<(), Failure> {
    let place = context.place()?;
    let session = Query::for_session(args.session).session;
    let context_of = args.circumstances.into_context();
    let query = RankQuery { user: args.user, session, context: context_of, ..RankQuery::new(args.items) };
    let answer = place.rank(&query)?;
    answer::show(context, &place, &answer)
}
