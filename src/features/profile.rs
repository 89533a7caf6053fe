//! Profiles as numbers: what is known of an item or a user, without any event, as a sparse vector for the cold-start
//! maps. Categories and short values are one column each (one-hot), texts are TF-IDF over their words or its leading directions, numbers are
//! piecewise linear between quantiles, vectors that the user brings are taken as they are. Columns are found by a hash of
//! what they stand for, so a value that training has not met has none. What is missing is said: numbers, texts, vectors and
//! other attributes that some records lack have a column for their absence.

mod statistics;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use self::statistics::Statistics;
use self::texts::{TextColumns, is_prose};
use super::words::words;
use crate::config::ColdConfig;
use crate::record::{Attributes, Item, Timestamp, User, Value};

/// A term must be in so many profiles to tell anything about another.
const MIN_SUPPORT: u32 = 2;
/// So many fields have a column for their absence: where kinds of items have attributes of their own there are thousands.
const MAX_ABSENCES: usize = 256;
/// Knots of a number's piecewise linear function.
const KNOTS: usize = 8;
/// Longer texts are taken by their words alone.
const MAX_VALUE_BYTES: usize = 64;
/// Vectors are folded into at most so many columns, each entry with a sign by its hash (Weinberger et al., ICML 2009).
const MAX_VECTOR_COLUMNS: usize = 256;
/// Pairs of categories are columns, too, where an item has no more categories than this.
const MAX_PAIRED: usize = 8;

/// What is known of an item or a user, borrowed.
#[derive(Clone, Copy)]
pub struct Profile<'a> {
    categories: &'a [String],
    attributes: &'a Attributes,
    time: Option<Timestamp>,
    vectors: Option<&'a BTreeMap<String, Vec<f32>>>,
}

impl<'a> From<&'a Item> for Profile<'a> {
    fn from(item: &'a Item) -> Self {
        Self {
            categories: &item.categories,
            attributes: &item.attributes,
            time: item.time,
            vectors: Some(&item.vectors),
        }
    }
}

impl<'a> From<&'a User> for Profile<'a> {
    fn from(user: &'a User) -> Self {
        Self { categories: &[], attributes: &user.attributes, time: None, vectors: None }
    }
}

/// Turns profiles into sparse vectors, by columns that were found on those of training.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileEncoder {
    /// Hash, column and weight of each term, by hash.
    terms: Vec<(u64, u32, f32)>,
    numbers: Vec<NumberColumns>,
    spaces: Vec<SpaceColumns>,
    /// Hash and column of each attribute without numbers and of each space that some lack. Encoders of older snapshots know none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    absences: Vec<(u64, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    texts: Option<TextColumns>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statistics: Option<Statistics>,
    columns: u32,
}

/// The columns of a number: one for each knot, then one for its absence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberColumns {
    /// The attribute; none for the publishing time.
    name: Option<String>,
    first: u32,
    /// Ascending quantiles.
    knots: Vec<f64>,
}

/// The columns of a space of vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpaceColumns {
    name: String,
    first: u32,
    columns: u32,
    /// Makes the mean squared length 1.
    scale: f32,
}

