//! What the ranker was shown, and whether training would have been shown the same.

use super::{Engine, Finding, Inner, read};
use crate::error::Result;
use crate::features::table::{AuditedRow, ColumnDifference, FactTable, Facts, FittedTable, PastEvent, audit};
use crate::record::{ItemId, Timestamp, UserId};
use crate::store::{ServedAnswer, View};

/// What `doctor` calls the check.
const CHECK: &str = "features as served";

impl Inner {
    /// Writes the logged rows, if those of so many answers wait.
    pub(super) fn keep_served(&self, least: usize) -> Result<()> {
        let waiting = self.served.take(least);
        if waiting.is_empty() {
            return Ok(());
        }
        let features = &self.config.features;
        let since = read(&self.popular).moment(Timestamp::now()).before(features.log_retention);
        self.store.put_served(&waiting, features.log_answers as u64, since.millis())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.keep_served(1) {
            tracing::warn!(%error, "rows that were served are not logged");
        }
    }
}

impl Engine {
    /// Whether the rows that the active snapshot's ranker saw in answers are those that training makes of the same moments.
    /// Rows whose metadata are others by now are left out: the log does not tell what they were.
    pub(super) fn check_served(&self) -> Result<Vec<Finding>> {
        let inner = &*self.inner;
        inner.keep_served(1)?;
        let live = inner.live.load_full();
        let Some((snapshot, ranker)) = live.as_ref().and_then(|live| Some((&live.snapshot, live.snapshot.ranker()?)))
        else {
            return Ok(vec![Finding::well(CHECK, "no ranker serves")]);
        };
        let view = inner.store.view();
        let mut answers = inner.store.served()?;
        answers.retain(|answer| answer.snapshot == snapshot.manifest().id.0);
        let (mut items, mut users, mut rows, mut changed) =
            (FactTable::default(), FactTable::default(), Vec::new(), 0u64);
        let table = ranker.table().table();
        for answer in &answers {
            for (item, _) in &answer.metadata {
                let known =
                    inner.store.item_name(ItemId::new(*item))?.map(|name| inner.store.item(&name)).transpose()?;
                items.set(*item, known.flatten().map(|item| table.item_facts(&item)));
            }
            if let Some(user) = answer.user {
                let known =
                    inner.store.user_name(UserId::new(user))?.map(|name| inner.store.user(&name)).transpose()?;
                users.set(user, known.flatten().map(|user| table.user_facts(&user.attributes)));
            }
            if is_as_it_was(answer, &items, &users) {
                rows.extend(audited(answer, |item, kind, at| table.past_event(item, kind, at, None)));
            } else {
                changed += answer.rows.len() as u64;
            }
        }
        self.compared(&view, ranker.table(), (&items, &users), &rows, changed, answers.len())
    }

    fn compared(
        &self,
        view: &View<'_>,
        fitted: &FittedTable,
        (items, users): (&FactTable, &FactTable),
        rows: &[AuditedRow],
        changed: u64,
        answers: usize,
    ) -> Result<Vec<Finding>> {
        let audit = audit(view, fitted, items, users, rows)?;
        let left_out = match (changed, audit.late) {
            (0, 0) => String::new(),
            (changed, late) => format!(
                "; left out: {changed} rows whose metadata are others by now, {late} whose earlier events came in later"
            ),
        };
        if audit.differences.is_empty() {
            let detail = match answers {
                0 => "no answer of the active snapshot's ranker has been logged (features.log_share)".to_owned(),
                _ => format!("{} rows of {answers} answers are those that training makes{left_out}", audit.compared),
            };
            return Ok(vec![Finding::well(CHECK, detail)]);
        }
        let finding = |of: ColumnDifference| {
            let detail = format!(
                "\"{}\" differs in {} of {} rows: the ranker saw {} where training makes {}{left_out}",
                of.column, of.rows, audit.compared, of.used, of.expected
            );
            Finding::new(CHECK, false, detail)
        };
        Ok(audit.differences.into_iter().map(finding).collect())
    }
}

fn is_as_it_was(answer: &ServedAnswer, items: &FactTable, users: &FactTable) -> bool {
    let print = |facts: Option<&Facts>| facts.map_or(0, Facts::fingerprint);
    answer.metadata.iter().all(|(item, was)| print(items.get(ItemId::new(*item))) == *was)
        && answer.user.is_none_or(|user| print(users.at(user as usize)) == answer.profile)
}

