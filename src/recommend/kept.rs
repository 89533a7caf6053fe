//! An answer that is kept, with what all have in common to whom it is given again: its text, in which only the name differs;
//! what was shown, as the log has it; what a next page goes on from. Each is made when it is first asked for.

use std::sync::{Arc, OnceLock};

use super::cache::Ticks;
use super::identity::NAME_BYTES;
use crate::record::{Answer, ItemId, Query, RecommendedItem, Timestamp};

/// Bytes of an item beside its id: in the text, in the log's record.
const ITEM_TEXT: usize = 70;
const ITEM_RECORD: usize = 24;
/// Bytes of the text that are no item's.
const HEAD: usize = 200;

/// An answer that is kept.
pub struct Kept {
    pub(super) user: String,
    pub(super) ticks: Ticks,
    pub(super) at: Timestamp,
    /// Whether it may be given as if it had been made anew.
    pub(super) lasts: bool,
    /// Under the name that it was given first.
    answer: Answer,
    text: OnceLock<Option<Text>>,
    record: OnceLock<Option<Arc<[u8]>>>,
    page: OnceLock<(Arc<Query>, Arc<[ItemId]>)>,
}

impl Kept {
    pub(super) fn new(user: String, ticks: Ticks, at: Timestamp, lasts: bool, answer: Answer) -> Self {
        let (text, record, page) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { user, ticks, at, lasts, answer, text, record, page }
    }

    /// The answer, under the name that it was given first.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The answer as JSON under another name, with the path of its next page if it has one.
    pub fn text(&self, name: &str, next: Option<&dyn Fn(&str) -> String>) -> Option<Vec<u8>> {
        let make = || {
            let next = next.map(|next| next(&self.answer.recommendation_id));
            Text::of(&Answer { next, ..self.answer.clone() })
        };
        self.text.get_or_init(make).as_ref()?.under(name)
    }

    /// The record of what was shown.
    pub fn record(&self, make: impl FnOnce(&Answer) -> Option<Arc<[u8]>>) -> Option<Arc<[u8]>> {
        self.record.get_or_init(|| make(&self.answer)).clone()
    }

    /// The question and the items that were shown.
    pub fn page<E>(
        &self,
        make: impl FnOnce(&Answer) -> Result<(Arc<Query>, Arc<[ItemId]>), E>,
    ) -> Result<&(Arc<Query>, Arc<[ItemId]>), E> {
        match self.page.get() {
            Some(page) => Ok(page),
            None => {
                let page = make(&self.answer)?;
                Ok(self.page.get_or_init(|| page))
            }
        }
    }

    /// Its bytes in memory, about, with all that may be made of it.
    pub(super) fn bytes(&self) -> usize {
        let each = size_of::<RecommendedItem>() + size_of::<ItemId>() + ITEM_TEXT + ITEM_RECORD;
        let items = self.answer.items.iter().map(|item| each + 3 * item.item.len());
        size_of::<Self>() + size_of::<Query>() + HEAD + 3 * self.user.len() + items.sum::<usize>()
    }
}

/// The JSON of an answer, and where its name is in it.
struct Text {
    json: Box<[u8]>,
    names: Vec<usize>,
}

impl Text {
    fn of(answer: &Answer) -> Option<Self> {
        let name = answer.recommendation_id.as_bytes();
        let json = serde_json::to_vec(answer).ok()?;
        // Its own field is the first of the answer; nothing but the path of the next page has the name too. An id or a text of the
        // caller's that has it by chance is told from these by its place.
        let first = json.windows(name.len()).position(|bytes| bytes == name)?;
        let next = answer.next.as_ref().and_then(|next| {
            let path = serde_json::to_vec(next).ok()?;
            let at = json.windows(path.len()).rposition(|bytes| bytes == path)?;
            Some(at + path.windows(name.len()).position(|bytes| bytes == name)?)
        });
        if name.len() != NAME_BYTES || next.is_some() != answer.next.is_some() {
            return None;
        }
        Some(Self { json: json.into(), names: [first].into_iter().chain(next).collect() })
    }

    fn under(&self, name: &str) -> Option<Vec<u8>> {
        let mut json = self.json.to_vec();
        for at in &self.names {
            let place: &mut [u8; NAME_BYTES] = json.get_mut(*at..)?.first_chunk_mut()?;
            *place = name.as_bytes().try_into().ok()?;
        }
        Some(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recommend::recommendation_id;
    use crate::record::{SnapshotId, Source};

    #[test]
    fn a_text_under_another_name_is_that_of_the_answer_under_it() {
        let path = |name: &str| format!("/v1/recommendations/{name}/next");
        let (first, second) = (recommendation_id(Timestamp::now()), recommendation_id(Timestamp::now()));
        for next in [None, Some(&path as &dyn Fn(&str) -> String)] {
            // Items that look like the name, and like the path.
            let items = ["i1", &first, &path(&first), "\"é\u{1}"].map(|item| RecommendedItem {
                item: item.into(),
                score: 0.1,
                rank: None,
                source: Source::Personal,
                propensity: None,
                rules: Vec::new(),
                because: None,
            });
            let answer = |name: &str| Answer {
                recommendation_id: name.into(),
                snapshot: Some(SnapshotId(7)),
                scenario: None,
                experiment: None,
                degraded: None,
                evidence: None,
                items: items.to_vec(),
                next: next.map(|next| next(name)),
                before: None,
                search: None,
            };
            let unnamed = Answer { next: None, ..answer(&first) };
            let kept = Kept::new("u".into(), Ticks::default(), Timestamp::now(), true, unnamed);
            assert_eq!(kept.text(&second, next).unwrap(), serde_json::to_vec(&answer(&second)).unwrap());
            assert_eq!(kept.text(&first, next).unwrap(), serde_json::to_vec(&answer(&first)).unwrap());
            assert_eq!(kept.text("short", next), None);
            assert!(kept.bytes() > serde_json::to_vec(&answer(&first)).unwrap().len());
        }
    }
}