impl ProfileEncoder {
    /// Finds the columns of these profiles, at most `terms` for terms: those in the most profiles. `targets` are numbers of the
    /// profiles, in their order, of which there are statistics by value; none without.
    pub fn learn<'a>(
        profiles: impl Iterator<Item = Profile<'a>> + Clone,
        targets: Option<&[f32]>,
        config: &ColdConfig,
    ) -> Self {
        let texts = TextColumns::learn(profiles.clone(), config.text_directions);
        let mut support: FxHashMap<u64, (u32, Kind)> = FxHashMap::default();
        let mut numbers: BTreeMap<Option<&str>, Vec<f64>> = BTreeMap::new();
        let mut spaces: BTreeMap<&str, (usize, f64, u32)> = BTreeMap::new();
        let mut had: BTreeMap<u64, u32> = BTreeMap::new();
        let mut count = 0u32;
        for profile in profiles.clone() {
            count += 1;
            profile.fields(&mut |field| *had.entry(field).or_default() += 1);
            let mut met = FxHashSet::default();
            profile.terms(&mut |hash, kind, _| {
                let is_projected = texts.is_some() && matches!(kind, Kind::Word);
                if !is_projected && met.insert(hash) {
                    support.entry(hash).or_insert((0, kind)).0 += 1;
                }
            });
            profile.numbers(&mut |name, number| numbers.entry(name).or_default().push(number));
            for (name, vector) in profile.vectors.into_iter().flatten() {
                let (longest, squares, with) = spaces.entry(name).or_default();
                *longest = vector.len().max(*longest);
                *squares += vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
                *with += 1;
            }
        }
        // What everybody has tells nothing; the intercept has it.
        let mut kept: Vec<(u64, u32, Kind)> = support
            .into_iter()
            .filter(|(_, (with, _))| *with >= MIN_SUPPORT && *with < count)
            .map(|(hash, (with, kind))| (hash, with, kind))
            .collect();
        kept.sort_unstable_by_key(|(hash, with, _)| (std::cmp::Reverse(*with), *hash));
        kept.truncate(config.terms);
        let mut encoder = Self::default();
        let weight = |with: u32, kind| match kind {
            Kind::Value => 1.0,
            Kind::Word => (f64::from(count) / f64::from(with)).ln().max(0.1) as f32,
        };
        encoder.terms =
            kept.iter().zip(0..).map(|((hash, with, kind), column)| (*hash, column, weight(*with, *kind))).collect();
        encoder.terms.sort_unstable_by_key(|(hash, ..)| *hash);
        encoder.columns = encoder.terms.len() as u32;
        for (name, values) in numbers {
            let knots = knots(values);
            if knots.len() > 1 {
                let taken = knots.len() as u32 + 1;
                let name = name.map(str::to_owned);
                encoder.numbers.push(NumberColumns { name, first: encoder.columns, knots });
                encoder.columns += taken;
            }
        }
        for (name, (longest, squares, with)) in spaces {
            let columns = longest.min(MAX_VECTOR_COLUMNS) as u32;
            if squares > 0.0 && with >= MIN_SUPPORT {
                let scale = (f64::from(with) / squares).sqrt() as f32;
                encoder.spaces.push(SpaceColumns { name: name.to_owned(), first: encoder.columns, columns, scale });
                encoder.columns += columns;
            }
        }
        // Those first that tell most profiles apart; equal ones by name.
        let mut telling: Vec<(u32, u64)> =
            had.into_iter().map(|(field, with)| (with.min(count - with), field)).collect();
        telling.retain(|(fewer, _)| *fewer >= MIN_SUPPORT);
        telling.sort_unstable_by_key(|(fewer, field)| (std::cmp::Reverse(*fewer), *field));
        for (_, field) in telling.into_iter().take(MAX_ABSENCES) {
            encoder.absences.push((field, encoder.columns));
            encoder.columns += 1;
        }
        encoder.texts = texts.map(|texts| texts.at(encoder.columns));
        encoder.columns += encoder.texts.as_ref().map_or(0, TextColumns::columns);
        let targets = targets.filter(|_| config.statistics_prior > 0.0);
        encoder.statistics = targets.and_then(|targets| {
            Statistics::learn(profiles.zip(targets.iter().copied()), config.statistics_prior as f32, encoder.columns)
        });
        encoder.columns += encoder.statistics.as_ref().map_or(0, Statistics::columns);
        encoder
    }

    /// Length of the vectors.
    pub fn columns(&self) -> usize {
        self.columns as usize
    }

    /// A profile as (column, value), by column, each once.
    pub fn encode(&self, profile: Profile<'_>) -> Vec<(u32, f32)> {
        let mut entries = Vec::new();
        let mut words: FxHashMap<u64, Vec<(u32, f32)>> = FxHashMap::default();
        profile.terms(&mut |hash, kind, field| {
            let Ok(place) = self.terms.binary_search_by_key(&hash, |(hash, ..)| *hash) else { return };
            let Some((_, column, weight)) = self.terms.get(place) else { return };
            match kind {
                Kind::Value => entries.push((*column, *weight)),
                Kind::Word => words.entry(field).or_default().push((*column, *weight)),
            }
        });
        for (_, mut of_field) in words {
            of_field.sort_unstable_by_key(|(column, _)| *column);
            let length = of_field.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
            entries.extend(of_field.into_iter().map(|(column, weight)| (column, weight / length)));
        }
        let mut given: BTreeMap<Option<&str>, f64> = BTreeMap::new();
        profile.numbers(&mut |name, number| {
            given.entry(name).or_insert(number);
        });
        for columns in &self.numbers {
            columns.encode(given.get(&columns.name.as_deref()).copied(), &mut entries);
        }
        for space in &self.spaces {
            space.encode(profile.vectors.and_then(|vectors| vectors.get(&space.name)), &mut entries);
        }
        let mut had = FxHashSet::default();
        profile.fields(&mut |field| _ = had.insert(field));
        // Of whom nothing is known nothing is missing.
        let is_known = !had.is_empty() || !given.is_empty();
        let absent = self.absences.iter().filter(|(field, _)| is_known && !had.contains(field));
        entries.extend(absent.map(|(_, column)| (*column, 1.0)));
        if let Some(texts) = &self.texts {
            texts.encode(profile, &mut entries);
        }
        if let Some(statistics) = &self.statistics {
            statistics.encode(profile, &mut entries);
        }
        entries.sort_by_key(|(column, _)| *column);
        entries.chunk_by(|a, b| a.0 == b.0).filter_map(|same| same.first().map(|(c, _)| (*c, sum(same)))).collect()
    }

    /// Whether the number of a profile is part of what others are encoded by.
    pub fn has_statistics(&self) -> bool {
        self.statistics.is_some()
    }

    /// The same columns, with statistics of these profiles alone, which are some of those that it was learned on.
    pub fn recounted<'a>(&self, profiles: impl Iterator<Item = (Profile<'a>, f32)>) -> Self {
        let statistics = self.statistics.as_ref().map(|statistics| statistics.recounted(profiles));
        Self { statistics, ..self.clone() }
    }

    /// Whether vectors that the user brings count.
    pub fn needs_vectors(&self) -> bool {
        !self.spaces.is_empty()
    }

    /// Whether its columns are where they should be: what was read from a file may be anything.
    pub fn is_sound(&self) -> bool {
        let is_finite = self.terms.iter().all(|(.., weight)| weight.is_finite())
            && self.spaces.iter().all(|space| space.scale.is_finite())
            && self.numbers.iter().all(|number| number.knots.iter().all(|knot| knot.is_finite()));
        let ends = self.numbers.iter().map(|number| (number.first, number.knots.len() as u64 + 1));
        let mut ends = ends.chain(self.spaces.iter().map(|space| (space.first, u64::from(space.columns))));
        let is_text_sound = self.texts.as_ref().is_none_or(|texts| texts.is_sound(self.columns));
        let is_counted = self.statistics.as_ref().is_none_or(|statistics| statistics.is_sound(self.columns));
        is_finite
            && is_text_sound
            && is_counted
            && self.terms.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0))
            && self.terms.iter().all(|(_, column, _)| *column < self.columns)
            && self.absences.iter().all(|(_, column)| *column < self.columns)
            && ends.all(|(first, taken)| u64::from(first) + taken <= u64::from(self.columns))
            && self.numbers.iter().all(|number| number.knots.windows(2).all(|pair| matches!(pair, [a, b] if a < b)))
            && self.spaces.iter().all(|space| space.columns > 0)
    }
}

