//! What is learned of the columns from training rows alone: means and deviations, how often they are missing, how they
//! are distributed, and target statistics. Frozen with the snapshot.
//!
//! Target statistics are ordered (Prokhorenkova et al., NeurIPS 2018, section 3.2): a training row is encoded by the labels
//! that were known before its moment, never by its own.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::rows::{FeatureRequest, Known};
use super::{Column, FeatureTable};
use crate::config::{FeatureKind, FeatureOf, Missing};
use crate::linalg::Matrix;
use crate::record::{ItemId, Timestamp};

/// Rows that distributions are drawn from at most; of more, every other one is left out, and so on.
const SAMPLE: usize = 4096;
/// Standardised numbers are cut off here: one wild value must not outweigh all else.
const LARGEST: f32 = 8.0;
/// Nor must it stretch the deviation: what lies so many times as far out as all but two in a hundred rows counts as if it were
/// there.
const WILD: f64 = 20.0;

/// The table with what was learned of its columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedTable {
    pub(super) table: FeatureTable,
    pub(super) columns: Vec<ColumnStatistics>,
    pub(super) targets: Targets,
    rows: u64,
}

/// How a column was distributed in the training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// The mean of what is known.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The share of rows in which nothing is known.
    pub missing: f64,
    /// Minimum, nine deciles, maximum of a sample; empty if nothing is known.
    pub deciles: Vec<f32>,
    /// What stands where nothing is known.
    pub policy: String,
}

/// How a column is standardised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standard {
    /// What stands where nothing is known.
    missing: f32,
    /// Of numbers the mean, and one over the deviation; others stay as they are.
    mean: f64,
    scale: f64,
    /// The largest that it may become.
    most: f32,
}

impl Standard {
    /// Of what is as it should be.
    pub const NONE: Self = Self { missing: 0.0, mean: 0.0, scale: 1.0, most: f32::MAX };

    /// A raw value, standardised.
    #[inline]
    pub fn of(&self, value: f32) -> f32 {
        let value = if value.is_finite() { value } else { self.missing };
        (((f64::from(value) - self.mean) * self.scale) as f32).clamp(-self.most, self.most)
    }
}

/// The sum of labels and the number of rows, by hash of the value.
type Labels = FxHashMap<u32, (f64, f64)>;

/// Smoothed mean labels by value, for each target feature.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Targets {
    by_feature: Vec<(usize, Labels)>,
    smoothing: Vec<f64>,
    sum: f64,
    rows: f64,
}

impl Targets {
    /// The same without any label.
    fn emptied(&self) -> Self {
        let by_feature = self.by_feature.iter().map(|(place, _)| (*place, Labels::default())).collect();
        Self { by_feature, smoothing: self.smoothing.clone(), ..Self::default() }
    }

    /// Adds labels of the same features.
    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.rows += other.rows;
        for ((_, statistics), (_, added)) in self.by_feature.iter_mut().zip(other.by_feature) {
            for (value, (sum, rows)) in added {
                let of_value = statistics.entry(value).or_default();
                of_value.0 += sum;
                of_value.1 += rows;
            }
        }
    }

    /// The mean statistic of some values; `None` without values or before any label.
    pub fn of(&self, feature: usize, values: Option<&[u32]>) -> Option<f64> {
        let values = values.filter(|values| !values.is_empty() && self.rows > 0.0)?;
        let place = self.by_feature.iter().position(|(place, _)| *place == feature)?;
        let (statistics, smoothing) = (&self.by_feature.get(place)?.1, self.smoothing.get(place)?);
        let mean = self.sum / self.rows;
        let smoothed = |value: &u32| {
            let (sum, rows) = statistics.get(value).copied().unwrap_or_default();
            if rows + smoothing > 0.0 { (sum + smoothing * mean) / (rows + smoothing) } else { mean }
        };
        Some(values.iter().map(smoothed).sum::<f64>() / values.len() as f64)
    }
}

/// Learns from rows as they are made.
pub struct Fitting {
    table: FeatureTable,
    targets: Targets,
    /// Labels that are not known yet, by when they are.
    waiting: BTreeMap<Timestamp, Targets>,
    sums: Vec<Sums>,
    sample: Vec<Vec<f32>>,
    stride: u64,
    rows: u64,
}

/// Running mean and squared deviations (Welford 1962).
#[derive(Clone, Copy)]
struct Sums {
    known: u64,
    mean: f64,
    squares: f64,
    least: f32,
    most: f32,
}

