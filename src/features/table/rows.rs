//! Rows of the table: the one place where a feature's value is worked out, for training and serving.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::counted::{Counted, Questions, log};
use super::facts::{FactTable, Facts, encode, hashes, is_fixed, number};
use super::fitted::Targets;
use super::past::{Affinity, Habit, PastEvent, by_item, in_session};
use super::{Feature, FeatureTable};
use crate::config::{FeatureKind as Kind, FeatureOf as Of};
use crate::counters::{CounterSet, EventCounter, Owner};
use crate::linalg::Matrix;
use crate::record::{Attributes, ItemId, Span, Timestamp};

/// The half-life of an affinity that says none.
const AFFINITY_HALF_LIFE: Span = Span::days(30);
const HOUR: f64 = 3_600_000.0;
const DAY: f64 = 86_400_000.0;

/// Who asks, and when: everything but the candidates.
#[derive(Clone, Copy)]
pub struct FeatureRequest<'a> {
    /// The moment. Nothing in the other fields is of then or later, but that serving's counters hold events which are dated later:
    /// they are not counted, and mean dwell times and values with such an event in them are unknown until it has come.
    pub at: Timestamp,
    /// The user's profile; `None` for an unknown user.
    pub user: Option<&'a Facts>,
    /// The user's counters by event type.
    pub counters: &'a [(Box<str>, EventCounter)],
    /// The user's latest events, [`FeatureTable::history`] at most, the oldest first; the session's items are the last.
    pub past: &'a [PastEvent],
    /// Circumstances: device, place, page.
    pub context: &'a Attributes,
    /// What the sources of candidates say.
    pub scores: &'a [SourceScores<'a>],
}

/// The scores of one source.
#[derive(Clone, Copy, Debug)]
pub struct SourceScores<'a> {
    /// Its name.
    pub source: &'a str,
    /// Beside the candidates; NaN for one that it has not found.
    pub scores: &'a [f32],
}

/// What is known of items at the moment.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Their metadata.
    pub items: &'a FactTable,
    /// Their counters.
    pub counters: &'a CounterSet,
}

/// The counters of one owner by event type.
pub type Counters<'a> = &'a [(Box<str>, EventCounter)];

