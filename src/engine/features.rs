//! What the features of a data directory are: names and kinds, how they are distributed over its events, and whether serving and
//! training agree on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Engine, Finding};
use crate::counters::Owner;
use crate::error::{Error, Result};
use crate::features::table::{
    Audit, AuditedRow, FactTable, FeatureTable, FittedTable, Known, Scope, Survey, UserState, audit, replay,
};
use crate::linalg::Matrix;
use crate::progress::{Progress, Step};
use crate::record::{Attributes, ItemId, Span, Timestamp, UserId};
use crate::store::View;

/// Moments of the log that statistics are taken from, at most.
const MOMENTS: u64 = 20_000;
/// Moments of the log whose rows are made anew to see whether they knew too much, and users whose rows of now are.
const AUDITED: u64 = 64;

/// The circumstances of events as old as this tell what circumstances there are.
const CONTEXTS: Span = Span::days(7);

/// The feature table with its statistics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureReport {
    /// Rows that the statistics are of: moments of the log, each with the item of its event and one drawn from the
    /// catalogue.
    pub rows: u64,
    /// The columns, in order.
    pub columns: Vec<FeatureColumn>,
}

/// A column of the feature table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureColumn {
    /// Its name.
    pub name: String,
    /// What it depends on: user, item, pair, session or request.
    pub scope: String,
    /// What stands where nothing is known.
    pub policy: String,
    /// The mean of what is known.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The share of rows in which nothing is known.
    pub missing: f64,
    /// Minimum, nine deciles, maximum; empty if nothing is known.
    pub deciles: Vec<f32>,
}

/// The table of a view, and what it takes from all items and users.
pub(super) struct Surveyed {
    pub table: FeatureTable,
    pub items: FactTable,
    pub users: FactTable,
    /// Ids of the items that are there.
    pub catalog: Vec<ItemId>,
}

impl Engine {
    /// The columns of the feature table and how they are distributed over the events: what `savor features stats` prints.
    /// Replays the log. Errors: [`Error::Cancelled`].
    pub fn features(&self, progress: &dyn Progress) -> Result<FeatureReport> {
        let view = self.inner.store.view();
        let Surveyed { table, items, users, catalog } = self.survey(&view)?;
        let stride = view.event_count()?.div_ceil(MOMENTS).max(1);
        let (mut seen, mut out) = (0u64, Matrix::zeros(0, 1));
        let mut fitting = table.clone().fit();
        replay(&view, &table, &items, &users, &mut |moment| {
            seen += 1;
            if seen.is_multiple_of(1 << 16) {
                if progress.cancelled() {
                    return Err(Error::Cancelled("reading events"));
                }
                progress.report(&Step::Reading { events: seen });
            }
            if seen.is_multiple_of(stride) {
                let drawn = catalog.get(drawn(seen, catalog.len()));
                let candidates: Vec<ItemId> = std::iter::once(moment.item).chain(drawn.copied()).collect();
                fitting.rows(&moment.request, moment.known, &candidates, &mut out);
                for (place, item) in candidates.iter().enumerate() {
                    let (of, label) = (&moment.request, f64::from(u8::from(place == 0)));
                    fitting.label(of.at, of.user, items.get(*item), label);
                }
            }
            Ok(())
        })?;
        Ok(report(&fitting.finish()))
    }

    /// The columns alone, without a replay: what `savor features list` prints.
    pub fn feature_columns(&self) -> Result<Vec<FeatureColumn>> {
        let table = self.survey(&self.inner.store.view())?.table;
        Ok(report(&table.fit().finish()).columns)
    }

