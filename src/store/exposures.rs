//! Answers that were shown: kept in the order of time, which reports read and retention removes from; found by answer,
//! which outcomes name, and by user, who may be deleted. They are written without a sync each: a power cut may lose the
//! last of them.

use std::borrow::Cow;
use std::sync::Arc;

use rocksdb::ReadOptions;
use serde::{Deserialize, Serialize};

use super::commit::Turn;
use super::families::Family;
use super::limits::Purpose;
use super::{Store, codec, key, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::{Answer, Assignment, Exposure, Query, Shown, SnapshotId, Source, Timestamp};

/// More items that a question excludes are not kept.
const EXCLUDED: usize = 256;

/// An exposure without what its key says.
#[derive(Serialize, Deserialize)]
struct StoredExposure<'a> {
    user: Option<Cow<'a, str>>,
    scenario: Option<Cow<'a, str>>,
    snapshot: Option<u64>,
    experiment: Option<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    items: Vec<StoredShown<'a>>,
}

/// After it, where there is any of this; answers of formats before 5 have nothing there.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct StoredRest<'a> {
    /// The ranker's score of each item; empty where none was asked.
    ranks: Vec<Option<f32>>,
    /// JSON, as a question has many fields that are seldom used.
    question: Option<Cow<'a, str>>,
    before: u32,
}

/// The source is a word, so that sources may be added anywhere.
#[derive(Serialize, Deserialize)]
struct StoredShown<'a> {
    item: Cow<'a, str>,
    score: f32,
    source: Cow<'a, str>,
    propensity: f32,
    team: Option<Cow<'a, str>>,
}

impl<'a> StoredExposure<'a> {
    fn new(exposure: &'a Exposure) -> Self {
        let items = exposure.items.iter().map(|shown| StoredShown {
            item: Cow::Borrowed(&shown.item),
            score: shown.score,
            source: Cow::Borrowed(shown.source.word()),
            propensity: shown.propensity,
            team: borrowed(&shown.team),
        });
        Self {
            user: borrowed(&exposure.user),
            scenario: borrowed(&exposure.scenario),
            snapshot: exposure.snapshot.map(|id| id.0),
            experiment: exposure.experiment.as_ref().map(|of| (Cow::Borrowed(&*of.id), borrowed(&of.variant))),
            items: items.collect(),
        }
    }
}

impl StoredRest<'_> {
    fn new(mut ranks: Vec<Option<f32>>, question: Option<&Query>, before: u32) -> Result<Self> {
        if ranks.iter().all(Option::is_none) {
            ranks.clear();
        }
        let json = |question: &Query| serde_json::to_string(question).map(Cow::Owned);
        let question = question.map(json).transpose();
        let question =
            question.map_err(|error| Error::Storage { operation: "encode a question", reason: error.to_string() })?;
        Ok(Self { ranks, question, before })
    }

    /// Whether it says something, and of so many items.
    fn fits(&self, items: usize) -> bool {
        let is_of_all = self.ranks.len() == items && self.ranks.iter().any(Option::is_some);
        *self != Self::default() && (self.ranks.is_empty() || is_of_all)
    }
}

/// An answer that was shown, its record as it is stored. Who is given the same answer again shares the record.
pub struct ShownAnswer {
    /// The answer's name.
    pub answer: String,
    /// When it was given.
    pub time: Timestamp,
    /// Whom it was for.
    pub user: Option<String>,
    /// Everything but name and time.
    pub record: Arc<[u8]>,
}

impl ShownAnswer {
    /// The record of an answer, after so many items of the pages before; `teams` says whose item each is, in an interleaved one.
    pub fn record(query: &Query, before: usize, answer: &Answer, teams: &[Option<String>]) -> Result<Arc<[u8]>> {
        let items = answer.items.iter().enumerate().map(|(place, item)| StoredShown {
            item: Cow::Borrowed(&item.item),
            score: item.score as f32,
            source: Cow::Borrowed(item.source.word()),
            propensity: item.propensity.unwrap_or(1.0) as f32,
            team: teams.get(place).and_then(borrowed),
        });
        let stored = StoredExposure {
            user: borrowed(&query.user),
            scenario: borrowed(&query.scenario),
            snapshot: answer.snapshot.map(|id| id.0),
            experiment: answer.experiment.as_ref().map(|of| (Cow::Borrowed(&*of.id), borrowed(&of.variant))),
            items: items.collect(),
        };
        let mut question = query.rest();
        question.iter_mut().for_each(|question| question.exclude_items.truncate(EXCLUDED));
        let ranks = answer.items.iter().map(|item| item.rank.map(|rank| rank as f32)).collect();
        encoded(&stored, &StoredRest::new(ranks, question.as_ref(), before as u32)?).map(Into::into)
    }