impl FeatureTable {
    /// Raw rows `[candidates, columns]`: NaN where nothing is known, numbers as they are. Row by row, as what is known of an item
    /// fits the cache and what is known of all candidates does not.
    pub(super) fn raw_rows(
        &self,
        request: &FeatureRequest<'_>,
        known: Known<'_>,
        targets: &Targets,
        candidates: &[ItemId],
        out: &mut Matrix,
    ) {
        if out.dim() != self.columns.len().max(1) || out.rows() != candidates.len() {
            *out = Matrix::zeros(candidates.len(), self.columns.len().max(1));
        }
        let mut shared = vec![f32::NAN; out.dim()];
        let mut questions = Questions::new(request.at);
        let mut sources: Vec<(&Feature, Source<'_>)> = Vec::with_capacity(self.features.len());
        let mut of_item = 0;
        let of_request = self.of_request(request, targets);
        for (place, (feature, values)) in self.features.iter().zip(of_request).enumerate() {
            let source = match values {
                Some(values) => {
                    feature.put(&values, &mut shared);
                    continue;
                }
                None if is_fixed(feature, Of::Item) => {
                    let from = of_item;
                    of_item += feature.width;
                    Source::Fixed(from..of_item)
                }
                None => {
                    let counted = is_of_items(feature).then(|| questions.ask(&feature.definition, feature.level));
                    let others = || Source::new(feature, place, request, known.items);
                    counted.flatten().map_or_else(others, Source::Counted)
                }
            };
            sources.push((feature, source));
        }
        let questions = questions.ready();
        let mut answers = Vec::new();
        for (row, item) in candidates.iter().enumerate() {
            let facts = known.items.get(*item);
            questions.answer(known.counters.of(Owner::Item(*item)), &mut answers);
            let out = out.row_mut(row);
            out.copy_from_slice(&shared);
            for (feature, source) in &sources {
                let value = match source {
                    Source::Fixed(columns) => {
                        let values = facts.and_then(|facts| facts.fixed().get(columns.clone()));
                        feature.put(values.unwrap_or_default(), out);
                        continue;
                    }
                    Source::Counted(counted) => {
                        counted.value(&answers, facts.and_then(|facts| facts.published), request.at)
                    }
                    Source::Target(place) => targets.of(*place, facts.map(|facts| facts.values(attribute(feature)))),
                    source => source.value(feature, row, *item, facts, request.at),
                };
                feature.put(&[value.map_or(f32::NAN, |value| value as f32)], out);
            }
        }
    }

    /// The columns of each feature that does not depend on the candidate; `None` for the others.
    fn of_request<'a>(&'a self, request: &'a FeatureRequest<'a>, targets: &'a Targets) -> Vec<Option<Vec<f32>>> {
        let mut questions = Questions::new(request.at);
        let is_users = |feature: &&Feature| feature.definition.of == Some(Of::User);
        let counted = |feature: &'a Feature| {
            Some(feature).filter(is_users).and_then(|feature| questions.ask(&feature.definition, feature.level))
        };
        let counted: Vec<Option<Counted>> = self.features.iter().map(counted).collect();
        let mut answers = Vec::new();
        questions.ready().answer(request.counters, &mut answers);
        let mut of_user = 0;
        let of_feature = |(place, (feature, counted)): (usize, (&Feature, Option<Counted>))| {
            if is_fixed(feature, Of::User) {
                let values = request.user.and_then(|facts| facts.fixed().get(of_user..of_user + feature.width));
                of_user += feature.width;
                return Some(values.unwrap_or_default().to_vec());
            }
            match counted {
                Some(counted) => Some(one(counted.value(&answers, None, request.at))),
                None => of_request(feature, place, request, (targets, self.session_gap)),
            }
        };
        self.features.iter().zip(counted).enumerate().map(of_feature).collect()
    }
}

/// The columns of a feature that depends on the moment, the context or the user's attributes alone.
fn of_request(
    feature: &Feature,
    place: usize,
    request: &FeatureRequest<'_>,
    (targets, gap): (&Targets, Span),
) -> Option<Vec<f32>> {
    let definition = &feature.definition;
    match (definition.kind, definition.of) {
        (Kind::Hour, _) => Some(circle(request.at.millis() as f64 / DAY)),
        (Kind::Weekday, _) => Some(circle((request.at.millis() as f64 / DAY).floor() / 7.0)),
        (Kind::Count, Some(Of::Session)) => {
            let past = request.recent(definition.window);
            Some(one(Some(log(f64::from(in_session(past, &feature.kinds, request.at, gap))))))
        }
        (Kind::Number, Some(Of::Context)) => Some(vec![number(request.context.get(definition.attribute.as_ref()?))]),
        (Kind::OneHot, Some(Of::Context)) => {
            let values = request.context.get(definition.attribute.as_ref()?).map(hashes).unwrap_or_default();
            let mut out = Vec::new();
            encode(feature, &values, &mut out);
            Some(out)
        }
        (Kind::Target, Some(Of::User)) => {
            Some(one(targets.of(place, request.user.map(|facts| facts.values(attribute(feature))))))
        }
        (Kind::Number, Some(Of::User)) => {
            Some(one(request.user.and_then(|facts| facts.number(attribute(feature))).map(f64::from)))
        }
        _ => None,
    }
}

impl<'a> FeatureRequest<'a> {
    /// The past within a span; all of it without one.
    fn recent(&self, window: Option<Span>) -> &'a [PastEvent] {
        let Some(window) = window else { return self.past };
        let since = self.at.before(window);
        let before = self.past.partition_point(|event| event.time <= since);
        self.past.get(before..).unwrap_or_default()
    }
}

