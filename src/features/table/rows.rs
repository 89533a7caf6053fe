//! Rows of the table: the one place where a feature's value is worked out, for training and serving.

use rustc_hash::FxHashMap;

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
    /// The moment. Nothing in the other fields is of then or later.
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

type Counters<'a> = &'a [(Box<str>, EventCounter)];

impl FeatureTable {
    /// Raw rows `[candidates, columns]`: NaN where nothing is known, numbers as they are.
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
        let gathered: Vec<(Option<&Facts>, Counters<'_>)> =
            candidates.iter().map(|item| (known.items.get(*item), known.counters.of(Owner::Item(*item)))).collect();
        let (mut of_user, mut of_item) = (0, 0);
        for (place, feature) in self.features.iter().enumerate() {
            let is_user = is_fixed(feature, Of::User);
            let is_item = is_fixed(feature, Of::Item);
            let mut put = Put { feature, out: &mut *out };
            if is_item {
                let from = of_item;
                of_item += feature.width;
                for (row, (facts, _)) in gathered.iter().enumerate() {
                    put.all(row, facts.and_then(|facts| facts.fixed().get(from..from + feature.width)));
                }
            } else if is_user {
                let values = request.user.and_then(|facts| facts.fixed().get(of_user..of_user + feature.width));
                of_user += feature.width;
                (0..gathered.len()).for_each(|row| put.all(row, values));
            } else if let Some(values) = self.of_request(feature, place, request, targets) {
                (0..gathered.len()).for_each(|row| put.all(row, Some(&values)));
            } else {
                let prepared = Prepared::new(feature, request, known.items);
                for (row, (item, (facts, counters))) in candidates.iter().zip(&gathered).enumerate() {
                    let value = match (&prepared, feature.definition.kind) {
                        (_, Kind::Target) => targets.of(place, facts.map(|facts| facts.values(attribute(feature)))),
                        (Prepared::Nothing, _) => of_owner(feature, *facts, counters, request.at),
                        (prepared, _) => prepared.value(feature, row, *item, *facts, request.at),
                    };
                    put.one(row, value);
                }
            }
        }
    }

    /// The columns of a feature that does not depend on the candidate; `None` for one that does.
    fn of_request(
        &self,
        feature: &Feature,
        place: usize,
        request: &FeatureRequest<'_>,
        targets: &Targets,
    ) -> Option<Vec<f32>> {
        let definition = &feature.definition;
        match (definition.kind, definition.of) {
            (Kind::Hour, _) => Some(circle(request.at.millis() as f64 / DAY)),
            (Kind::Weekday, _) => Some(circle((request.at.millis() as f64 / DAY).floor() / 7.0)),
            (Kind::Count, Some(Of::Session)) => {
                Some(vec![log(f64::from(in_session(request.past, &feature.kinds, request.at))) as f32])
            }
            (Kind::Number, Some(Of::Context)) => {
                Some(vec![number(request.context.get(definition.attribute.as_ref()?))])
            }
            (Kind::OneHot, Some(Of::Context)) => {
                let values = request.context.get(definition.attribute.as_ref()?).map(hashes).unwrap_or_default();
                let mut out = Vec::new();
                encode(feature, &values, &mut out);
                Some(out)
            }
            (Kind::Target, Some(Of::User)) => {
                let values = request.user.map(|facts| facts.values(attribute(feature)));
                Some(vec![targets.of(place, values).map_or(f32::NAN, |value| value as f32)])
            }
            (_, Some(Of::User)) => {
                let value = of_owner(feature, request.user, request.counters, request.at);
                Some(vec![value.map_or(f32::NAN, |value| value as f32)])
            }
            _ => None,
        }
    }
}