    /// Bytes of all its entries.
    pub fn bytes(&self) -> u64 {
        entry_bytes(&self.answer, self.user.as_deref(), self.record.len())
    }

    /// The same, shown to another user.
    pub fn to(self, user: &str) -> Result<Self> {
        let (mut stored, rest): (StoredExposure<'_>, Option<StoredRest<'_>>) =
            codec::decode_with_rest("an exposure", &self.record)?;
        stored.user = Some(Cow::Borrowed(user));
        let record = encoded(&stored, &rest.unwrap_or_default())?.into();
        Ok(Self { user: Some(user.to_owned()), record, ..self })
    }
}

fn record_of(exposure: &Exposure) -> Result<Vec<u8>> {
    let ranks = exposure.items.iter().map(|shown| shown.rank).collect();
    let rest = StoredRest::new(ranks, exposure.question.as_deref(), exposure.before)?;
    encoded(&StoredExposure::new(exposure), &rest)
}

fn encoded(stored: &StoredExposure<'_>, rest: &StoredRest<'_>) -> Result<Vec<u8>> {
    codec::encode_with_rest(stored, Some(rest).filter(|rest| **rest != StoredRest::default()))
}

/// Bytes of all entries of an exposure, keys and values.
pub fn entry_bytes(answer: &str, user: Option<&str>, record: usize) -> u64 {
    let by_time = 9 + answer.len() + record;
    let by_answer = 1 + answer.len() + 8;
    let by_user = user.map_or(0, |user| 3 + user.len() + 8 + answer.len());
    (by_time + by_answer + by_user) as u64
}

fn borrowed(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().map(Cow::Borrowed)
}

/// An entry in the order of time.
pub fn read(key: &[u8], value: &[u8]) -> Result<Exposure> {
    let damaged = || Error::corrupt("exposures", "holds a key that is none");
    let (time, answer) = key::read_exposure(key).ok_or_else(damaged)?;
    let (stored, rest): (StoredExposure<'_>, Option<StoredRest<'_>>) = codec::decode_with_rest("an exposure", value)?;
    if rest.as_ref().is_some_and(|rest| !rest.fits(stored.items.len())) {
        return Err(Error::corrupt("an exposure", "has ranks of other items than its own"));
    }
    let StoredRest { ranks, question, before } = rest.unwrap_or_default();
    let mut ranks = ranks.into_iter();
    let question = question.map(|question| serde_json::from_str(&question)).transpose();
    let question = question.map_err(|error| Error::corrupt("an exposure", format!("its question: {error}")))?;
    let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
    let items = stored.items.into_iter().map(|StoredShown { item, score, source, propensity, team }| {
        let unknown = || Error::corrupt("an exposure", format!("has the unknown source \"{source}\""));
        let source = Source::from_word(&source).ok_or_else(unknown)?;
        let rank = ranks.next().flatten();
        Ok(Shown { item: item.into_owned(), score, rank, source, propensity, team: owned(team) })
    });
    Ok(Exposure {
        recommendation_id: answer.to_owned(),
        time,
        user: owned(stored.user),
        scenario: owned(stored.scenario),
        snapshot: stored.snapshot.map(SnapshotId),
        experiment: stored.experiment.map(|(id, variant)| Assignment { id: id.into_owned(), variant: owned(variant) }),
        question,
        before,
        items: items.collect::<Result<_>>()?,
    })
}

impl Store {
    /// Writes answers that were shown, all in one batch, without waiting for the disk. Errors: [`Error::Quota`] where too little is
    /// free.
    pub fn put_shown(&self, shown: &[ShownAnswer]) -> Result<()> {
        self.write_shown(shown, Purpose::Exposures)
    }

    /// The same in the place of twice as many bytes that the caller forgets then: less has to be free.
    pub fn replace_shown(&self, shown: &[ShownAnswer]) -> Result<()> {
        self.write_shown(shown, Purpose::Replacement)
    }

    /// In the order of the keys: the next place in the memtable is then found from the last.
    fn write_shown(&self, shown: &[ShownAnswer], purpose: Purpose) -> Result<()> {
        let mut users: Vec<_> = shown
            .iter()
            .filter_map(|shown| Some(key::exposure_of(shown.user.as_deref()?, shown.time, &shown.answer)))
            .collect();
        users.sort_unstable();
        let mut shown: Vec<&ShownAnswer> = shown.iter().collect();
        shown.sort_unstable_by_key(|shown| (shown.time, &shown.answer));
        self.commit(Durability::Async, |turn| {
            turn.charged = Some(purpose);
            for ShownAnswer { answer, time, user, record } in &shown {
                turn.exposed += entry_bytes(answer, user.as_deref(), record.len()).cast_signed();
                turn.put(Family::Exposures, key::exposure(*time, answer), record)?;
            }
            for ShownAnswer { answer, time, .. } in &shown {
                turn.put(Family::Exposures, key::exposure_by_answer(answer), key::number(time.millis() as u64))?;
            }
            users.iter().try_for_each(|user| turn.put(Family::Exposures, user, []))
        })
    }

