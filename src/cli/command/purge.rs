//! `savor purge`: what has been deleted goes from the files, too.

use crate::cli::context::{Context, Place};
use crate::cli::failure::Failure;
use crate::engine::Purged;

pub fn run(context: &Context) -> Result<(), Failure> {
    now(context, &context.place()?)
}

/// What a purge did, in words.
fn sentence(purged: &Purged) -> String {
    match &purged.waits_for {
        Some(waits_for) => format!("not gone from the files yet: it waits for {waits_for}"),
        None if purged.deletions == 0 => "nothing waits to be removed from the files".into(),
        None => format!("{} deletions are gone from the files", purged.deletions),
    }
}

/// Purges and says so. Errors: when it has to wait.
pub fn now(context: &Context, place: &Place) -> Result<(), Failure> {
    let purged = place.purge()?;
    context.output.done(&purged, sentence(&purged))?;
    if purged.waits_for.is_none() { Ok(()) } else { Err(Failure::Shown) }
}