impl FeatureTable {
    /// Begins to learn from training rows.
    pub fn fit(self) -> Fitting {
        let is_target =
            |place: usize| self.features.get(place).is_some_and(|of| of.definition.kind == FeatureKind::Target);
        let places: Vec<usize> = (0..self.features.len()).filter(|place| is_target(*place)).collect();
        let smoothing = places.iter().filter_map(|place| self.features.get(*place));
        let targets = Targets {
            smoothing: smoothing.map(|of| of.definition.smoothing.unwrap_or(20.0)).collect(),
            by_feature: places.into_iter().map(|place| (place, FxHashMap::default())).collect(),
            ..Targets::default()
        };
        let sums = vec![Sums::default(); self.columns.len()];
        Fitting { table: self, targets, waiting: BTreeMap::new(), sums, sample: Vec::new(), stride: 1, rows: 0 }
    }
}

impl Fitting {
    /// Raw rows `[candidates, columns]` for training, NaN where nothing is known; to be passed through
    /// [`FittedTable::standardise`] when all are there. Their distribution is learned. Requests come in the order of time.
    pub fn rows(&mut self, request: &FeatureRequest<'_>, known: Known<'_>, candidates: &[ItemId], out: &mut Matrix) {
        while let Some(of_then) = self.waiting.first_entry().filter(|of| *of.key() < request.at) {
            self.targets.add(of_then.remove());
        }
        self.table.raw_rows(request, known, &self.targets, candidates, out);
        for place in 0..candidates.len() {
            self.see(out.row(place));
        }
    }

    /// Tells the label of a row, and when it came to be known: target statistics of rows after that know it.
    pub fn label(&mut self, at: Timestamp, user: Option<&Facts>, item: Option<&Facts>, label: f64) {
        let targets = self.waiting.entry(at).or_insert_with(|| self.targets.emptied());
        targets.sum += label;
        targets.rows += 1.0;
        for (place, statistics) in &mut targets.by_feature {
            let Some(feature) = self.table.features.get(*place) else { continue };
            let facts = if feature.definition.of == Some(FeatureOf::User) { user } else { item };
            let values = facts.zip(feature.attribute).map(|(facts, attribute)| facts.values(attribute));
            for value in values.unwrap_or_default() {
                let (sum, rows) = statistics.entry(*value).or_default();
                *sum += label;
                *rows += 1.0;
            }
        }
    }

    fn see(&mut self, row: &[f32]) {
        for (sums, value) in self.sums.iter_mut().zip(row).filter(|(_, value)| value.is_finite()) {
            sums.see(*value);
        }
        if self.rows.is_multiple_of(self.stride) {
            if self.sample.len() == SAMPLE {
                let mut place = 0;
                self.sample.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride *= 2;
            }
            if self.rows.is_multiple_of(self.stride) {
                self.sample.push(row.to_vec());
            }
        }
        self.rows += 1;
    }

    /// The fitted table.
    pub fn finish(mut self) -> FittedTable {
        std::mem::take(&mut self.waiting).into_values().for_each(|labels| self.targets.add(labels));
        let policies = self.table.policies();
        let columns = self.sums.iter().zip(policies).enumerate().map(|(place, (sums, policy))| {
            let values = self.sample.iter().filter_map(|row| row.get(place)).copied();
            let mut values: Vec<f32> = values.filter(|value| value.is_finite()).collect();
            values.sort_unstable_by(f32::total_cmp);
            let decile = |part: usize| values.get(values.len().saturating_sub(1) * part / 10).copied();
            let (mean, deviation) = sums.moments(&values);
            ColumnStatistics {
                mean,
                deviation,
                missing: if self.rows == 0 { 0.0 } else { 1.0 - sums.known as f64 / self.rows as f64 },
                deciles: (0..=10).filter_map(decile).collect(),
                policy: policy.map_or_else(|| "never missing".into(), |policy| policy.to_string()),
            }
        });
        FittedTable { columns: columns.collect(), table: self.table, targets: self.targets, rows: self.rows }
    }
}

impl Sums {
    fn see(&mut self, value: f32) {
        self.known += 1;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        let before = f64::from(value) - self.mean;
        self.mean += before / self.known as f64;
        self.squares += before * (f64::from(value) - self.mean);
    }