    #[cfg(test)]
    pub fn put_exposures(&self, exposures: &[Exposure]) -> Result<()> {
        let shown = exposures.iter().map(|exposure| {
            let (answer, user) = (exposure.recommendation_id.clone(), exposure.user.clone());
            let record = record_of(exposure)?.into();
            Ok(ShownAnswer { answer, time: exposure.time, user, record })
        });
        self.put_shown(&shown.collect::<Result<Vec<_>>>()?)
    }

    /// An answer that was shown; `None` if it is unknown or older than what is kept.
    pub fn exposure(&self, answer: &str) -> Result<Option<Exposure>> {
        let family = Family::Exposures.of(&self.db)?;
        let time = self.db.get_cf(family, key::exposure_by_answer(answer)).map_err(storage("read an exposure"))?;
        match time.and_then(|time| key::read_number(&time)) {
            Some(millis) => self.exposure_at(Timestamp::from_millis(millis as i64)?, answer),
            None => Ok(None),
        }
    }

    fn exposure_at(&self, time: Timestamp, answer: &str) -> Result<Option<Exposure>> {
        let key = key::exposure(time, answer);
        let value = self.db.get_cf(Family::Exposures.of(&self.db)?, &key).map_err(storage("read an exposure"))?;
        value.map(|value| read(&key, &value)).transpose()
    }

    /// What a user was shown, the newest first, `limit` at most.
    pub fn user_exposures(&self, user: &str, limit: usize) -> Result<Vec<Exposure>> {
        self.user_exposures_before(user, None, limit)
    }

    /// The same of what was shown before a time, if there is one.
    pub fn user_exposures_before(&self, user: &str, before: Option<Timestamp>, limit: usize) -> Result<Vec<Exposure>> {
        let mut answers = Vec::new();
        for_each_of(&self.db, user, before, limit, &mut |time, answer| {
            answers.extend(self.exposure_at(time, answer)?);
            Ok(())
        })?;
        // Of one millisecond the ids tell the order.
        answers.sort_by(|a, b| (b.time, &b.recommendation_id).cmp(&(a.time, &a.recommendation_id)));
        Ok(answers)
    }

    /// Removes all that a user was shown; tells how many answers that were.
    pub fn delete_exposures(&self, user: &str) -> Result<u64> {
        self.commit(Durability::Sync, |turn| turn.delete_exposures(user))
    }

    /// What a user was shown, another was; tells how many answers that are.
    pub fn move_exposures(&self, from: &str, into: &str) -> Result<u64> {
        self.commit(Durability::Sync, |turn| turn.move_exposures(from, into))
    }
}

fn for_each_of(
    db: &rocksdb::DB,
    user: &str,
    before: Option<Timestamp>,
    limit: usize,
    f: &mut dyn FnMut(Timestamp, &str) -> Result<()>,
) -> Result<()> {
    let prefix = key::exposures_of(user);
    let mut options = ReadOptions::default();
    if let Some(end) = key::after_prefix(&prefix) {
        options.set_iterate_upper_bound(end);
    }
    let mut entries = db.raw_iterator_cf_opt(Family::Exposures.of(db)?, options);
    match before {
        Some(time) => entries.seek(key::exposures_of_before(user, time)),
        None => entries.seek(&prefix),
    }
    let mut left = limit;
    while let Some(raw) = entries.key().filter(|_| left > 0) {
        let damaged = || Error::corrupt("exposures", "holds a key that is none");
        let (time, answer) = key::read_exposure_of(user, raw).ok_or_else(damaged)?;
        f(time, answer)?;
        left -= 1;
        entries.next();
    }
    entries.status().map_err(storage("read the exposures of a user"))
}

