//! Values of attributes by numbers.

use rustc_hash::FxHashMap;

use crate::record::{CATEGORIES, Item, Value};

/// Gives out numbers for values as they come; equal values of several attributes have the same.
#[derive(Default)]
pub struct Values(FxHashMap<String, u32>);

impl Values {
    /// The values of an item's attribute, each once.
    pub fn of(&mut self, item: &Item, key: &str) -> Vec<u32> {
        let mut values: Vec<u32> = if key == CATEGORIES {
            item.categories.iter().map(|category| self.number(category)).collect()
        } else {
            let values = item.attributes.get(key).map_or(&[][..], Value::each);
            values.iter().map(|value| self.number(&value.display())).collect()
        };
        values.sort_unstable();
        values.dedup();
        values
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.0.get(text) {
            return *number;
        }
        let number = self.0.len() as u32;
        self.0.insert(text.to_owned(), number);
        number
    }
}