/// A feature of one owner, from facts and counters.
fn of_owner(feature: &Feature, facts: Option<&Facts>, counters: Counters<'_>, at: Timestamp) -> Option<f64> {
    let definition = &feature.definition;
    let within = |window: Option<Span>, types: &[String]| -> i64 {
        let count = |counter: &EventCounter| match window {
            Some(window) => counter.buckets.within(window.millis(), at),
            None => counter.events.max(0),
        };
        of_types(counters, types).map(count).sum()
    };
    match definition.kind {
        Kind::Count => Some(log(within(definition.window, &definition.types) as f64)),
        Kind::Rate => {
            let smoothing = definition.smoothing.unwrap_or(20.0);
            let per = within(definition.window, &definition.per) as f64 + smoothing;
            let events = within(definition.window, &definition.types) as f64 + smoothing * feature.level;
            Some(if per > 0.0 { events / per } else { feature.level })
        }
        Kind::Decayed => {
            let half_life = definition.half_life.map_or(DAY, |span| span.millis() as f64);
            Some(log(of_types(counters, &definition.types).map(|of| of.buckets.decayed(half_life, at)).sum()))
        }
        Kind::Trend => {
            let millis = |span: Option<Span>| span.map_or(DAY, |span| span.millis() as f64);
            let share = millis(definition.window) / millis(definition.against);
            let short = within(definition.window, &definition.types) as f64;
            let long = within(definition.against, &definition.types) as f64;
            Some(((short + share) / (long * share + share)).ln())
        }
        Kind::Dwell => {
            let of = of_types(counters, &definition.types);
            let (sum, count) = of.fold((0, 0), |sum, of| (sum.0 + of.dwell_ms, sum.1 + of.dwells));
            (count > 0).then(|| log(sum as f64 / count as f64 / 1000.0))
        }
        Kind::Value => {
            let of = of_types(counters, &definition.types);
            let (sum, count) = of.fold((0.0, 0), |sum, of| (sum.0 + of.value, sum.1 + of.values));
            (count > 0).then(|| sum / count as f64)
        }
        Kind::Recency => {
            let newest = of_types(counters, &definition.types).filter_map(|of| of.buckets.newest(at)).max()?;
            Some(log((at.millis() - newest).max(0) as f64 / HOUR))
        }
        Kind::Age => {
            let first = || counters.iter().filter_map(|(_, of)| of.buckets.oldest()).min();
            let born = facts.and_then(|facts| facts.published).or_else(first)?;
            Some(log((at.millis() - born).max(0) as f64 / DAY))
        }
        Kind::Number => Some(f64::from(facts?.number(attribute(feature))?)),
        _ => None,
    }
}

fn of_types<'a>(counters: Counters<'a>, types: &'a [String]) -> impl Iterator<Item = &'a EventCounter> {
    let is_wanted = |kind: &str| types.is_empty() || types.iter().any(|wanted| wanted == kind);
    counters.iter().filter(move |(kind, _)| is_wanted(kind)).map(|(_, counter)| counter)
}

/// What is worked out once for all candidates.
enum Prepared<'a> {
    Nothing,
    Pairs(FxHashMap<ItemId, (u32, Timestamp)>),
    Affinity(Affinity),
    Habit(Option<Habit>),
    Scores(Option<&'a [f32]>),
}

impl<'a> Prepared<'a> {
    fn new(feature: &Feature, request: &FeatureRequest<'a>, items: &FactTable) -> Self {
        let definition = &feature.definition;
        match (definition.kind, definition.of) {
            (_, Some(Of::Pair)) => Self::Pairs(by_item(request.past, &feature.kinds)),
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
            Self::Nothing => None,
            Self::Pairs(pairs) => match (feature.definition.kind, pairs.get(&item)) {
                (Kind::Count, found) => Some(log(found.map_or(0.0, |(count, _)| f64::from(*count)))),
                (_, found) => Some(log((at.millis() - found?.1.millis()).max(0) as f64 / HOUR)),
            },
            Self::Affinity(affinity) => affinity.to(facts?.values(attribute(feature))),
            Self::Habit(habit) => Some(habit.as_ref()?.distance(facts?.number(attribute(feature))?)),
            Self::Scores(scores) => scores.as_ref()?.get(row).map(|score| f64::from(*score)),
        }
    }
}

/// Writes the columns of one feature.
struct Put<'a> {
    feature: &'a Feature,
    out: &'a mut Matrix,
}

impl Put<'_> {
    fn all(&mut self, row: usize, values: Option<&[f32]>) {
        let Feature { first, width, indicator, .. } = *self.feature;
        let out = self.out.row_mut(row);
        let is_known = match (values, out.get_mut(first..first + width)) {
            (Some(values), Some(slots)) if values.len() == width => {
                slots.copy_from_slice(values);
                values.iter().all(|value| !value.is_nan())
            }
            (_, slots) => {
                slots.into_iter().flatten().for_each(|slot| *slot = f32::NAN);
                false
            }
        };
        if let Some(slot) = indicator.and_then(|place| out.get_mut(place)) {
            *slot = f32::from(u8::from(!is_known));
        }
    }

    fn one(&mut self, row: usize, value: Option<f64>) {
        self.all(row, Some(&[value.map_or(f32::NAN, |value| value as f32)]));
    }
}

fn attribute(feature: &Feature) -> usize {
    feature.attribute.unwrap_or(usize::MAX)
}

fn log(count: f64) -> f64 {
    count.max(0.0).ln_1p()
}

/// Sine and cosine of so many turns.
fn circle(turns: f64) -> Vec<f32> {
    let angle = turns.rem_euclid(1.0) * std::f64::consts::TAU;
    vec![angle.sin() as f32, angle.cos() as f32]
}
