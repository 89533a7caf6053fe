//! The questions and changes that an engine here and a server elsewhere both take: one method each, so that commands do
//! not care where they are carried out.

mod answers;
mod keys;
mod models;
mod policies;
mod records;

pub use models::Active;

use super::failure::Failure;
use crate::engine::Page;

/// The most entries that a server gives at once.
pub const LARGEST_PAGE: usize = 1_000;

/// Every entry of a listing, page by page.
pub fn each<T>(
    page: impl Fn(Option<&str>) -> Result<Page<T>, Failure>,
    mut entry: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut cursor: Option<String> = None;
    loop {
        let page = page(cursor.as_deref())?;
        page.entries.iter().try_for_each(&mut entry)?;
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}