/// Where the value of a candidate comes from; what all candidates share is worked out.
enum Source<'a> {
    /// Columns of the item's facts.
    Fixed(Range<usize>),
    Counted(Counted),
    Number,
    /// By the feature's place.
    Target(usize),
    Pairs(FxHashMap<ItemId, (u32, Timestamp)>),
    Affinity(Affinity),
    Habit(Option<Habit>),
    Scores(Option<&'a [f32]>),
    Nothing,
}

impl<'a> Source<'a> {
    fn new(feature: &Feature, place: usize, request: &FeatureRequest<'a>, items: &FactTable) -> Self {
        let definition = &feature.definition;
        match (definition.kind, definition.of) {
            (Kind::Target, _) => Self::Target(place),
            (Kind::Number, _) => Self::Number,
            (Kind::Count | Kind::Recency, Some(Of::Pair)) => {
                Self::Pairs(by_item(request.recent(definition.window), &feature.kinds))
            }
            (Kind::Affinity, _) => {
                let half_life = definition.half_life.unwrap_or(AFFINITY_HALF_LIFE).millis() as f64;
                let place = attribute(feature);
                Self::Affinity(Affinity::new(request.past, &feature.kinds, place, half_life, request.at, items))
            }
            (Kind::Habit, _) => {
                Self::Habit(Habit::new(request.past, &feature.kinds, attribute(feature), feature.level, items))
            }
            (Kind::Score, _) => {
                let is_wanted = |of: &&SourceScores<'_>| Some(of.source) == definition.source.as_deref();
                Self::Scores(request.scores.iter().find(is_wanted).map(|of| of.scores))
            }
            _ => Self::Nothing,
        }
    }

    fn value(&self, feature: &Feature, row: usize, item: ItemId, facts: Option<&Facts>, at: Timestamp) -> Option<f64> {
        match self {
            Self::Pairs(pairs) => match (feature.definition.kind, pairs.get(&item)) {
                (Kind::Count, found) => Some(log(found.map_or(0.0, |(count, _)| f64::from(*count)))),
                (_, found) => Some(log((at.millis() - found?.1.millis()).max(0) as f64 / HOUR)),
            },
            Self::Affinity(affinity) => affinity.to(facts?.values(attribute(feature))),
            Self::Habit(habit) => Some(habit.as_ref()?.distance(facts?.number(attribute(feature))?)),
            Self::Scores(scores) => scores.as_ref()?.get(row).map(|score| f64::from(*score)),
            Self::Number => Some(f64::from(facts?.number(attribute(feature))?)),
            Self::Fixed(_) | Self::Counted(_) | Self::Target(_) | Self::Nothing => None,
        }
    }
}

impl Feature {
    /// Writes its columns into a row: all NaN unless there is a value for each.
    fn put(&self, values: &[f32], row: &mut [f32]) {
        let slots = row.get_mut(self.first..self.first + self.width).unwrap_or_default();
        let is_known = match slots.len() == values.len() {
            true => {
                slots.copy_from_slice(values);
                values.iter().all(|value| !value.is_nan())
            }
            false => {
                slots.fill(f32::NAN);
                false
            }
        };
        if let Some(slot) = self.indicator.and_then(|place| row.get_mut(place)) {
            *slot = f32::from(u8::from(!is_known));
        }
    }
}

fn is_of_items(feature: &Feature) -> bool {
    feature.definition.of == Some(Of::Item) || feature.definition.kind == Kind::Age
}

fn one(value: Option<f64>) -> Vec<f32> {
    vec![value.map_or(f32::NAN, |value| value as f32)]
}

fn attribute(feature: &Feature) -> usize {
    feature.attribute.unwrap_or(usize::MAX)
}

/// Sine and cosine of so many turns.
fn circle(turns: f64) -> Vec<f32> {
    let angle = turns.rem_euclid(1.0) * std::f64::consts::TAU;
    vec![angle.sin() as f32, angle.cos() as f32]
}
