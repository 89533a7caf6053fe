//! `savor explain USER [ITEM…]`: each score, split over the user's past items, and how the index was searched.

use crate::cli::args::ExplainArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::answer;
use crate::cli::titles::Titles;
use crate::record::{Query, RankQuery};

pub fn run(context: &Context, args: ExplainArgs) -> Result<(), Failure> {
    let place = context.place()?;
    let answer = if args.items.is_empty() {
        let query =
            Query { scenario: args.scenario.clone(), ..Query::for_user(&args.user).limit(args.limit).explain() };
        place.recommend(&query)?
    } else {
        let user = Some(args.user.clone());
        place.rank(&RankQuery { user, explain: true, ..RankQuery::new(args.items) })?
    };
    let mut titles = Titles::default();
    if context.output.is_table() {
        titles.learn(&place, answer::ids(&answer))?;
    }
    let head = answer::head(&answer, Some(&args.user));
    context.output.show(&answer, |answer| {
        let table = answer::table(answer, &titles, args.parts);
        let text = format!("{head}\n{table}\n{}\n{}", answer::before(answer, &titles), answer::search(answer));
        text.trim_end().to_owned()
    })
}