fn audited<'a>(
    answer: &'a ServedAnswer,
    past_event: impl Fn(ItemId, &str, Timestamp) -> PastEvent + 'a,
) -> impl Iterator<Item = AuditedRow> + 'a {
    let at = Timestamp::from_millis(answer.at).unwrap_or(Timestamp::MIN);
    answer.rows.iter().map(move |row| AuditedRow {
        user: answer.user.map(UserId::new),
        item: ItemId::new(row.item),
        at,
        context: answer.context.clone(),
        visits: answer.visits.iter().map(|(item, kind)| past_event(ItemId::new(*item), kind, at)).collect(),
        known: Some([answer.user_events, row.item_events]),
        counters: None,
        row: row.values.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::counters::{CountedEvent, Owner};
    use crate::engine::{ReplayOptions, TrainOptions};
    use crate::record::{Event, Item, Query, Variant};

    const ITEMS: u64 = 200;

    /// Every week other items are in fashion with everybody: something that a ranker learns.
    fn trained(dir: &std::path::Path) -> Engine {
        let mut config =
            Config::from_toml("[train]\ndimension = 8\nepochs = 5\n[store]\ndurability = \"async\"\n").unwrap();
        config.evaluate.bootstrap = 200;
        config.ranker.candidates = 50;
        config.ranker.epochs = 10;
        config.ranker.least_pairs = Some(0);
        config.features.log_share = 1.0;
        let engine = Engine::open(dir, config).unwrap();
        let item = |number: u64| {
            let mut item = Item::new(format!("i{number}"));
            item.categories = vec![format!("c{}", number % 7)];
            item.attributes.insert("price".into(), (number as f64).into());
            item
        };
        engine.put_items(&(0..ITEMS).map(item).collect::<Vec<_>>()).unwrap();
        let below = |seed: u64, n: u64| xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes()) % n;
        let event = |number: u64| {
            let (day, place) = (number / 150, number % 150);
            let hot = (day / 7 * 25 + below(number, 25)) % ITEMS;
            let item = if below(number + 1_000_000, 100) < 80 { hot } else { below(number + 2_000_000, ITEMS) };
            let time = 1_767_225_600_000 + (day * 86_400 + place * 500) as i64 * 1000;
            let user = below(number + 3_000_000, 120);
            let mut event = Event::new(format!("u{user}"), format!("i{item}"), "click");
            event.context.insert("device".into(), ["tv", "phone"][number as usize % 2].into());
            event.at(Timestamp::from_millis(time).unwrap())
        };
        engine.append_events(&(0..9000).map(event).collect::<Vec<_>>()).unwrap();
        let id = engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
        engine.activate(id).unwrap();
        assert!(engine.snapshot(id).unwrap().ranker.unwrap().is_used);
        engine
    }

    fn served(engine: &Engine) -> Vec<Finding> {
        let findings = engine.check_skew().unwrap();
        findings.into_iter().filter(|finding| finding.check == CHECK).collect()
    }

    fn is_well(findings: &[Finding], detail: &str) -> bool {
        findings.len() == 1 && findings[0].ok && findings[0].detail.contains(detail)
    }

    /// How many rows were compared.
    fn compared(engine: &Engine) -> u64 {
        served(engine)[0].detail.split_once(' ').unwrap().0.parse().unwrap()
    }

    #[test]
    fn what_the_ranker_saw_is_what_training_makes_of_the_moment_and_a_planted_skew_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let engine = trained(dir.path());
        assert!(is_well(&served(&engine), "no answer"));
        engine.keep_exposures().unwrap();
        // So that all are asked as of now.
        engine.append_events(&[Event::new("u1", "i5", "click")]).unwrap();
        for user in ["u1", "u2", "nobody"] {
            engine.recommend(&Query::for_user(user)).unwrap();
            engine.append_events(&[Event::new("u1", "i5", "click")]).unwrap();
            let session = Query::for_session(["i7", "i8"]).context([("device", "tv")]);
            engine.recommend(&Query { user: Some(user.into()), ..session }).unwrap();
        }
        // Nobody without a session has nothing to rank by.
        let (first, before) = (served(&engine), compared(&engine));
        assert!(is_well(&first, "rows of 5 answers are those that training makes") && before >= 8, "{first:?}");
        let live = engine.inner.live.load_full().unwrap();
        let columns = live.snapshot.ranker().unwrap().table().columns();
        let on_tv = columns.iter().position(|column| column.name == "request.device=tv").unwrap();
        let answers = engine.inner.store.served().unwrap();
        let seen = |is: fn(f32) -> bool| answers.iter().filter(|answer| is(answer.rows[0].values[on_tv])).count();
        assert_eq!(
            (seen(|value| value == 1.0), seen(f32::is_nan)),
            (3, 2),
            "the ranker knows the device where it is told"
        );
        let replayed = engine.replay(&ReplayOptions::of(Variant::new("the same"))).unwrap();
        assert_eq!((replayed.answers, served(&engine)), (6, first), "what is asked in hindsight was served to nobody");

        // What comes later, or is changed, is no skew.
        let late = Event::new("u2", "i9", "click").at(Timestamp::from_millis(1_767_225_600_001).unwrap());
        engine.append_events(&[late]).unwrap();
        let mut changed = Item::new("i5");
        changed.attributes.insert("price".into(), 7000.0.into());
        engine.put_items(&[changed]).unwrap();
        let findings = served(&engine);
        assert!(is_well(&findings, "left out") && compared(&engine) < before, "{findings:?}");

        let config = engine.config().clone();
        drop(engine);
        let engine = Engine::open(dir.path(), config).unwrap();
        assert_eq!(served(&engine), findings, "rows outlive the process");

        for number in 0..ITEMS {
            let item = engine.inner.store.item_id(&format!("i{number}")).unwrap().unwrap();
            let event = CountedEvent { time: Timestamp::now(), value: None, dwell_ms: None };
            engine.inner.store.miscount(Owner::Item(item), "click", event).unwrap();
        }
        engine.recommend(&Query::for_user("u3")).unwrap();
        let wrong = served(&engine);
        assert!(wrong.iter().all(|finding| !finding.ok && finding.detail.starts_with("\"item.")), "{wrong:?}");
        let names =
            |name: &str| wrong.iter().any(|finding| finding.detail.starts_with(&format!("\"{name}\" differs in 4 of")));
        assert!(names("item.events") && names("item.events_1h"), "{wrong:?}");

        engine.delete_user("u3").unwrap();
        assert!(is_well(&served(&engine), "no answer"));
    }
}