    /// Mean and deviation of all; where some are wild, of a sample, ascending, in which they are cut off.
    fn moments(&self, sample: &[f32]) -> (f64, f64) {
        let at = |share: f64| sample.get((share * sample.len().saturating_sub(1) as f64) as usize).copied();
        let (low, high) = (f64::from(at(0.01).unwrap_or(0.0)), f64::from(at(0.99).unwrap_or(0.0)));
        let (least, most) = (low - WILD * (high - low), high + WILD * (high - low));
        let is_tame = f64::from(self.least) >= least && f64::from(self.most) <= most;
        if is_tame || low == high {
            return (self.mean, (self.squares / self.known.max(1) as f64).max(0.0).sqrt());
        }
        let mut cut = Sums::default();
        sample.iter().for_each(|value| cut.see(f64::from(*value).clamp(least, most) as f32));
        cut.moments(&[])
    }
}

impl Default for Sums {
    fn default() -> Self {
        Self { known: 0, mean: 0.0, squares: 0.0, least: f32::INFINITY, most: f32::NEG_INFINITY }
    }
}

impl FeatureTable {
    /// What stands in each column where nothing is known; `None` for the columns that say so.
    fn policies(&self) -> Vec<Option<Missing>> {
        let mut policies = vec![None; self.columns.len()];
        for feature in &self.features {
            for slot in policies.iter_mut().skip(feature.first).take(feature.width) {
                *slot = feature.definition.policy();
            }
        }
        policies
    }
}

impl FittedTable {
    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        self.table.columns()
    }

    /// How they were distributed in the training rows, beside the columns.
    pub fn statistics(&self) -> &[ColumnStatistics] {
        &self.columns
    }

    /// Training rows that it was fitted on.
    pub fn training_rows(&self) -> u64 {
        self.rows
    }

    /// The table without what was learned.
    pub fn table(&self) -> &FeatureTable {
        &self.table
    }

    /// Rows `[candidates, columns]` as numbers that people read, NaN where nothing is known; a ranker reads them through
    /// [`FittedTable::standards`], in serving as in training. `out` is made anew if it has another shape.
    pub fn raw_rows(&self, request: &FeatureRequest<'_>, known: Known<'_>, candidates: &[ItemId], out: &mut Matrix) {
        self.table.raw_rows(request, known, &self.targets, candidates, out);
    }

    /// Fills what is missing and brings numbers to mean 0 and deviation 1.
    pub fn standardise(&self, rows: &mut Matrix) {
        let standards = self.standards();
        for place in 0..rows.rows() {
            let values = rows.row_mut(place).iter_mut().zip(&standards);
            values.for_each(|(value, standard)| *value = standard.of(*value));
        }
    }

    /// How each column is standardised.
    pub fn standards(&self) -> Vec<Standard> {
        let columns = self.table.columns.iter().zip(&self.columns).zip(self.table.policies());
        let standard = |((column, statistics), policy): ((&Column, &ColumnStatistics), Option<Missing>)| {
            let missing = match policy {
                Some(Missing::Default(number)) => number as f32,
                _ => statistics.mean as f32,
            };
            let scale = if statistics.deviation > 1e-9 { 1.0 / statistics.deviation } else { 1.0 };
            match column.is_number {
                true => Standard { missing, mean: statistics.mean, scale, most: LARGEST },
                false => Standard { missing, ..Standard::NONE },
            }
        };
        columns.map(standard).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f32]) -> (f64, f64) {
        let mut sums = Sums::default();
        values.iter().for_each(|value| sums.see(*value));
        let mut sample = values.to_vec();
        sample.sort_unstable_by(f32::total_cmp);
        sums.moments(&sample)
    }

    #[test]
    fn one_wild_number_flattens_no_column_and_seldom_ones_are_not_wild() {
        let mut prices: Vec<f32> = (0..1000).map(|n| 10.0 + (n % 50) as f32).collect();
        let (mean, deviation) = moments(&prices);
        prices[500] = 1e30;
        let (with_wild, stretched) = moments(&prices);
        assert!((with_wild - mean).abs() < 2.0 && stretched < 2.5 * deviation, "{with_wild} {stretched}");
        let seldom: Vec<f32> = (0..1000).map(|n| f32::from(u8::from(n % 300 == 0))).collect();
        let (mean, deviation) = moments(&seldom);
        assert!((mean - 0.004).abs() < 1e-6 && (deviation - 0.0631).abs() < 1e-3, "{mean} {deviation}");
    }
}
