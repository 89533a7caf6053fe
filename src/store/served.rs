//! Rows as the ranker saw them, of some answers, so that they can be compared with what training makes of the same moment.
//! The newest are kept. They are written like events, in a turn of their own, and without a sync: a crash may take some.

use rocksdb::{Direction, IteratorMode};
use serde::{Deserialize, Serialize};

use super::commit::Turn;
use super::families::Family;
use super::{Store, codec, key, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::Attributes;

/// An answer that was logged: dense ids and times as numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServedAnswer {
    /// When it was asked for, in milliseconds.
    pub at: i64,
    /// The snapshot whose ranker was asked.
    pub snapshot: u64,
    /// By whom, if by a known user.
    pub user: Option<u32>,
    /// Events of the user that were known.
    pub user_events: i64,
    /// What stood for the user's attributes.
    pub profile: u64,
    /// Under which circumstances. Stored beside the rest.
    #[serde(skip)]
    pub context: Attributes,
    /// Items of the session, the oldest first, with the type of each event.
    pub visits: Vec<(u32, String)>,
    /// The candidates and the items of the user's past, with what stood for the metadata of each.
    pub metadata: Vec<(u32, u64)>,
    /// Some of its candidates.
    pub rows: Vec<ServedRow>,
}

/// A candidate as the ranker saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServedRow {
    /// Which.
    pub item: u32,
    /// Its events that were known.
    pub item_events: i64,
    /// `[columns]`: raw, NaN where nothing was known.
    pub values: Vec<f32>,
}

impl ServedAnswer {
    /// The circumstances come after all else, as JSON, where there are any; earlier builds wrote none.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let context = (!self.context.is_empty()).then(|| serde_json::to_string(&self.context)).transpose();
        let context = context.map_err(|error| Error::Storage { operation: "encode", reason: error.to_string() })?;
        codec::encode_with_rest(self, context.as_ref())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "an answer that was served";
        let (mut answer, context): (Self, Option<String>) = codec::decode_with_rest(WHAT, bytes)?;
        if let Some(context) = context {
            answer.context = serde_json::from_str(&context).map_err(|error| Error::corrupt(WHAT, error.to_string()))?;
        }
        Ok(answer)
    }
}

impl Store {
    /// Appends answers, but not those of users who are gone; removes the oldest where there are more than `most`, and those
    /// from before `since`, in milliseconds.
    pub fn put_served(&self, answers: &[ServedAnswer], most: u64, since: i64) -> Result<()> {
        self.commit(Durability::Async, |turn| {
            let mut kept: Vec<(u64, i64)> = Vec::new();
            for_each(turn.db, &mut |number, answer| kept.push((number, answer.at)))?;
            let mut next = kept.last().map_or(0, |(number, _)| number + 1);
            for answer in answers.iter().filter(|answer| answer.at >= since) {
                let is_there = |user| turn.holds(Family::UserIds, &key::dense(user));
                if answer.user.map_or(Ok(true), is_there)? {
                    turn.put(Family::Exposures, key::served(next), answer.encode()?)?;
                    kept.push((next, answer.at));
                    next += 1;
                }
            }
            let surplus = (kept.len() as u64).saturating_sub(most) as usize;
            for (place, (number, at)) in kept.into_iter().enumerate() {
                if place < surplus || at < since {
                    turn.delete(Family::Exposures, key::served(number))?;
                }
            }
            Ok(())
        })
    }

    /// The answers that are kept, the oldest first.
    pub fn served(&self) -> Result<Vec<ServedAnswer>> {
        let mut answers = Vec::new();
        for_each(&self.db, &mut |_, answer| answers.push(answer))?;
        Ok(answers)
    }
}

impl Turn<'_> {
    /// Removes them all: of whoever is deleted no trace stays, and what others' rows counted is no longer in the log.
    pub fn forget_served(&mut self) -> Result<()> {
        let mut numbers = Vec::new();
        for_each(self.db, &mut |number, _| numbers.push(number))?;
        numbers.into_iter().try_for_each(|number| self.delete(Family::Exposures, key::served(number)))
    }
}

fn for_each(db: &rocksdb::DB, f: &mut dyn FnMut(u64, ServedAnswer)) -> Result<()> {
    let mode = IteratorMode::From(&key::SERVED, Direction::Forward);
    for entry in db.iterator_cf(Family::Exposures.of(db)?, mode) {
        let (raw, bytes) = entry.map_err(storage("read what was served"))?;
        let Some(rest) = raw.strip_prefix(&key::SERVED) else { break };
        let number = key::read_number(rest);
        let number = number.ok_or_else(|| Error::corrupt("exposures", "holds a key that is none; restore a backup"))?;
        f(number, ServedAnswer::decode(&bytes)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;
    use crate::record::Event;

    #[test]
    fn the_newest_are_kept_and_nothing_of_whoever_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        let events = ["u", "v"].map(|user| Event::new(user, "i", "click"));
        store.append_events(&events, Durability::Async).unwrap();
        let answer = |at: i64, user: u32| ServedAnswer {
            at,
            snapshot: 1,
            user: Some(user),
            user_events: 1,
            profile: 7,
            context: if at == 6 { [("device".into(), "ios".into())].into() } else { Attributes::new() },
            visits: vec![(0, "view".into())],
            metadata: vec![(0, 9)],
            rows: vec![ServedRow { item: 0, item_events: 2, values: vec![1.5, f32::NAN] }],
        };
        let times = |store: &Store| store.served().unwrap().iter().map(|answer| answer.at).collect::<Vec<_>>();
        store.put_served(&[1, 2, 3].map(|at| answer(at, 0)), 10, 0).unwrap();
        store.put_served(&[answer(4, 1), answer(5, 99)], 3, 0).unwrap();
        assert_eq!(times(&store), [2, 3, 4], "user 99 is nobody");
        store.put_served(&[answer(6, 1), answer(1, 1)], 3, 3).unwrap();
        drop(store);
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        assert_eq!(times(&store), [3, 4, 6]);
        let read = store.served().unwrap().remove(2);
        assert_eq!((read.rows[0].values[0], read.rows[0].values[1].is_nan()), (1.5, true));
        let contexts: Vec<usize> = store.served().unwrap().iter().map(|answer| answer.context.len()).collect();
        assert_eq!((contexts, read.context), (vec![0, 0, 1], answer(6, 1).context));
        store.delete_user("u").unwrap();
        assert_eq!(times(&store), [0i64; 0]);
    }
}
