//! `savor recommend USER…`: an answer for each user, or for an anonymous visitor by session items.

use crate::cli::args::RecommendArgs;
use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::cli::liked::liked;
use crate::cli::render::answer;
use crate::cli::titles::Titles;
use crate::record::{Answer, ExcludeSeen, Query};

pub fn run(context: &Context, mut args: RecommendArgs) -> Result<(), Failure> {
    if args.users.len() > 1 && !args.session.is_empty() {
        return Err(Failure::Usage("a session belongs to one user; several were given".into()));
    }
    let place = context.place()?;
    let users = std::mem::take(&mut args.users);
    let beside = args.liked && context.output.is_table();
    let query = query(args);
    let mut titles = Titles::default();
    if users.is_empty() {
        return show(context, &place, None, &place.recommend(&query)?, false, &mut titles);
    }
    for user in users {
        let query = Query { user: Some(user), ..query.clone() };
        show(context, &place, query.user.as_deref(), &place.recommend(&query)?, beside, &mut titles)?;
    }
    Ok(())
}

fn query(args: RecommendArgs) -> Query {
    Query {
        category: args.narrow.category,
        filter: args.narrow.filter,
        exclude_items: args.exclude,
        exclude_seen: ExcludeSeen::All(!args.seen),
        explain: args.explain,
        ..Query::for_session(args.session).limit(args.narrow.limit)
    }
}

fn show(
    context: &Context,
    place: &Place,
    user: Option<&str>,
    answer: &Answer,
    beside: bool,
    titles: &mut Titles,
) -> Result<(), Failure> {
    if !context.output.is_table() {
        return context.output.show(answer, |_| String::new());
    }
    titles.learn(place, answer::ids(answer))?;
    let head = answer::head(answer, user);
    let table = match user {
        Some(user) if beside => {
            let liked = liked(place, user, answer.items.len(), &context.config()?.events)?;
            titles.learn(place, liked.iter().map(String::as_str))?;
            answer::beside(answer, &liked, titles)
        }
        _ => answer::table(answer, titles, answer::PARTS),
    };
    context.output.show(answer, |_| format!("{head}\n{table}\n"))
}