impl NumberColumns {
    fn encode(&self, number: Option<f64>, entries: &mut Vec<(u32, f32)>) {
        let Some(number) = number else {
            entries.push((self.first + self.knots.len() as u32, 1.0));
            return;
        };
        let above = self.knots.partition_point(|knot| *knot <= number);
        let (Some(last), Some(place)) = (self.knots.len().checked_sub(1), above.checked_sub(1)) else {
            entries.push((self.first, 1.0));
            return;
        };
        match self.knots.get(place..place + 2) {
            Some([low, high]) => {
                let share = ((number - low) / (high - low)) as f32;
                entries.push((self.first + place as u32, 1.0 - share));
                entries.push((self.first + above as u32, share));
            }
            _ => entries.push((self.first + last as u32, 1.0)),
        }
    }
}

impl SpaceColumns {
    fn encode(&self, vector: Option<&Vec<f32>>, entries: &mut Vec<(u32, f32)>) {
        for (place, value) in vector.into_iter().flatten().enumerate() {
            if *value == 0.0 {
                continue;
            }
            let round = place / self.columns as usize;
            let is_flipped = round > 0 && xxh3_64(&(place as u64).to_le_bytes()) & 1 == 1;
            let sign = if is_flipped { -1.0 } else { 1.0 };
            entries.push((self.first + (place % self.columns as usize) as u32, sign * value * self.scale));
        }
    }
}