    /// Whether training and serving see the same: rows of sampled moments of the log, and rows that serving makes of
    /// sampled users just after the newest event, each against a row made anew from the log; and rows as the ranker saw them
    /// in answers. What `savor doctor --skew`
    /// prints. Two passes over the log.
    pub fn check_skew(&self) -> Result<Vec<Finding>> {
        let view = self.inner.store.view();
        let Surveyed { table, items, users, catalog } = self.survey(&view)?;
        let fitted = table.clone().fit().finish();
        let mut trained = Vec::new();
        let stride = (view.event_count()? / AUDITED).max(1);
        let (mut seen, mut out) = (0u64, Matrix::zeros(0, 1));
        let mut sampled: Vec<(UserId, ItemId)> = Vec::new();
        replay(&view, &table, &items, &users, &mut |moment| {
            seen += 1;
            if seen.is_multiple_of(stride) {
                fitted.raw_rows(&moment.request, moment.known, &[moment.item], &mut out);
                trained.push(AuditedRow {
                    user: Some(moment.user),
                    item: moment.item,
                    at: moment.request.at,
                    context: moment.request.context.clone(),
                    visits: Vec::new(),
                    known: None,
                    counters: None,
                    row: out.row(0).to_vec(),
                });
                let drawn = catalog.get(drawn(seen, catalog.len())).copied();
                sampled.extend([Some(moment.item), drawn].into_iter().flatten().map(|item| (moment.user, item)));
            }
            Ok(())
        })?;
        let mut served = Vec::new();
        let newest = view.newest_event()?.unwrap_or(Timestamp::MIN);
        let at = Timestamp::from_millis(newest.millis() + 1).unwrap_or(newest);
        for (user, item) in sampled {
            if items.get(item).is_some() {
                let row = self.served_row(&fitted, &items, Some(user), item, at)?;
                let of_item = self.inner.store.item_counters().of(Owner::Item(item)).to_vec();
                let counters = Some([self.inner.store.user_counters(user)?, of_item]);
                served.push(AuditedRow {
                    user: Some(user),
                    item,
                    at,
                    context: Attributes::new(),
                    visits: Vec::new(),
                    known: None,
                    counters,
                    row,
                });
            }
        }
        trained.retain(|row| items.get(row.item).is_some());
        let mut findings = Vec::new();
        for (check, rows) in [("features in training", trained), ("features in serving", served)] {
            let Audit { differences, compared, shortened, .. } = audit(&view, &fitted, &items, &users, &rows)?;
            if differences.is_empty() {
                let left_out = match shortened {
                    0 => String::new(),
                    rows => format!("; left out: {rows} whose counters keep less of the past, as events were removed"),
                };
                let columns = fitted.columns().len();
                let detail = format!("{compared} rows of {columns} columns are those of the log{left_out}");
                findings.push(Finding { check: check.into(), ok: true, detail, index: None });
            }
            findings.extend(differences.into_iter().map(|of| Finding {
                check: check.into(),
                ok: false,
                detail: format!(
                    "\"{}\" differs in {} of {} rows: {} where the log gives {}; export the events into a new directory, or \
                     restore a backup",
                    of.column,
                    of.rows,
                    compared,
                    of.used,
                    of.expected
                ),
                index: None,
            }));
        }
        findings.extend(self.check_served()?);
        Ok(findings)
    }

    /// A raw row as serving makes it.
    pub(super) fn served_row(
        &self,
        fitted: &FittedTable,
        items: &FactTable,
        user: Option<UserId>,
        item: ItemId,
        at: Timestamp,
    ) -> Result<Vec<f32>> {
        let read = |user| UserState::read(&self.inner.store, fitted.table(), user, at, None);
        let user = user.map_or_else(|| Ok(UserState::default()), read)?;
        let context = Attributes::new();
        let mut out = Matrix::zeros(0, 1);
        let counters = self.inner.store.item_counters();
        let known = Known { items, counters: &counters };
        fitted.raw_rows(&user.request(at, &context, &[]), known, &[item], &mut out);
        Ok(out.row(0).to_vec())
    }

    /// Looks at all items and users, and makes the table that the configuration and they suggest.
    pub(super) fn survey(&self, view: &View<'_>) -> Result<Surveyed> {
        let store = &self.inner.store;
        let mut survey = Survey::default();
        for (space, dimension) in store.spaces()? {
            survey.space(&space, dimension);
        }
        view.for_each_item(&mut |_, item| {
            survey.item(&item);
            Ok(())
        })?;
        view.for_each_user(&mut |_, user| {
            survey.user(&user.attributes);
            Ok(())
        })?;
        survey.events(&store.item_counters());
        let recent = view.newest_event()?.map(|newest| newest.before(CONTEXTS));
        view.for_each_counted(recent, &mut |event| {
            survey.context(&event.context);
            Ok(())
        })?;
        let table = FeatureTable::new(&self.inner.config.features, &survey, &[]);
        let (mut items, mut users, mut catalog) = (FactTable::default(), FactTable::default(), Vec::new());
        let has_vectors = table.spaces().next().is_some();
        view.for_each_item(&mut |id, item| {
            // Listings leave vectors out.
            let item = if has_vectors { store.item(&item.id)?.unwrap_or(item) } else { item };
            items.set(id.get(), Some(table.item_facts(&item)));
            catalog.push(id);
            Ok(())
        })?;
        catalog.sort_unstable();
        view.for_each_user(&mut |id, user| {
            users.set(id.get(), Some(table.user_facts(&user.attributes)));
            Ok(())
        })?;
        Ok(Surveyed { table, items, users, catalog })
    }
}

