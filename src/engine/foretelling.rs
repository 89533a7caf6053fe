//! What the ranker's scores foretell beside what was taken: learned from the first answers of a snapshot, held against the newest.

use super::monitoring::Calibrated;
use super::{Engine, lock, read};
use crate::error::Result;
use crate::monitor::{Calibration, Impression};
use crate::record::{Exposure, SnapshotId, Span, Timestamp};

/// So many items shown, at least, calibrate; and twice as many at most.
const LEARNED: usize = 5_000;
/// They are of a day at least: people click more at some hours than at others.
const DAY: Span = Span::days(1);
/// So many, about, are held against it.
const JUDGED: usize = 20_000;
/// The first span of time that is read for that; it doubles until it holds as many.
const FIRST: Span = Span::seconds(3_600);

impl Engine {
    /// Probabilities that an item is taken beside whether it was, of some of what a snapshot's ranker put in its place within a
    /// span of time, and after the answers from which the probabilities were learned. Empty without a ranker, and before there are
    /// enough of those. Answers of the last moments, `monitor.every`, are left out: they may be taken yet. Reads about twice as
    /// many answers as it needs.
    pub(super) fn foretold(&self, snapshot: SnapshotId, from: Timestamp, until: Timestamp) -> Result<Vec<(f64, bool)>> {
        let has_learned = self.inner.live.load().as_ref().is_some_and(|live| live.snapshot.ranker().is_some());
        if !has_learned && read(&self.inner.ranker).is_none() {
            return Ok(Vec::new());
        }
        let until = until.before(self.inner.config.monitor.every);
        let Some((calibration, learned)) = self.calibration(snapshot, until)? else { return Ok(Vec::new()) };
        let earliest = from.max(learned);
        let mut span = FIRST;
        loop {
            let from = until.before(span).max(earliest);
            let impressions = self.impressions(snapshot, from, until, JUDGED)?;
            if impressions.len() >= JUDGED || from == earliest {
                return Ok(impressions.iter().map(|of| (calibration.probability(of), of.taken)).collect());
            }
            span = span.times(2);
        }
    }

    /// What was learned of a snapshot's first answers, and of answers until when. It is tried when there may be enough, and then
    /// when it has answered for twice as long.
    fn calibration(&self, snapshot: SnapshotId, until: Timestamp) -> Result<Option<(Calibration, Timestamp)>> {
        let kept = lock(&self.inner.monitoring).calibration.filter(|kept| kept.of == snapshot);
        let created = self.snapshot(snapshot)?.created;
        let next = kept.map_or(created.after(DAY), |kept| kept.next);
        if let Some(known) = kept.and_then(|kept| kept.known) {
            return Ok(Some(known));
        }
        if until < next {
            return Ok(None);
        }
        let mut known = None;
        for end in [created.after(DAY), until] {
            let impressions = self.impressions(snapshot, created, end, LEARNED)?;
            known = Calibration::fit(&impressions).filter(|_| impressions.len() >= LEARNED).map(|fitted| (fitted, end));
            if known.is_some() || end == until {
                break;
            }
        }
        let age = Span::between(created, until);
        lock(&self.inner.monitoring).calibration =
            Some(Calibrated { of: snapshot, known, next: created.after(age.times(2)) });
        Ok(known)
    }

    /// What a snapshot's ranker put in its place in a span of time; where that is much, twice `most` at most, evenly spaced.
    fn impressions(
        &self,
        snapshot: SnapshotId,
        from: Timestamp,
        until: Timestamp,
        most: usize,
    ) -> Result<Vec<Impression>> {
        let (mut impressions, mut number, mut step) = (Vec::new(), 0usize, 1);
        self.for_each_shown(from, until, &|event| self.is_positive(event), &mut |exposure, taken| {
            if exposure.snapshot != Some(snapshot) {
                return Ok(());
            }
            for (position, advantage) in ranked(&exposure) {
                number += 1;
                if number.is_multiple_of(step) {
                    let taken = taken.contains(&position);
                    impressions.push(Impression { advantage, position: exposure.before + position, taken });
                }
            }
            while impressions.len() > 2 * most {
                let mut place = 0usize;
                impressions.retain(|_| {
                    place += 1;
                    place.is_multiple_of(2)
                });
                step *= 2;
            }
            Ok(())
        })?;
        Ok(impressions)
    }
}

