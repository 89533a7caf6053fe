//! Features that counters give. Many of them ask the same (how many events of a day, of a month, of all time), so each
//! question is put to an owner's counters once, and the features are made of the answers.

use std::sync::LazyLock;

use super::rows::Counters;
use crate::config::{FeatureDefinition, FeatureKind as Kind};
use crate::counters::{EventCounter, Fading, Window};
use crate::record::{Span, Timestamp};

const HOUR: f64 = 3_600_000.0;
const DAY: f64 = 86_400_000.0;

/// What features ask of the counters of one owner at a moment.
pub struct Questions<'a> {
    at: Timestamp,
    /// Event types that matter.
    kinds: Vec<&'a str>,
    whats: Vec<(What, Prepared)>,
    all: Vec<Question<'a>>,
}

struct Question<'a> {
    /// The event types; all if empty.
    types: &'a [String],
    /// What, by place.
    what: usize,
    /// Whether each of the kinds counts, then whether all others do.
    counts: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Events,
    /// Of the latest so many milliseconds.
    Within(i64),
    /// Halved with every so many milliseconds.
    Decayed(f64),
    Dwells,
    DwellMs,
    Values,
    Value,
    /// When the newest was, to five minutes; NaN without any.
    Newest,
    /// When the oldest was; NaN without any.
    Oldest,
}

/// What a question needs that is the same for all owners.
enum Prepared {
    Nothing,
    Window(Window),
    Fading(Box<Fading>),
}

/// A feature by the places of the answers that it is made of.
pub enum Counted {
    Count(usize),
    Rate { events: usize, per: usize, smoothing: f64, level: f64, needs_per: bool },
    Trend { short: usize, long: usize, share: f64 },
    Dwell { sum: usize, count: usize },
    Value { sum: usize, count: usize },
    Recency(usize),
    Age(usize),
}

impl<'a> Questions<'a> {
    /// None yet.
    pub fn new(at: Timestamp) -> Self {
        Self { at, kinds: Vec::new(), whats: Vec::new(), all: Vec::new() }
    }

    /// Adds what a feature asks; `None` if it is not made of counters. `level` is the mean rate.
    pub fn ask(&mut self, definition: &'a FeatureDefinition, level: f64) -> Option<Counted> {
        let FeatureDefinition { kind, types, per, window, against, half_life, smoothing, missing, .. } = definition;
        let millis = |span: &Option<Span>| span.map_or(DAY, |span| span.millis() as f64);
        let within = |window: &Option<Span>| window.map_or(What::Events, |window| What::Within(window.millis()));
        let mut of = |what| self.of(types, what);
        Some(match kind {
            Kind::Count => Counted::Count(of(within(window))),
            Kind::Decayed => Counted::Count(of(What::Decayed(millis(half_life)))),
            Kind::Rate => {
                let events = of(within(window));
                let per = self.of(per, within(window));
                Counted::Rate { events, per, smoothing: smoothing.unwrap_or(20.0), level, needs_per: missing.is_some() }
            }
            Kind::Trend => {
                let share = millis(window) / millis(against);
                Counted::Trend { short: of(within(window)), long: of(within(against)), share }
            }
            Kind::Dwell => Counted::Dwell { sum: of(What::DwellMs), count: of(What::Dwells) },
            Kind::Value => Counted::Value { sum: of(What::Value), count: of(What::Values) },
            Kind::Recency => Counted::Recency(of(What::Newest)),
            Kind::Age => Counted::Age(of(What::Oldest)),
            _ => return None,
        })
    }

    fn of(&mut self, types: &'a [String], what: What) -> usize {
        let place = self.whats.iter().position(|(known, _)| *known == what).unwrap_or_else(|| {
            let prepared = match what {
                What::Within(millis) => Prepared::Window(Window::new(millis, self.at)),
                What::Decayed(half_life) => Prepared::Fading(Box::new(Fading::new(half_life, self.at))),
                _ => Prepared::Nothing,
            };
            self.whats.push((what, prepared));
            self.whats.len() - 1
        });
        for kind in types {
            if !self.kinds.contains(&&**kind) {
                self.kinds.push(kind);
            }
        }
        let is_same = |known: &Question<'_>| known.types == types && known.what == place;
        self.all.iter().position(is_same).unwrap_or_else(|| {
            self.all.push(Question { types, what: place, counts: Vec::new() });
            self.all.len() - 1
        })
    }

    /// To be called when all is asked.
    pub fn ready(mut self) -> Self {
        for question in &mut self.all {
            let is_asked = |kind: &&str| question.types.is_empty() || question.types.iter().any(|of| of == kind);
            question.counts = self.kinds.iter().map(is_asked).chain([question.types.is_empty()]).collect();
        }
        self
    }