impl Turn<'_> {
    fn put_exposure(&mut self, exposure: &Exposure) -> Result<()> {
        let (time, answer) = (exposure.time, exposure.recommendation_id.as_str());
        let record = record_of(exposure)?;
        self.exposed += entry_bytes(answer, exposure.user.as_deref(), record.len()).cast_signed();
        self.put(Family::Exposures, key::exposure(time, answer), record)?;
        self.put(Family::Exposures, key::exposure_by_answer(answer), key::number(time.millis() as u64))?;
        match &exposure.user {
            Some(user) => self.put(Family::Exposures, key::exposure_of(user, time, answer), []),
            None => Ok(()),
        }
    }

    /// Removes all that a user was shown; tells how many answers that were.
    pub fn delete_exposures(&mut self, user: &str) -> Result<u64> {
        let family = Family::Exposures.of(self.db)?;
        let mut count = 0;
        for_each_of(self.db, user, None, usize::MAX, &mut |time, answer| {
            count += 1;
            let key = key::exposure(time, answer);
            let record = self.db.get_pinned_cf(family, &key).map_err(storage("read an exposure"))?;
            self.exposed -= record.map_or(0, |record| entry_bytes(answer, Some(user), record.len()).cast_signed());
            self.delete(Family::Exposures, key)?;
            self.delete(Family::Exposures, key::exposure_by_answer(answer))?;
            self.delete(Family::Exposures, key::exposure_of(user, time, answer))
        })?;
        if count > 0 {
            self.erase()?;
        }
        Ok(count)
    }

    /// What a user was shown, another was; tells how many answers that are.
    pub fn move_exposures(&mut self, from: &str, into: &str) -> Result<u64> {
        let family = Family::Exposures.of(self.db)?;
        let mut answers = Vec::new();
        for_each_of(self.db, from, None, usize::MAX, &mut |time, answer| {
            let key = key::exposure(time, answer);
            if let Some(value) = self.db.get_cf(family, &key).map_err(storage("read an exposure"))? {
                self.exposed -= entry_bytes(answer, Some(from), value.len()).cast_signed();
                answers.push(Exposure { user: Some(into.to_owned()), ..read(&key, &value)? });
            }
            self.delete(Family::Exposures, key::exposure_of(from, time, answer))
        })?;
        if !answers.is_empty() {
            self.erase()?;
        }
        answers.iter().try_for_each(|exposure| self.put_exposure(exposure))?;
        Ok(answers.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;
    use crate::record::Event;
    use rocksdb::IteratorMode;

    fn exposure(answer: &str, user: Option<&str>, time: i64) -> Exposure {
        let shown = |item: &str, source, team: Option<&str>| Shown {
            item: item.into(),
            score: 0.5,
            rank: team.map(|_| 2.5),
            source,
            propensity: 0.25,
            team: team.map(str::to_owned),
        };
        Exposure {
            recommendation_id: answer.into(),
            time: Timestamp::from_millis(time).unwrap(),
            user: user.map(str::to_owned),
            scenario: Some("home".into()),
            snapshot: Some(SnapshotId(3)),
            experiment: Some(Assignment { id: "x".into(), variant: Some("B".into()) }),
            question: (time > 1_500)
                .then(|| Query { category: Some("c".into()), ..Query::for_session([""; 0]) }.into()),
            before: (time > 2_500).into(),
            items: vec![shown("i1", Source::FoldIn, None), shown("i2", Source::Explore, Some("A"))],
        }
    }

    fn store(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), &StoreConfig::default()).unwrap()
    }

    fn entries(store: &Store) -> usize {
        store.db.iterator_cf(Family::Exposures.of(&store.db).unwrap(), IteratorMode::Start).count()
    }

    #[test]
    fn answers_are_found_by_name_by_user_and_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let all = [exposure("a", Some("u"), 1_000), exposure("b", Some("u2"), 3_000), exposure("c", Some("u"), 2_000)];
        store.put_exposures(&all).unwrap();
        store.put_exposures(&all).unwrap();
        assert_eq!(store.exposure("b").unwrap(), Some(all[1].clone()));
        assert_eq!(store.exposure("z").unwrap(), None);
        assert_eq!(store.user_exposures("u", 9).unwrap(), [all[2].clone(), all[0].clone()], "the newest first");
        assert_eq!(store.user_exposures("u", 1).unwrap().len(), 1);
        assert_eq!(store.user_exposures_before("u", Some(all[2].time), 9).unwrap(), [all[0].clone()]);
        let mut read = Vec::new();
        let from = Timestamp::from_millis(1_500).unwrap();
        let mut take = |exposure: Exposure| {
            read.push(exposure.recommendation_id);
            Ok(())
        };
        store.view().for_each_exposure(from, Timestamp::MAX, &mut take).unwrap();
        assert_eq!(read, ["c", "b"]);
    }

    #[test]
    fn a_merged_users_answers_are_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        store.append_events(&[Event::new("from", "i1", "click")], Durability::Async).unwrap();
        store.put_exposures(&[exposure("a", Some("from"), 1_000)]).unwrap();
        store.merge_users("into", "from").unwrap();
        assert_eq!(store.user_exposures("into", 9).unwrap(), [exposure("a", Some("into"), 1_000)]);
        assert_eq!(store.exposure("a").unwrap().unwrap().user.as_deref(), Some("into"));
        assert_eq!(entries(&store), 3);
    }
}
