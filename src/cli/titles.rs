//! What people call an item: its `title`, or its `name`. Looked up once per command and item.

use std::collections::HashMap;

use super::context::Place;
use super::failure::Failure;

/// Titles by external id; items that have none are left out.
#[derive(Default)]
pub struct Titles(HashMap<String, Option<String>>);

impl Titles {
    /// Looks up the items that are not known yet.
    pub fn learn<'a>(&mut self, place: &Place, ids: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
        for id in ids {
            if !self.0.contains_key(id) {
                let item = place.item(id)?;
                let title = item.and_then(|item| {
                    let text = ["title", "name"].iter().find_map(|key| item.attributes.get(*key)?.as_text());
                    text.filter(|text| !text.is_empty()).map(str::to_owned)
                });
                self.0.insert(id.to_owned(), title);
            }
        }
        Ok(())
    }

    /// The title, or nothing.
    pub fn of(&self, id: &str) -> &str {
        self.0.get(id).and_then(Option::as_deref).unwrap_or("")
    }

    /// The title, or the id where there is none.
    pub fn or_id<'a>(&'a self, id: &'a str) -> &'a str {
        match self.of(id) {
            "" => id,
            title => title,
        }
    }

    /// Whether any item has a title.
    pub fn any(&self) -> bool {
        self.0.values().any(Option::is_some)
    }
}