    /// The answers of some counters, by place. What several ask of a counter is worked out once.
    pub fn answer(&self, counters: Counters<'_>, out: &mut Vec<f64>) {
        let what = |question: &Question<'_>| self.whats.get(question.what).map(|(what, _)| *what);
        let is_time = |question: &Question<'_>| matches!(what(question), Some(What::Newest | What::Oldest));
        out.clear();
        out.extend(self.all.iter().map(|question| if is_time(question) { f64::NAN } else { 0.0 }));
        let mut of_counter = vec![None; self.whats.len()];
        for (kind, counter) in counters {
            let place = self.kinds.iter().position(|known| *known == &**kind).unwrap_or(self.kinds.len());
            of_counter.fill(None);
            let asked =
                self.all.iter().zip(&mut *out).filter(|(question, _)| question.counts.get(place) == Some(&true));
            for (question, out) in asked {
                let Some(((what, prepared), slot)) =
                    self.whats.get(question.what).zip(of_counter.get_mut(question.what))
                else {
                    continue;
                };
                let value = *slot.get_or_insert_with(|| what.of(prepared, counter, self.at));
                match what {
                    What::Newest => *out = out.max(value),
                    What::Oldest => *out = out.min(value),
                    _ => *out += value,
                }
            }
        }
    }
}

impl What {
    fn of(self, prepared: &Prepared, counter: &EventCounter, at: Timestamp) -> f64 {
        let buckets = &counter.buckets;
        // Sums have no times: with an event in them that is dated later than the question nobody knows what they were.
        let known = |count: i64, sum: f64| if count != 0 && buckets.dated_after(at) > 0 { f64::NAN } else { sum };
        let time = |time: Option<i64>| time.map_or(f64::NAN, |time| time as f64);
        match (self, prepared) {
            (_, Prepared::Window(window)) => buckets.within(window),
            (_, Prepared::Fading(fading)) => buckets.decayed(fading),
            // Training knows no event that is dated later than the question.
            (Self::Events, _) => counter.events.saturating_sub(buckets.dated_after(at)).max(0) as f64,
            (Self::Dwells, _) => known(counter.dwells, counter.dwells as f64),
            (Self::DwellMs, _) => known(counter.dwells, counter.dwell_ms as f64),
            (Self::Values, _) => known(counter.values, counter.values as f64),
            (Self::Value, _) => known(counter.values, counter.value),
            (Self::Newest, _) => time(buckets.newest(at)),
            (Self::Oldest, _) => time(buckets.oldest(at)),
            (Self::Within(_) | Self::Decayed(_), Prepared::Nothing) => 0.0,
        }
    }
}

impl Counted {
    /// The feature, `None` where nothing is known. `published` is when an item was, in milliseconds.
    pub fn value(&self, answers: &[f64], published: Option<i64>, at: Timestamp) -> Option<f64> {
        let of = |place: &usize| answers.get(*place).copied().unwrap_or(0.0);
        let since =
            |then: f64, unit: f64| Some(log((at.millis() as f64 - then).max(0.0) / unit)).filter(|_| !then.is_nan());
        match self {
            Self::Count(events) => Some(log(of(events))),
            Self::Rate { per, needs_per: true, .. } if of(per) <= 0.0 => None,
            Self::Rate { events, per, smoothing, level, .. } => {
                let per = of(per) + smoothing;
                Some(if per > 0.0 { (of(events) + smoothing * level) / per } else { *level })
            }
            Self::Trend { short, long, share } => Some(((of(short) + share) / (of(long) * share + share)).ln()),
            Self::Dwell { sum, count } => (of(count) > 0.0).then(|| log(of(sum) / of(count) / 1000.0)),
            Self::Value { sum, count } => (of(count) > 0.0).then(|| of(sum) / of(count)),
            Self::Recency(newest) => since(of(newest), HOUR),
            Self::Age(oldest) => since(published.map_or(of(oldest), |then| then as f64), DAY),
        }
    }
}

/// ln(1 + count), 0 of what is less than nothing. Most counts are small and whole.
pub fn log(count: f64) -> f64 {
    static SMALL: LazyLock<[f64; 256]> = LazyLock::new(|| std::array::from_fn(|count| (count as f64).ln_1p()));
    let whole = count as usize;
    match SMALL.get(whole) {
        Some(known) if whole as f64 == count => *known,
        _ => count.max(0.0).ln_1p(),
    }
}
