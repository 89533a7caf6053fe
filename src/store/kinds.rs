//! The types of events that are there. What acts there are is for the shop to say: a thousand are none, but ids or times in the wrong
//! field, and everything that is kept for each type would grow with them.

use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use crate::error::Error;
use crate::record::Event;

/// Types of events of a directory.
const MOST: usize = 1_000;

/// Those that are known.
pub struct Kinds(Mutex<FxHashSet<Box<str>>>);

impl Kinds {
    /// Those that have been counted.
    pub fn of<'a>(counted: impl Iterator<Item = &'a str>) -> Self {
        let mut kinds: FxHashSet<Box<str>> = FxHashSet::default();
        for kind in counted {
            if !kinds.contains(kind) {
                kinds.insert(kind.into());
            }
        }
        Self(Mutex::new(kinds))
    }

    /// Gets to know the types of events; tells the places of those that are of one type too many. Where all are to be stored or none
    /// (`is_whole`) and there is such a one, it gets to know none.
    pub fn admit(&self, events: &[Event], is_whole: bool) -> Vec<usize> {
        let mut kinds = self.0.lock();
        let (mut strange, mut new) = (Vec::new(), Vec::new());
        for (place, event) in events.iter().enumerate() {
            if kinds.contains(&*event.kind) {
                continue;
            }
            if kinds.len() >= MOST {
                strange.push(place);
            } else {
                kinds.insert(event.kind.as_str().into());
                new.push(&*event.kind);
            }
        }
        if is_whole && !strange.is_empty() {
            new.into_iter().for_each(|kind| _ = kinds.remove(kind));
        }
        strange
    }
}

/// The error for an event of one type too many.
pub fn one_too_many(event: &Event) -> Error {
    let reason = format!(
        "is \"{}\", and events of {MOST} types are there already, as many as may be: a type says what was done, not to what or when",
        event.kind
    );
    Error::invalid("type", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_types_and_no_more() {
        let kinds = Kinds::of(["view", "view"].into_iter());
        let of = |kind: &str| Event::new("u", "i", kind);
        let many: Vec<Event> = (0..MOST).map(|number| of(&format!("t{number}"))).collect();
        // What is refused as a whole leaves its types to others.
        assert_eq!(kinds.admit(&many, true), [MOST - 1], "one was there");
        assert_eq!(kinds.admit(&[of("other")], true), [0; 0]);
        assert_eq!(kinds.admit(&many, false), [MOST - 2, MOST - 1]);
        assert_eq!(kinds.admit(&[of("view"), of("new"), of("t0"), of("newer")], false), [1, 3]);
        assert!(one_too_many(&of("new")).to_string().contains("type: is \"new\""));
    }
}
