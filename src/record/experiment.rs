//! What an experiment is: whom it takes, what it shows them, what counts, and when it ends.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Filter, Query, SnapshotId, Span, Timestamp, validate_id};
use crate::error::{Error, Result};

/// Shares of traffic are told in parts of this.
pub const PARTS: u32 = 10_000;
const MAX_VARIANTS: usize = 16;
const MAX_METRICS: usize = 16;
const MAX_GUARDRAILS: usize = 16;

/// An experiment as it is planned. The first variant is the control, the first metric decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentDesign {
    /// What is tested and why, for human readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Only answers of this scenario; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Experiments of one layer never have a user in common; those on the same scenario must share a layer. The experiment's
    /// own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Decides, with the user's id, who gets which variant; the experiment's id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Users who take part, in parts of 10,000 of all. While it runs it can only grow, so that nobody changes sides.
    #[serde(default = "all_traffic")]
    pub traffic: u32,
    /// Fewer take part at first: the steps of a ramp-up, each with more than the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ramp: Vec<RampStep>,
    /// Only users whose profile fulfils this: keys are the user's attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Filter>,
    /// What is shown; the first is the control.
    pub variants: Vec<Variant>,
    /// Each answer holds items of both of two variants, drawn in turns, and clicks are credited to whose item it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interleave: bool,
    /// What counts; the first decides.
    #[serde(default = "click_through")]
    pub metrics: Vec<MetricDefinition>,
    /// What must not get worse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guardrails: Vec<Guardrail>,
    /// Probability of finding something where there is nothing, over all looks.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// Probability with which an effect of the size that matters is to be found.
    #[serde(default = "default_power")]
    pub power: f64,
    /// The relative change that matters: 0.05 is 5 %.
    #[serde(default = "default_effect")]
    pub effect: f64,
    /// Answers, of all variants together, at which intervals are to be narrowest; far off this they are wider, never wrong.
    #[serde(default = "default_planned")]
    pub planned_answers: u64,
    /// How p-values of several metrics and variants are corrected.
    #[serde(default)]
    pub correction: Correction,
    /// How far before the start a user's events say what to expect of them (CUPED); `null`: not used.
    #[serde(default = "default_covariate")]
    pub covariate: Option<Span>,
    /// When it ends by itself.
    #[serde(default)]
    pub stop: StopPolicy,
}

fn all_traffic() -> u32 {
    PARTS
}
fn click_through() -> Vec<MetricDefinition> {
    vec![MetricDefinition::of(MetricKind::ClickThrough)]
}
fn default_alpha() -> f64 {
    0.05
}
fn default_power() -> f64 {
    0.8
}
fn default_effect() -> f64 {
    0.05
}
fn default_planned() -> u64 {
    20_000
}
fn default_covariate() -> Option<Span> {
    Some(Span::days(28))
}

/// From a time after the start on, so many users take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RampStep {
    /// How long after the start the next step (or the whole traffic) begins.
    pub until: Span,
    /// Users who take part until then, in parts of 10,000.
    pub traffic: u32,
}

/// What some of the users are shown. A variant that says nothing shows what everybody else is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its share beside the others' shares.
    #[serde(default = "one")]
    pub weight: u32,
    /// The scenario that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The snapshot that answers, in place of the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// Fields of the question that it sets: `{"diversity": {"mmr": 0.3}}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub query: Map<String, Value>,
}

fn one() -> u32 {
    1
}

/// A metric by its definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricDefinition {
    /// What reports call it; the kind if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is measured.
    pub kind: MetricKind,
    /// The event types that count; by default `click`, or `purchase` for conversion and revenue, or all for dwell and session
    /// length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Whether less is better.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lower_is_better: bool,
}

/// What is measured. Outcomes are events joined to an answer that showed their item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Answers with at least one outcome, over answers.
    ClickThrough,
    /// Users with at least one outcome, over users.
    Conversion,
    /// The sum of the outcomes' values, over users.
    Revenue,
    /// The sum of the outcomes' dwell times in seconds, over outcomes that have one.
    Dwell,
    /// Events of the user since the first answer that name a session, over these sessions.
    SessionLength,
}

impl MetricKind {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClickThrough => "click_through",
            Self::Conversion => "conversion",
            Self::Revenue => "revenue",
            Self::Dwell => "dwell",
            Self::SessionLength => "session_length",
        }
    }

    const fn default_types(self) -> &'static [&'static str] {
        match self {
            Self::ClickThrough => &["click"],
            Self::Conversion | Self::Revenue => &["purchase"],
            Self::Dwell | Self::SessionLength => &[],
        }
    }
}

impl MetricDefinition {
    /// The metric of a kind as it usually is.
    pub fn of(kind: MetricKind) -> Self {
        Self { name: None, kind, types: Vec::new(), lower_is_better: false }
    }

    /// What reports call it.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.word())
    }

    /// Whether an event of this type counts.
    pub fn counts(&self, kind: &str) -> bool {
        let usual = self.kind.default_types();
        match self.types.is_empty() {
            true => usual.is_empty() || usual.contains(&kind),
            false => self.types.iter().any(|known| known == kind),
        }
    }
}

