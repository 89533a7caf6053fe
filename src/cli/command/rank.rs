//! `savor rank ITEM…`: the caller's own candidates in order for a user or a session; those that are unknown come last.

use crate::cli::args::RankArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::answer;
use crate::record::{Query, RankQuery};

pub fn run(context: &Context, args: RankArgs) -> Result<(), Failure> {
    let place = context.place()?;
    let session = Query::for_session(args.session).session;
    let answer =
        place.rank(&RankQuery { user: args.user, session, items: args.items, explain: false, shown_only: false })?;
    answer::show(context, &place, &answer)
}
