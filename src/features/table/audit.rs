//! Are rows what they should be? Each row is made anew from the plain definition of point in time: all events of its
//! user and of its item that are earlier than its moment, read from the log, and nothing else. A row that knew its own
//! event or a later one differs, and so does one made from counters that are not what the log says.

use rustc_hash::FxHashMap;

use super::replay::latest;
use super::rows::{FeatureRequest, Known};
use super::{FactTable, FittedTable};
use crate::counters::{CounterSet, Owner};
use crate::error::Result;
use crate::linalg::Matrix;
use crate::record::{Attributes, ItemId, Timestamp, UserId};
use crate::store::View;

/// Values that differ by less, relative to one and to themselves, are the same: sums of values depend on their order.
const TOLERANCE: f32 = 1e-4;

/// A raw row as it was used.
pub struct AuditedRow {
    /// For whom.
    pub user: UserId,
    /// Of which item.
    pub item: ItemId,
    /// When.
    pub at: Timestamp,
    /// Under which circumstances.
    pub context: Attributes,
    /// `[columns]`, NaN where nothing was known.
    pub row: Vec<f32>,
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

/// The columns in which rows differ from what the log says. One pass over the log; memory grows with the rows.
pub fn audit(
    view: &View<'_>,
    fitted: &FittedTable,
    items: &FactTable,
    users: &FactTable,
    rows: &[AuditedRow],
) -> Result<Vec<ColumnDifference>> {
    let table = fitted.table();
    let mut states: Vec<_> = rows.iter().map(|_| (CounterSet::default(), Vec::new())).collect();
    let mut by_owner: FxHashMap<Owner, Vec<usize>> = FxHashMap::default();
    for (place, row) in rows.iter().enumerate() {
        by_owner.entry(Owner::User(row.user)).or_default().push(place);
        by_owner.entry(Owner::Item(row.item)).or_default().push(place);
    }
    view.for_each_counted(None, &mut |event| {
        for owner in [Owner::User(event.user), Owner::Item(event.item)] {
            for place in by_owner.get(&owner).map(Vec::as_slice).unwrap_or_default() {
                let (Some(row), Some((counters, past))) = (rows.get(*place), states.get_mut(*place)) else { continue };
                if event.counted.time >= row.at {
                    continue;
                }
                counters.counter(owner, event.kind).add(event.counted);
                if matches!(owner, Owner::User(_)) {
                    past.push(table.past_event(event.item, event.kind, event.counted.time));
                }
            }
        }
        Ok(())
    })?;
    let mut differences: Vec<ColumnDifference> = Vec::new();
    let mut out = Matrix::zeros(1, table.columns().len());
    for (row, (counters, mut past)) in rows.iter().zip(states) {
        past.reverse();
        past.sort_by_key(|event| event.time);
        let past = latest(past, table.history(), row.at);
        let request = FeatureRequest {
            at: row.at,
            user: users.at(row.user.index()),
            counters: counters.of(Owner::User(row.user)),
            past: &past,
            context: &row.context,
            scores: &[],
        };
        fitted.raw_rows(&request, Known { items, counters: &counters }, &[row.item], &mut out);
        for ((column, used), expected) in table.columns().iter().zip(&row.row).zip(out.row(0)) {
            if is_same(*used, *expected) {
                continue;
            }
            match differences.iter_mut().find(|known| known.column == column.name) {
                Some(known) => known.rows += 1,
                None => differences.push(ColumnDifference {
                    column: column.name.clone(),
                    rows: 1,
                    used: *used,
                    expected: *expected,
                }),
            }
        }
    }
    Ok(differences)
}

fn is_same(a: f32, b: f32) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * (1.0 + b.abs())
}
