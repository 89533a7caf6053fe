//! What has been answered, so that a next page can go on from it: the question, and the items of all its pages until there. In
//! memory, up to 32 MiB and half an hour; the oldest go first, and a restart forgets all: whoever asks for their next page is
//! told to ask anew. A token that carries the state itself would outlive a restart, but grow by some bytes with each item shown,
//! and it would tell clients the dense ids.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::recommend::NAME_BYTES;
use crate::record::{ItemId, Query, Timestamp};

const MOST_BYTES: usize = 32 << 20;
const LIFETIME_MS: i64 = 30 * 60 * 1_000;
/// What an entry costs beside what is counted, about.
const OVERHEAD: usize = 512;

/// A name of an answer. Others name none.
type Name = [u8; NAME_BYTES];

/// Answers that may have a next page.
#[derive(Default)]
pub(super) struct Pages(Mutex<State>);

#[derive(Default)]
struct State {
    pages: FxHashMap<Name, Page>,
    /// Names in the order in which they came, with the time.
    order: VecDeque<(Name, Timestamp)>,
    bytes: usize,
}

/// Where an answer ended.
#[derive(Clone)]
pub(super) struct Page {
    /// The question.
    pub query: Arc<Query>,
    /// What has been shown, this page and those before.
    pub shown: Arc<[ItemId]>,
    bytes: usize,
}

impl Page {
    /// After these items.
    pub fn new(query: Arc<Query>, shown: Arc<[ItemId]>) -> Self {
        let bytes = OVERHEAD + query_bytes(&query) + size_of_val(&*shown);
        Self { query, shown, bytes }
    }
}

impl Pages {
    /// Keeps where an answer ended.
    pub fn keep(&self, id: &str, page: Page, now: Timestamp) {
        let Ok(name) = Name::try_from(id.as_bytes()) else { return };
        let mut state = self.0.lock();
        state.bytes += page.bytes;
        state.order.push_back((name, now));
        state.pages.insert(name, page);
        state.forget(now);
    }

    /// Where an answer ended.
    pub fn get(&self, id: &str, now: Timestamp) -> Option<Page> {
        let mut state = self.0.lock();
        state.forget(now);
        state.pages.get(id.as_bytes()).cloned()
    }

    /// Forgets the answers to a user.
    pub fn forget_user(&self, user: &str) {
        let mut state = self.0.lock();
        let State { pages, bytes, .. } = &mut *state;
        pages.retain(|_, page| {
            let stays = page.query.user.as_deref() != Some(user);
            *bytes -= if stays { 0 } else { page.bytes };
            stays
        });
    }
}

impl State {
    /// Forgets what is too old, and the oldest of what is too much.
    fn forget(&mut self, now: Timestamp) {
        while let Some((id, time)) = self.order.front()
            && (self.bytes > MOST_BYTES || now.millis() - time.millis() > LIFETIME_MS)
        {
            if let Some(page) = self.pages.remove(id) {
                self.bytes -= page.bytes;
            }
            self.order.pop_front();
        }
    }
}

/// What a question takes, about: its lists of texts are what may be long.
fn query_bytes(query: &Query) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let session: usize = query.session.iter().map(|entry| 64 + entry.item.len() + entry.kind.len()).sum();
    let excluded: usize = query.exclude_items.iter().map(|item| 24 + item.len()).sum();
    let filters = query.filter.iter().chain(query.boost.iter().map(|boost| &boost.filter));
    let filters: usize = filters.map(|filter| serde_json::to_string(filter).map_or(0, |text| 4 * text.len())).sum();
    let pins: usize = query.pin.iter().map(|pin| 64 + pin.item.len()).sum();
    size_of::<Query>() + text(&query.user) + text(&query.category) + session + excluded + filters + pins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn page(user: &str, shown: usize) -> Page {
        Page::new(Arc::new(Query::for_user(user)), vec![ItemId::new(1); shown].into())
    }

    fn name(number: i64) -> String {
        format!("{number:020}")
    }

    #[test]
    fn what_is_kept_is_bounded_by_bytes_and_by_time() {
        let pages = Pages::default();
        let each = page("u", 1_000_000).bytes;
        for number in 0..100 {
            pages.keep(&name(number), page("u", 1_000_000), at(number));
            let state = pages.0.lock();
            assert!(state.bytes <= MOST_BYTES && state.bytes == state.pages.len() * each);
            assert_eq!(state.pages.len(), state.order.len());
        }
        assert!(pages.get(&name(99), at(100)).is_some() && pages.get(&name(90), at(100)).is_none());
        assert!(pages.get(&name(99), at(99 + LIFETIME_MS)).is_some());
        assert!(pages.get(&name(99), at(100 + LIFETIME_MS)).is_none());
        assert_eq!(pages.0.lock().bytes, 0);
    }

    #[test]
    fn a_user_is_forgotten_alone() {
        let pages = Pages::default();
        pages.keep(&name(0), page("u", 3), at(0));
        pages.keep(&name(1), page("v", 3), at(0));
        pages.forget_user("u");
        assert!(pages.get(&name(0), at(1)).is_none() && pages.get(&name(1), at(1)).is_some());
        assert!(pages.get(&name(1), at(1 + LIFETIME_MS)).is_none());
        assert_eq!(pages.0.lock().bytes, 0);
    }
}
