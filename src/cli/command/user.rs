//! `savor user …`: look up, export, join and delete users.

use serde::Serialize;

use crate::cli::args::UserCommand;
use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::cli::render::{attributes, pairs, table};
use crate::cli::titles::Titles;
use crate::engine::Merged;
use crate::error::Error;
use crate::record::{Event, SimilarQuery, User};

pub fn run(context: &Context, command: UserCommand) -> Result<(), Failure> {
    let place = context.place()?;
    match command {
        UserCommand::Show { id, limit } => show(context, &place, &id, limit),
        UserCommand::Similar { id, limit } => {
            let neighbours = place.similar_users(&SimilarQuery { limit, ..SimilarQuery::new(id) })?;
            context.output.show(&neighbours, |neighbours| {
                let mut table = table(&["user", "cosine"], &[1]);
                for neighbour in neighbours {
                    table.add_row([neighbour.id.clone(), format!("{:.4}", neighbour.score)]);
                }
                table.trim_fmt()
            })
        }
        UserCommand::Merge { into, from } => {
            let merged = place.merge_users(&into, &from)?;
            let Merged { moved, known, attributes } = merged;
            let sentence =
                format!("user {from} is now {into}: {moved} events moved, {known} known, {attributes} attributes new");
            context.output.done(&merged, sentence)
        }
        UserCommand::Export { id, vectors } => {
            let export = place.export_user(&id, vectors)?;
            context.output.show(&export, |export| serde_json::to_string_pretty(export).unwrap_or_default())
        }
        UserCommand::Delete { ids, purge } => {
            ids.iter().try_for_each(|id| delete(context, &place, id))?;
            if purge { super::purge::now(context, &place) } else { Ok(()) }
        }
    }
}

/// A user as far as we know them.
#[derive(Serialize)]
struct Known {
    #[serde(flatten)]
    user: User,
    events: Vec<Event>,
}

fn show(context: &Context, place: &Place, id: &str, limit: usize) -> Result<(), Failure> {
    let Some(user) = place.user(id)? else {
        return Err(Error::not_found("user", id).into());
    };
    let known = Known { user, events: place.user_events(id, limit)? };
    let mut titles = Titles::default();
    if context.output.is_table() {
        titles.learn(place, known.events.iter().map(|event| event.item.as_str()))?;
    }
    context.output.show(&known, |known| {
        let mut events = table(&["time", "type", "value", "item"], &[2]);
        for event in &known.events {
            events.add_row([
                event.time.map(|time| time.to_string()).unwrap_or_default(),
                event.kind.clone(),
                event.value.map(|value| value.to_string()).unwrap_or_default(),
                titles.or_id(&event.item).to_owned(),
            ]);
        }
        let profile = pairs(&attributes(&known.user.attributes));
        format!("user {}\n{profile}\n{}", known.user.id, events.trim_fmt())
    })
}

fn delete(context: &Context, place: &Place, id: &str) -> Result<(), Failure> {
    if !place.delete_user(id)? {
        return Err(Error::not_found("user", id).into());
    }
    context.output.done(&serde_json::json!({"user": id, "deleted": true}), format!("user {id} is deleted"))
}
