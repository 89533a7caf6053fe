//! `savor recommend USER…`: an answer for each user, or for an anonymous visitor by session items; or, with `--all`, for all
//! users there are.

use serde::Serialize;

use crate::cli::args::RecommendArgs;
use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::cli::liked::liked;
use crate::cli::lines::Lines;
use crate::cli::place::LARGEST_PAGE;
use crate::cli::render::answer;
use crate::cli::titles::Titles;
use crate::record::{Answer, ExcludeSeen, Query};

pub fn run(context: &Context, mut args: RecommendArgs) -> Result<(), Failure> {
    if args.users.len() > 1 && !args.session.is_empty() {
        return Err(Failure::Usage("a session belongs to one user; several were given".into()));
    }
    let place = context.place()?;
    if args.all {
        return all(&place, args);
    }
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

/// A line for each user.
fn all(place: &Place, mut args: RecommendArgs) -> Result<(), Failure> {
    let mut lines = Lines::new(args.output.take())?;
    let query = query(args);
    let mut cursor: Option<String> = None;
    loop {
        let page = place.users(cursor.as_deref(), LARGEST_PAGE)?;
        let users: Vec<String> = page.entries.into_iter().map(|user| user.id).collect();
        let of = |user: &String| Query { user: Some(user.clone()), ..query.clone() };
        if !users.is_empty() {
            let answers = place.recommend_many(users.iter().map(of).collect())?;
            users.iter().zip(&answers).try_for_each(|(user, answer)| lines.write(&Line { user, answer }))?;
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return lines.finish("answers");
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    user: &'a str,
    #[serde(flatten)]
    answer: &'a Answer,
}

fn query(args: RecommendArgs) -> Query {
    Query {
        diversity: args.differing.into_diversity(),
        context: args.circumstances.into_context(),
        scenario: args.scenario,
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
