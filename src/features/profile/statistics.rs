//! Target statistics (Micci-Barreca 2001): a value that few profiles have has no column of its own that could be learned, but what
//! is known of the others that have it says something. One column for each attribute with many values: the mean of a number of the
//! profiles with the same value, drawn to the mean of all. Who learns from such a column counts without the profiles that the fit
//! is made or judged on: beside a value's own column, a linear fit could read their numbers out of the mean.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::{Kind, MIN_SUPPORT, Profile};

/// Attributes with fewer values are told by columns of their own.
const MANY_VALUES: usize = 16;
/// Attributes that have a column at most.
const MOST_FIELDS: usize = 64;

/// Sums by value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    first: u32,
    /// For how many profiles the mean of all counts.
    prior: f32,
    mean: f32,
    /// Hashes of the attributes, ascending.
    fields: Vec<u64>,
    /// Hash, sum and count of each value that several profiles have, by hash.
    values: Vec<(u64, f32, f32)>,
}

impl Statistics {
    /// Of profiles with their numbers, in columns from `first` on; `None` where no attribute has many values.
    pub fn learn<'a>(profiles: impl Iterator<Item = (Profile<'a>, f32)>, prior: f32, first: u32) -> Option<Self> {
        let mut sums: FxHashMap<u64, (f64, u32)> = FxHashMap::default();
        let mut fields: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let (mut total, mut count) = (0.0, 0.0);
        for (profile, target) in profiles {
            total += f64::from(target);
            count += 1.0;
            profile.values(&mut |value, field| {
                let (sum, with) = sums.entry(value).or_insert_with(|| {
                    fields.entry(field).or_default().push(value);
                    (0.0, 0)
                });
                *sum += f64::from(target);
                *with += 1;
            });
        }
        sums.retain(|_, (_, with)| *with >= MIN_SUPPORT);
        let many = |values: &Vec<u64>| values.iter().filter(|value| sums.contains_key(value)).count() >= MANY_VALUES;
        let repeated = |values: &[u64]| -> u64 {
            values.iter().filter_map(|value| sums.get(value)).map(|(_, with)| u64::from(*with)).sum()
        };
        let mut fields: Vec<(u64, Vec<u64>)> = fields.into_iter().filter(|(_, values)| many(values)).collect();
        fields.sort_by_key(|(field, values)| (std::cmp::Reverse(repeated(values)), *field));
        fields.truncate(MOST_FIELDS);
        let of = |value: &u64| sums.get(value).map(|(sum, with)| (*value, *sum as f32, *with as f32));
        let mut values: Vec<(u64, f32, f32)> = fields.iter().flat_map(|(_, values)| values).filter_map(of).collect();
        values.sort_unstable_by_key(|(hash, ..)| *hash);
        let mean = (total / f64::max(count, 1.0)) as f32;
        let mut fields: Vec<u64> = fields.into_iter().map(|(field, _)| field).collect();
        fields.sort_unstable();
        (!fields.is_empty()).then_some(Self { first, prior, mean, fields, values })
    }

    /// The same columns, with what these profiles alone say.
    pub fn recounted<'a>(&self, profiles: impl Iterator<Item = (Profile<'a>, f32)>) -> Self {
        let mut values: Vec<(u64, f32, f32)> = self.values.iter().map(|(hash, ..)| (*hash, 0.0, 0.0)).collect();
        let (mut total, mut count) = (0.0, 0.0);
        for (profile, target) in profiles {
            total += f64::from(target);
            count += 1.0;
            profile.values(&mut |value, _| {
                let known = values.binary_search_by_key(&value, |(hash, ..)| *hash).ok();
                if let Some((_, sum, with)) = known.and_then(|at| values.get_mut(at)) {
                    *sum += target;
                    *with += 1.0;
                }
            });
        }
        let mean = (total / f64::max(count, 1.0)) as f32;
        Self { mean, values, fields: self.fields.clone(), ..*self }
    }

    /// How many columns it takes.
    pub fn columns(&self) -> u32 {
        self.fields.len() as u32
    }

    /// How far the values of a profile are from the mean of all.
    pub fn encode(&self, profile: Profile<'_>, entries: &mut Vec<(u32, f32)>) {
        let mut means: BTreeMap<u32, (f32, f32)> = BTreeMap::new();
        profile.values(&mut |value, field| {
            let Ok(place) = self.fields.binary_search(&field) else { return };
            let known = self.values.binary_search_by_key(&value, |(hash, ..)| *hash).ok();
            let (sum, with) = known.and_then(|at| self.values.get(at)).map_or((0.0, 0.0), |of| (of.1, of.2));
            let (total, count) = means.entry(self.first + place as u32).or_default();
            *total += (sum - with * self.mean) / (with + self.prior);
            *count += 1.0;
        });
        entries.extend(means.into_iter().map(|(column, (total, count))| (column, total / count)));
    }

    /// Whether its columns are among so many and its numbers are numbers.
    pub fn is_sound(&self, columns: u32) -> bool {
        let mut numbers = self.values.iter().flat_map(|(_, sum, with)| [sum, with]).chain([&self.mean]);
        self.prior > 0.0
            && numbers.all(|number| number.is_finite())
            && self.prior.is_finite()
            && self.values.iter().all(|(.., with)| *with >= 0.0)
            && self.fields.is_sorted_by(|a, b| a < b)
            && self.values.is_sorted_by(|a, b| a.0 < b.0)
            && u64::from(self.first) + self.fields.len() as u64 <= u64::from(columns)
    }
}

impl Profile<'_> {
    /// Passes each value that is no word of a text on, once, with its field: hashes.
    fn values(&self, f: &mut dyn FnMut(u64, u64)) {
        let mut met = FxHashSet::default();
        self.terms(&mut |value, kind, field| {
            if matches!(kind, Kind::Value) && met.insert(value) {
                f(value, field);
            }
        });
    }
}
