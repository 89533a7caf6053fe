//! Are rows what they should be? Each row is made anew from the plain definition of point in time: all events of its
//! user and of its item that are earlier than its moment, read from the log, and nothing else. A row that knew its own
//! event or a later one differs, and so does one made from counters that are not what the log says.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use super::past::PastEvent;
use super::replay::latest;
use super::rows::{FeatureRequest, Known};
use super::{FactTable, FittedTable};
use crate::counters::{CounterSet, EventCounter, Owner};
use crate::error::Result;
use crate::linalg::Matrix;
use crate::record::{Attributes, ItemId, Timestamp, UserId};
use crate::store::View;

/// Values that differ by less, relative to one and to themselves, are the same: sums of values depend on their order.
const TOLERANCE: f32 = 1e-4;

/// Counters by event type.
pub type KindCounters = Vec<(Box<str>, EventCounter)>;

/// A raw row as it was used.
pub struct AuditedRow {
    /// For whom; `None` for somebody who is not known.
    pub user: Option<UserId>,
    /// Of which item.
    pub item: ItemId,
    /// When.
    pub at: Timestamp,
    /// Under which circumstances.
    pub context: Attributes,
    /// What the visit brought beside the log, later than all that is in it.
    pub visits: Vec<PastEvent>,
    /// Events of the user and of the item that were known, if that was noted: where the log has others by now, the row tells
    /// nothing.
    pub known: Option<[i64; 2]>,
    /// The counters of the user and of the item that it was made from, if those were noted: where they keep less of the past than the log
    /// gives, as events were taken out again, the row tells nothing.
    pub counters: Option<[KindCounters; 2]>,
    /// `[columns]`, NaN where nothing was known.
    pub row: Vec<f32>,
}

/// What came of an audit.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Audit {
    /// The columns in which rows differ from what the log says.
    pub differences: Vec<ColumnDifference>,
    /// Rows that were compared.
    pub compared: u64,
    /// Rows of users or items of which earlier events came in later.
    pub late: u64,
    /// Rows from counters that keep less of the past than the log gives.
    pub shortened: u64,
}

/// A column that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDifference {
    /// Its name.
    pub column: String,
    /// Rows in which it differs.
    pub rows: u64,
    /// The first of them: as it was used.
    pub used: f32,
    /// As it should have been.
    pub expected: f32,
}

/// Compares rows with what the log says. One pass over the log; memory grows with the rows.
pub fn audit(
    view: &View<'_>,
    fitted: &FittedTable,
    items: &FactTable,
    users: &FactTable,
    rows: &[AuditedRow],
) -> Result<Audit> {
    let table = fitted.table();
    let mut states: Vec<State> = rows.iter().map(|_| State::default()).collect();
    let mut by_owner: FxHashMap<Owner, Vec<usize>> = FxHashMap::default();
    for (place, row) in rows.iter().enumerate() {
        row.user.into_iter().for_each(|user| by_owner.entry(Owner::User(user)).or_default().push(place));
        by_owner.entry(Owner::Item(row.item)).or_default().push(place);
    }
    view.for_each_counted(None, &mut |event| {
        for owner in [Owner::User(event.user), Owner::Item(event.item)] {
            for place in by_owner.get(&owner).map(Vec::as_slice).unwrap_or_default() {
                let (Some(row), Some(state)) = (rows.get(*place), states.get_mut(*place)) else { continue };
                let side = usize::from(owner.item().is_some());
                match event.counted.time.cmp(&row.at) {
                    Ordering::Greater => continue,
                    Ordering::Equal => state.same_moment[side] += 1,
                    Ordering::Less => {
                        state.before[side] += 1;
                        state.counters.counter(owner, event.kind).add(event.counted);
                        if side == 0 {
                            let counted = event.counted.time;
                            state.past.push(table.past_event(event.item, event.kind, counted, event.session));
                        }
                    }
                }
            }
        }
        Ok(())
    })?;
    let mut audit = Audit::default();
    let mut out = Matrix::zeros(1, table.columns().len());
    for (row, state) in rows.iter().zip(states) {
        if state.is_late(row) {
            audit.late += 1;
            continue;
        }
        if state.is_shortened(row) {
            audit.shortened += 1;
            continue;
        }
        audit.compared += 1;
        let State { counters, mut past, .. } = state;
        past.reverse();
        past.sort_by_key(|event| event.time);
        let mut past = latest(past, table.history(), row.at);
        past.extend_from_slice(&row.visits);
        let request = FeatureRequest {
            at: row.at,
            user: row.user.and_then(|user| users.at(user.index())),
            counters: row.user.map_or(&[], |user| counters.of(Owner::User(user))),
            past: &past,
            context: &row.context,
            scores: &[],
        };
        fitted.raw_rows(&request, Known { items, counters: &counters }, &[row.item], &mut out);
        for (place, ((column, used), expected)) in table.columns().iter().zip(&row.row).zip(out.row(0)).enumerate() {
            // What sources say of candidates is not in the log.
            if table.is_of_source(place) || is_same(*used, *expected) {
                continue;
            }
            match audit.differences.iter_mut().find(|known| known.column == column.name) {
                Some(known) => known.rows += 1,
                None => audit.differences.push(ColumnDifference {
                    column: column.name.clone(),
                    rows: 1,
                    used: *used,
                    expected: *expected,
                }),
            }
        }
    }
    Ok(audit)
}

/// What the log says of a row.
#[derive(Default)]
struct State {
    counters: CounterSet,
    past: Vec<PastEvent>,
    /// Events of the user and of the item before its moment, and in the same millisecond.
    before: [i64; 2],
    same_moment: [i64; 2],
}

impl State {
    /// Whether events before the row's moment were not known yet, or some of the same millisecond were.
    fn is_late(&self, row: &AuditedRow) -> bool {
        let Some(known) = row.known else { return false };
        (0..2).any(|side| {
            let more = known[side] - self.before[side];
            more < 0 || (more > 0 && more <= self.same_moment[side])
        })
    }

    /// Whether the row's counters say what the log says, but for old times that they have given up.
    fn is_shortened(&self, row: &AuditedRow) -> bool {
        let Some([of_user, of_item]) = &row.counters else { return false };
        let owners = [row.user.map(Owner::User), Some(Owner::Item(row.item))];
        let is_shorter = |kept: &KindCounters, owner: Owner| {
            let of_log = self.counters.of(owner);
            let pairs = kept.iter().filter_map(|(kind, counter)| {
                of_log.iter().find(|(known, _)| known == kind).map(|(_, of_log)| (counter, of_log))
            });
            pairs.into_iter().any(|(counter, of_log)| {
                counter.buckets != of_log.buckets
                    && counter.agrees(of_log)
                    && counter.buckets.are_newest_of(&of_log.buckets)
            })
        };
        owners
            .into_iter()
            .zip([of_user, of_item])
            .any(|(owner, kept)| owner.is_some_and(|owner| is_shorter(kept, owner)))
    }
}

fn is_same(a: f32, b: f32) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * (1.0 + b.abs())
}