/// A metric that must not get worse by more than a tolerance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// What is watched.
    pub metric: MetricDefinition,
    /// The relative loss that is accepted: 0.02 is 2 % of the control's value.
    #[serde(default)]
    pub tolerance: f64,
}

/// How p-values of several comparisons are corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Not at all.
    None,
    /// No false discovery among all, with probability 1 − alpha (Holm 1979).
    #[default]
    Holm,
    /// At most a share alpha of the discoveries is false, on average (Benjamini & Hochberg 1995).
    BenjaminiHochberg,
}

/// When an experiment ends by itself. It is looked at about every hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopPolicy {
    /// When the deciding metric has decided.
    pub on_decision: bool,
    /// When a guardrail is broken, or users do not come in the promised shares.
    pub on_harm: bool,
    /// After this time, decided or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// A winner is then shown to all whom the experiment is for; its snapshot, if it has one, becomes the active one.
    pub promote: bool,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { on_decision: false, on_harm: true, after: None, promote: false }
    }
}

/// An experiment with what has become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Experiment {
    /// Its name.
    pub id: String,
    /// Grows by one with each change.
    pub version: u64,
    /// Where it stands.
    pub state: ExperimentState,
    /// The plan.
    pub design: ExperimentDesign,
    /// When it was first put in.
    pub created: Timestamp,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Timestamp>,
    /// The parts of its layer's 10,000 that are its own, in the order in which they join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slots>,
    /// Why it ended, and who won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Ending>,
}

/// Where an experiment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentState {
    /// Planned.
    Draft,
    /// Users take part.
    Running,
    /// Over; everybody is shown what they were shown before.
    Stopped,
    /// Over; the winner is shown to all whom it was for.
    Promoted,
}

impl ExperimentState {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Promoted => "promoted",
        }
    }
}

/// Neighbouring parts of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slots {
    /// The first.
    pub from: u32,
    /// The one after the last.
    pub to: u32,
}

/// How an experiment ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ending {
    /// Why, with the figures.
    pub reason: String,
    /// The variant that won, if one did.
    pub winner: Option<String>,
}

impl ExperimentDesign {
    /// The scenarios that it is about: its own and those of variants.
    pub fn scenarios(&self) -> impl Iterator<Item = &str> {
        let of_variants = self.variants.iter().filter_map(|variant| variant.scenario.as_deref());
        self.scenario.as_deref().into_iter().chain(of_variants)
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        for (field, text) in [("scenario", &self.scenario), ("layer", &self.layer), ("salt", &self.salt)] {
            text.as_ref().map_or(Ok(()), |text| validate_id(field, text))?;
        }
        self.validate_traffic()?;
        self.target.as_ref().map_or(Ok(()), |filter| filter.validate().map_err(|error| error.within("target")))?;
        self.validate_variants()?;
        self.validate_metrics()?;
        let shares = [("alpha", self.alpha, 0.5), ("power", self.power, 0.999), ("effect", self.effect, 10.0)];
        for (field, value, most) in shares {
            if !(1e-6..=most).contains(&value) {
                return Err(Error::invalid(field, format!("is {value}, expected 0.000001 to {most}")));
            }
        }
        Ok(())
    }

    fn validate_traffic(&self) -> Result<()> {
        if !(1..=PARTS).contains(&self.traffic) {
            return Err(Error::invalid("traffic", format!("is {}, expected 1 to {PARTS}", self.traffic)));
        }
        for (place, step) in self.ramp.iter().enumerate() {
            let next = self.ramp.get(place + 1);
            let grows = step.traffic <= next.map_or(self.traffic, |next| next.traffic);
            if !grows || next.is_some_and(|next| next.until <= step.until) {
                let reason = "each step must end later and have no less traffic than the one before";
                return Err(Error::invalid(format!("ramp[{place}]"), reason));
            }
        }
        Ok(())
    }

    fn validate_variants(&self) -> Result<()> {
        let count = self.variants.len();
        if !(2..=MAX_VARIANTS).contains(&count) || (self.interleave && count != 2) {
            let expected = if self.interleave { "2, to be interleaved".into() } else { format!("2 to {MAX_VARIANTS}") };
            return Err(Error::invalid("variants", format!("lists {count} variants, expected {expected}")));
        }
        let mut names = BTreeSet::new();
        for (place, variant) in self.variants.iter().enumerate() {
            let field = |name: &str| format!("variants[{place}].{name}");
            validate_id(&field("name"), &variant.name)?;
            if !names.insert(&variant.name) {
                return Err(Error::invalid(field("name"), format!("\"{}\" is given twice", variant.name)));
            }
            if !(1..=PARTS).contains(&variant.weight) {
                return Err(Error::invalid(field("weight"), format!("is {}, expected 1 to {PARTS}", variant.weight)));
            }
            variant.apply(&Query::for_user("u")).map_err(|error| error.within(&format!("variants[{place}]")))?;
        }
        Ok(())
    }