fn report(fitted: &FittedTable) -> FeatureReport {
    let columns = fitted.columns().iter().zip(fitted.statistics()).map(|(column, statistics)| FeatureColumn {
        name: column.name.clone(),
        scope: word(column.scope).into(),
        policy: statistics.policy.clone(),
        mean: statistics.mean,
        deviation: statistics.deviation,
        missing: statistics.missing,
        deciles: statistics.deciles.clone(),
    });
    FeatureReport { rows: fitted.training_rows(), columns: columns.collect() }
}

pub(super) fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::User => "user",
        Scope::Item => "item",
        Scope::Pair => "pair",
        Scope::Session => "session",
        Scope::Request => "request",
    }
}

/// A place below `n`, the same for the same number.
fn drawn(number: u64, n: usize) -> usize {
    (xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()) % n.max(1) as u64) as usize
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Config, Durability, FeatureDefinition, FeatureKind, FeatureOf};
    use crate::counters::Owner;
    use crate::progress::Silent;
    use crate::record::{Event, Item, User};

    /// Two days of views, purchases and dwell, not in the order of time.
    pub fn filled(dir: &std::path::Path) -> Engine {
        let mut config = Config::default();
        config.store.durability = Durability::Async;
        config.features.history = 5;
        let hashed = FeatureDefinition {
            of: Some(FeatureOf::Item),
            attribute: Some("title".into()),
            size: Some(4),
            ..FeatureDefinition::new(FeatureKind::Hashed)
        };
        config.features.columns.insert("item.title".into(), hashed);
        let target = FeatureDefinition {
            of: Some(FeatureOf::Item),
            attribute: Some("categories".into()),
            ..FeatureDefinition::new(FeatureKind::Target)
        };
        config.features.columns.insert("item.category_target".into(), target);
        let engine = Engine::open(dir, config).unwrap();
        let items: Vec<Item> = (0..12)
            .map(|n| {
                let mut item = Item::new(format!("i{n}"));
                item.categories = vec![format!("c{}", n % 3)];
                item.attributes.insert("price".into(), f64::from(n).into());
                item.attributes.insert("title".into(), format!("A thing of number {n} and colour {}", n % 2).into());
                item
            })
            .collect();
        engine.put_items(&items).unwrap();
        let mut user = User::new("u0");
        user.attributes.insert("age".into(), 33.0.into());
        engine.put_users(&[user]).unwrap();
        let events: Vec<Event> = (0..200i64)
            .map(|n| {
                let n = n * 77 % 200;
                let kind = if n % 4 == 0 { "purchase" } else { "view" };
                let mut event = Event::new(format!("u{}", n % 9), format!("i{}", n * 5 % 12), kind)
                    .at(Timestamp::from_millis(1_767_225_600_000 + n / 2 * 1_700_000).unwrap());
                event.dwell_ms = (n % 3 == 0).then_some(n as u64 * 100);
                event.context.insert("device".into(), ["ios", "web"][(n % 2) as usize].into());
                event.value = (n % 4 == 0).then_some(n as f64 / 7.0);
                event
            })
            .collect();
        events.chunks(30).for_each(|events| assert_eq!(engine.append_events(events).unwrap().known, 0));
        engine
    }

    #[test]
    fn serving_and_training_agree_also_after_deletions_and_merges() {
        let dir = tempfile::tempdir().unwrap();
        let engine = filled(dir.path());
        let agrees = |engine: &Engine| {
            let findings = engine.check_skew().unwrap();
            assert!(findings.len() == 3 && findings.iter().all(|finding| finding.ok), "{findings:?}");
        };
        agrees(&engine);
        engine.delete_user("u3").unwrap();
        engine.delete_item("i5").unwrap();
        engine.merge_users("u1", "u2").unwrap();
        agrees(&engine);
        drop(engine);
        agrees(&Engine::open(dir.path(), Config::default()).unwrap());
    }

    #[test]
    fn what_counters_gave_up_before_a_deletion_is_no_skew() {
        let dir = tempfile::tempdir().unwrap();
        let engine = filled(dir.path());
        // Every day for longer than the days that a counter keeps; the last ones are taken out again.
        let day = |n: i64| Timestamp::from_millis(1_767_225_600_000 + n * 86_400_000).unwrap();
        let by = |user: &str, days: std::ops::Range<i64>| -> Vec<Event> {
            days.map(|n| Event::new(user, "i0", "view").at(day(n))).collect()
        };
        engine.append_events(&by("u0", 10..50)).unwrap();
        engine.append_events(&by("gone", 50..60)).unwrap();
        engine.delete_user("gone").unwrap();
        let findings = engine.check_skew().unwrap();
        assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.detail.contains("as events were removed")), "{findings:?}");
    }

    #[test]
    fn a_counter_that_is_not_what_the_log_says_is_named_by_its_features() {
        let dir = tempfile::tempdir().unwrap();
        let engine = filled(dir.path());
        let item = engine.inner.store.item_id("i0").unwrap().unwrap();
        let event = crate::counters::CountedEvent {
            time: engine.inner.store.view().newest_event().unwrap().unwrap(),
            value: None,
            dwell_ms: None,
        };
        engine.inner.store.miscount(Owner::Item(item), "view", event).unwrap();
        let wrong: Vec<_> = engine.check_skew().unwrap().into_iter().filter(|finding| !finding.ok).collect();
        assert!(wrong.iter().all(|finding| finding.check == "features in serving"), "{wrong:?}");
        assert!(wrong.iter().any(|finding| finding.detail.starts_with("\"item.events_1h\" differs")), "{wrong:?}");
        assert!(wrong.iter().all(|finding| finding.detail.starts_with("\"item.")), "{wrong:?}");
    }

    #[test]
    fn statistics_have_missing_rates_and_standardised_rows_are_finite() {
        let dir = tempfile::tempdir().unwrap();
        let engine = filled(dir.path());
        let report = engine.features(&Silent).unwrap();
        let column = |name: &str| report.columns.iter().find(|column| column.name == name).unwrap();
        assert_eq!(report.rows, 400);
        assert!(column("pair.recency").missing > 0.3, "{:?}", column("pair.recency"));
        assert_eq!((column("item.events").missing, &*column("item.events").policy), (0.0, "never missing"));
        assert_eq!(column("item.price").deciles.last(), Some(&11.0));
        assert!((column("request.device=ios").mean - 0.5).abs() < 0.1);
        assert!(engine.feature_columns().unwrap().len() == report.columns.len());

        let view = engine.inner.store.view();
        let Surveyed { table, items, users, catalog } = engine.survey(&view).unwrap();
        let mut fitting = table.clone().fit();
        let (mut out, mut all) = (Matrix::zeros(0, 1), Vec::new());
        replay(&view, &table, &items, &users, &mut |moment| {
            fitting.rows(&moment.request, moment.known, &catalog, &mut out);
            catalog.iter().for_each(|item| {
                let (of, label) = (&moment.request, f64::from(u8::from(*item == moment.item)));
                fitting.label(of.at, of.user, items.get(*item), label);
            });
            all.extend_from_slice(out.data());
            Ok(())
        })
        .unwrap();
        let fitted = fitting.finish();
        let mut rows = Matrix::new(table.columns().len(), all).unwrap();
        fitted.standardise(&mut rows);
        assert!(rows.data().iter().all(|value| value.is_finite() && value.abs() <= 8.0));
        for (place, column) in table.columns().iter().enumerate().filter(|(_, column)| column.is_number) {
            let values = (0..rows.rows()).map(|row| f64::from(rows.row(row)[place]));
            let mean = values.sum::<f64>() / rows.rows() as f64;
            assert!(mean.abs() < 0.05, "{} has mean {mean}", column.name);
        }
        let again = FittedTable::from_bytes(&fitted.to_bytes().unwrap()).unwrap();
        assert_eq!(again, fitted);
        assert_eq!(FittedTable::from_bytes(b"{}").unwrap_err().code(), "corrupt");
    }
}