/// Positions of what a ranker put in its place, and by how much each is above their mean.
fn ranked(exposure: &Exposure) -> impl Iterator<Item = (u32, f64)> + '_ {
    let ranks =
        || (0u32..).zip(&exposure.items).filter_map(|(position, shown)| Some((position, f64::from(shown.rank?))));
    let mean = ranks().map(|(_, rank)| rank).sum::<f64>() / ranks().count().max(1) as f64;
    ranks().map(move |(position, rank)| (position, rank - mean))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::TrainOptions;
    use crate::monitor::calibration_error;
    use crate::recommend::{Ranker, RankerQuestion};
    use crate::record::{Event, Shown, Source};
    use std::sync::Arc;

    const ITEMS: usize = 10;
    /// Answers are a minute apart.
    const STEP: i64 = 60_000;

    struct AsFound;

    impl Ranker for AsFound {
        fn score(&self, question: &RankerQuestion<'_>) -> Result<Vec<f32>> {
            Ok(question.scores.to_vec())
        }
    }

    fn engine(dir: &std::path::Path) -> Engine {
        let engine = Engine::open(dir, Config::default()).unwrap();
        let event = |n: usize| Event::new(format!("u{}", n % 50), format!("i{}", (n * 7 + n / 50) % ITEMS), "click");
        engine.append_events(&(0..600).map(event).collect::<Vec<_>>()).unwrap();
        let options = TrainOptions { measure: false, ..TrainOptions::default() };
        engine.activate(engine.train(&options).unwrap()).unwrap();
        engine.keep_exposures().unwrap();
        engine.set_ranker(Some(Arc::new(AsFound)));
        engine
    }

    /// An answer a minute, of items of ten kinds in changing order; kind k is taken in one of k + 2 answers.
    fn show(engine: &Engine, minutes: std::ops::Range<usize>, rank_of: impl Fn(usize) -> f32) {
        let snapshot = engine.active_snapshot();
        let begin = engine.snapshot(snapshot.unwrap()).unwrap().created;
        for minute in minutes {
            let time = Timestamp::from_millis(begin.millis() + 1 + minute as i64 * STEP).unwrap();
            let answer = format!("a{minute}");
            let kind = |place: usize| (place * 3 + minute) % ITEMS;
            let item = |place: usize| format!("i{}", (place + minute / ITEMS) % ITEMS);
            let shown = |place: usize| Shown {
                item: item(place),
                score: 0.0,
                rank: Some(rank_of(kind(place))),
                source: Source::Personal,
                propensity: 1.0,
                team: None,
            };
            let user = format!("u{}", minute % 50);
            let exposure = Exposure {
                recommendation_id: answer.clone(),
                time,
                user: Some(user.clone()),
                scenario: None,
                snapshot,
                experiment: None,
                question: None,
                before: 0,
                items: (0..ITEMS).map(shown).collect(),
            };
            engine.inner.store.put_exposures(&[exposure]).unwrap();
            let is_taken = |place: &usize| (minute / ITEMS + place).is_multiple_of(kind(*place) + 2);
            let click = |place: usize| {
                let mut event = Event::new(&*user, item(place), "click").at(time);
                event.recommendation_id = Some(answer.clone());
                event
            };
            engine.append_events(&(0..ITEMS).filter(is_taken).map(click).collect::<Vec<_>>()).unwrap();
        }
    }

    fn error(engine: &Engine, until: usize) -> Option<f64> {
        let id = engine.active_snapshot().unwrap();
        let begin = engine.snapshot(id).unwrap().created;
        let now = Timestamp::from_millis(begin.millis() + until as i64 * STEP).unwrap();
        let pairs = engine.foretold(id, now.before(Span::days(1)), now).unwrap();
        (!pairs.is_empty()).then(|| calibration_error(&pairs))
    }

    #[test]
    fn scores_that_keep_their_meaning_foretell_and_others_raise_the_alarm() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        let by_kind = |kind: usize| -((kind + 1) as f32).ln();
        show(&engine, 0..400, by_kind);
        assert_eq!(error(&engine, 400), None, "too few to learn from");
        show(&engine, 400..2_400, by_kind);
        let same = error(&engine, 2_400).unwrap();
        assert!(same < 0.1, "{same}");
        show(&engine, 2_400..4_800, |kind| -by_kind(kind));
        let inverted = error(&engine, 4_800).unwrap();
        assert!(inverted > engine.config().monitor.calibration, "{inverted}");
        let created = engine.snapshot(engine.active_snapshot().unwrap()).unwrap().created;
        let report = engine.drift(Timestamp::from_millis(created.millis() + 4_800 * STEP).unwrap()).unwrap();
        let told = report.differences.iter().find(|of| of.name == "calibration").unwrap();
        assert!(told.value > told.level, "{told:?}");
    }

    #[test]
    fn of_an_answer_that_nobody_ranked_nothing_is_foretold() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        engine.set_ranker(None);
        let id = engine.active_snapshot().unwrap();
        for user in 0..50 {
            engine.recommend(&crate::record::Query::for_user(format!("u{user}"))).unwrap();
        }
        let created = engine.snapshot(id).unwrap().created;
        let later = Timestamp::from_millis(created.millis() + 86_400_000).unwrap();
        assert_eq!(engine.impressions(id, created, later, 100).unwrap(), []);
    }
}