/// How a term counts.
#[derive(Clone, Copy)]
enum Kind {
    /// One-hot.
    Value,
    /// A word of a text.
    Word,
}

impl<'a> Profile<'a> {
    /// Passes each term on with its hash and that of its field.
    fn terms(&self, f: &mut dyn FnMut(u64, Kind, u64)) {
        let hash = |tag: &str, name: &str, value: &str| xxh3_64(format!("{tag}\0{name}\0{value}").as_bytes());
        let (categories, pairs) = (hash("categories", "", ""), hash("pairs", "", ""));
        for (place, category) in self.categories.iter().enumerate() {
            f(hash("category", "", category), Kind::Value, categories);
            if self.categories.len() <= MAX_PAIRED {
                for other in self.categories.iter().take(place) {
                    let (first, second) = if other < category { (other, category) } else { (category, other) };
                    f(hash("pair", first, second), Kind::Value, pairs);
                }
            }
        }
        for (name, value) in self.attributes {
            let field = hash("field", name, "");
            for value in value.each() {
                match value {
                    Value::Bool(flag) => {
                        f(hash("value", name, if *flag { "true" } else { "false" }), Kind::Value, field);
                    }
                    Value::Text(text) => {
                        if text.len() <= MAX_VALUE_BYTES {
                            f(hash("value", name, text), Kind::Value, field);
                        }
                        if is_prose(text) {
                            words(text).for_each(|word| f(hash("word", name, &word), Kind::Word, field));
                        }
                    }
                    Value::Number(_) | Value::List(_) => {}
                }
            }
        }
    }

    /// Passes on the hash of each attribute that is there and not a number, of each space, and of categories if there are some.
    fn fields(&self, f: &mut dyn FnMut(u64)) {
        let hash = |tag: &str, name: &str| xxh3_64(format!("{tag}\0{name}").as_bytes());
        if !self.categories.is_empty() {
            f(hash("categories", ""));
        }
        let is_number = |value: &Value| value.as_number().is_some() || value.as_time().is_some();
        let others = self.attributes.iter().filter(|(_, value)| !is_number(value));
        others.for_each(|(name, _)| f(hash("attribute", name)));
        self.vectors.into_iter().flatten().for_each(|(space, _)| f(hash("space", space)));
    }

    /// Passes the numbers on; the publishing time has no name.
    fn numbers(&self, f: &mut dyn FnMut(Option<&'a str>, f64)) {
        if let Some(time) = self.time {
            f(None, time.millis() as f64);
        }
        for (name, value) in self.attributes {
            if let Some(number) = value.as_number() {
                f(Some(name), number);
            } else if let Some(time) = value.as_time() {
                f(Some(name), time.millis() as f64);
            }
        }
    }
}

/// Quantiles of the values, each once.
fn knots(mut values: Vec<f64>) -> Vec<f64> {
    values.retain(|value| value.is_finite());
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return Vec::new() };
    let mut knots: Vec<f64> = (0..KNOTS).filter_map(|knot| values.get(knot * last / (KNOTS - 1))).copied().collect();
    knots.dedup();
    knots
}

fn sum(entries: &[(u32, f32)]) -> f32 {
    entries.iter().map(|(_, value)| value).sum()
}
