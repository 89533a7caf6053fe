//! `savor export KIND`: everything of a kind as JSON Lines, in the form that `savor import` reads. Items and users come in
//! the order of their ids, events in the order of time.

use crate::cli::args::{ExportArgs, RecordKind};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::lines::Lines;
use crate::cli::place::{LARGEST_PAGE, each};
use crate::error::Error;
use crate::record::{Item, User};

pub fn run(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let mut sink = Lines::new(args.output)?;
    match args.kind {
        RecordKind::Items => {
            let place = context.place()?;
            each(|cursor| place.items(cursor, LARGEST_PAGE), |item: &Item| sink.write(item))?;
        }
        RecordKind::Users => {
            let place = context.place()?;
            each(|cursor| place.users(cursor, LARGEST_PAGE), |user: &User| sink.write(user))?;
        }
        RecordKind::Events => {
            let mut failure = None;
            let read = context.open()?.for_each_event(&mut |event| {
                sink.write(event).map_err(|error| {
                    failure = Some(error);
                    Error::Cancelled("export")
                })
            });
            failure.map_or_else(|| read.map_err(Failure::from), Err)?;
        }
    }
    sink.finish(match args.kind {
        RecordKind::Items => "items",
        RecordKind::Users => "users",
        RecordKind::Events => "events",
    })
}