    fn validate_metrics(&self) -> Result<()> {
        if !(1..=MAX_METRICS).contains(&self.metrics.len()) {
            let reason = format!("lists {} metrics, expected 1 to {MAX_METRICS}", self.metrics.len());
            return Err(Error::invalid("metrics", reason));
        }
        let mut names = BTreeSet::new();
        for (place, metric) in self.metrics.iter().enumerate() {
            if !names.insert(metric.name()) {
                let reason = format!("\"{}\" is given twice; give one of them a name", metric.name());
                return Err(Error::invalid(format!("metrics[{place}].name"), reason));
            }
        }
        if self.guardrails.len() > MAX_GUARDRAILS {
            let reason = format!("lists {} guardrails, expected at most {MAX_GUARDRAILS}", self.guardrails.len());
            return Err(Error::invalid("guardrails", reason));
        }
        for (place, guardrail) in self.guardrails.iter().enumerate() {
            if !(0.0..=1.0).contains(&guardrail.tolerance) {
                let reason = format!("is {}, expected 0 to 1", guardrail.tolerance);
                return Err(Error::invalid(format!("guardrails[{place}].tolerance"), reason));
            }
        }
        Ok(())
    }

    /// Users who take part so long after the start, in parts of 10,000.
    pub fn traffic_at(&self, started: Timestamp, now: Timestamp) -> u32 {
        let elapsed = now.millis().saturating_sub(started.millis());
        self.ramp.iter().find(|step| elapsed < step.until.millis()).map_or(self.traffic, |step| step.traffic)
    }
}

impl Variant {
    /// A variant that shows what everybody is shown.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), weight: 1, scenario: None, snapshot: None, query: Map::new() }
    }

    /// The question as this variant asks it. Errors: [`Error::Invalid`] names a field that no question has, or a value that
    /// it cannot have.
    pub fn apply(&self, query: &Query) -> Result<Query> {
        let mut changed = query.clone();
        if !self.query.is_empty() {
            if self.query.contains_key("user") {
                return Err(Error::invalid("query.user", "cannot be set by a variant"));
            }
            if self.query.contains_key("scenario") {
                return Err(Error::invalid("query.scenario", "is set by the variant's own field `scenario`"));
            }
            let refused = |error: serde_json::Error| Error::invalid("query", error.to_string());
            let mut fields = serde_json::to_value(query).map_err(refused)?;
            if let Some(fields) = fields.as_object_mut() {
                fields.extend(self.query.clone());
            }
            changed = serde_json::from_value(fields).map_err(refused)?;
            changed.validate().map_err(|error| error.within("query"))?;
        }
        if let Some(scenario) = &self.scenario {
            validate_id("scenario", scenario)?;
            changed.scenario = Some(scenario.clone());
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design(text: &str) -> Result<ExperimentDesign> {
        let design: ExperimentDesign = serde_json::from_str(text).unwrap();
        design.validate().map(|()| design)
    }

    #[test]
    fn two_names_are_enough() {
        let design = design(r#"{"variants":[{"name":"A"},{"name":"B","query":{"limit":3}}]}"#).unwrap();
        assert_eq!((design.traffic, design.metrics[0].name(), design.alpha), (10_000, "click_through", 0.05));
        assert_eq!(design.variants[1].apply(&Query::for_user("u")).unwrap().limit, 3);
        let text = serde_json::to_string(&design).unwrap();
        assert_eq!(serde_json::from_str::<ExperimentDesign>(&text).unwrap(), design);
    }

    #[test]
    fn an_experiment_without_a_covariate_is_kept_without_one() {
        let design = design(r#"{"variants":[{"name":"A"},{"name":"B"}],"covariate":null}"#).unwrap();
        let text = serde_json::to_string(&design).unwrap();
        assert_eq!(serde_json::from_str::<ExperimentDesign>(&text).unwrap().covariate, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, field) in [
            (r#"{"variants":[{"name":"A"}]}"#, "variants"),
            (r#"{"variants":[{"name":"A"},{"name":"A"}]}"#, "variants[1].name"),
            (r#"{"variants":[{"name":"A"},{"name":"B","query":{"limits":3}}]}"#, "variants[1].query"),
            (r#"{"variants":[{"name":"A"},{"name":"B","query":{"user":"x"}}]}"#, "variants[1].query.user"),
            (r#"{"variants":[{"name":"A"},{"name":"B"}],"traffic":10001}"#, "traffic"),
            (r#"{"variants":[{"name":"A"},{"name":"B"}],"traffic":5,"ramp":[{"until":"1d","traffic":6}]}"#, "ramp[0]"),
            (r#"{"variants":[{"name":"A"},{"name":"B"},{"name":"C"}],"interleave":true}"#, "variants"),
            (r#"{"variants":[{"name":"A"},{"name":"B"}],"metrics":[]}"#, "metrics"),
            (r#"{"variants":[{"name":"A"},{"name":"B"}],"alpha":0}"#, "alpha"),
        ] {
            match design(text) {
                Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
