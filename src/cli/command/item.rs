//! `savor item …`: look up and delete items.

use crate::cli::args::ItemCommand;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::{attributes, pairs};
use crate::error::Error;
use crate::record::Item;

pub fn run(context: &Context, command: ItemCommand) -> Result<(), Failure> {
    let place = context.place()?;
    match command {
        ItemCommand::Show { id } => match place.item(&id)? {
            Some(item) => context.output.show(&item, table),
            None => Err(Error::not_found("item", id).into()),
        },
        ItemCommand::Delete { ids } => ids.iter().try_for_each(|id| {
            if !place.delete_item(id)? {
                return Err(Error::not_found("item", id).into());
            }
            context.output.done(&serde_json::json!({"item": id, "deleted": true}), format!("item {id} is deleted"))
        }),
    }
}

fn table(item: &Item) -> String {
    let mut rows = vec![
        ("categories".to_owned(), item.categories.join(", ")),
        ("time".to_owned(), item.time.map(|time| time.to_string()).unwrap_or_default()),
        ("hidden".to_owned(), item.hidden.to_string()),
    ];
    rows.extend(attributes(&item.attributes));
    rows.extend(
        item.vectors.iter().map(|(space, vector)| (format!("vector {space}"), format!("{} numbers", vector.len()))),
    );
    format!("item {}\n{}", item.id, pairs(&rows))
}
