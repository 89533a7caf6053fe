//! The columns of the feature table.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check;
use crate::error::{Error, Result};
use crate::record::Span;

/// What is known of a user, an item and the moment, as numbers: for training and for serving alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// Whether the features that the data suggest are there without being declared.
    pub automatic: bool,
    /// How many of a user's latest events are looked at for affinities, habits, the pair and the session.
    pub history: usize,
    /// A visit ends when so much time passes without an event, for what is known of the session.
    pub session_gap: Span,
    /// The share of the answers of a learned ranker of which some rows are logged as it saw them, for `savor doctor --skew`; 0
    /// logs nothing.
    pub log_share: f64,
    /// So many of the latest logged answers are kept.
    pub log_answers: usize,
    /// And not longer than this.
    pub log_retention: Span,
    /// Declared features by name; one with the name of an automatic feature takes its place.
    pub columns: BTreeMap<String, FeatureDefinition>,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        Self {
            automatic: true,
            history: 200,
            session_gap: Self::default_session_gap(),
            log_share: 0.001,
            log_answers: 2_000,
            log_retention: Span::days(30),
            columns: BTreeMap::new(),
        }
    }
}

/// One feature. Which of the other fields belong to it depends on its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureDefinition {
    /// What it is.
    pub kind: FeatureKind,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<FeatureOf>,
    /// Event types that count; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// `rate`: the event types that it is a rate of; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per: Vec<String>,
    /// `count`, `rate`: the latest span that counts, `1h`, `1d`, `7d`, `30d`, …; all time if absent. `trend`: the short span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// `trend`: the long span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Span>,
    /// `decayed`, `affinity`: after this span an event counts half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life: Option<Span>,
    /// The attribute of the item, the user or the context; `categories` are the categories of an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// `one_hot`: so many of the most frequent values; `hashed`: so many places; `text`: so many dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// `rate`, `target`: so many observations of the mean are added to each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<f64>,
    /// `vector`: the space of the items' vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// `score`: what of retrieval: `retrieval` (the whole score), `factors`, `low_pass`, `popularity` or `lists` (its parts), or `next`
    /// (what people take after what the user did last).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What stands where nothing is known; `indicator` if absent. Counts, `decayed`, `trend`, `hour` and `weekday` are always known. A
    /// `rate` without an event of `per` is the mean rate if this is absent, else unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// What a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// ln(1 + events) of a user, an item, the pair or the session.
    Count,
    /// Events of `types` for each of `per`, smoothed towards the mean.
    Rate,
    /// ln(1 + events that lose half with every half-life): popularity now, activity now.
    Decayed,
    /// ln(rate of the short span / rate of the long one), smoothed.
    Trend,
    /// ln(1 + mean dwell time in seconds).
    Dwell,
    /// The mean value of the events: the mean rating.
    Value,
    /// ln(1 + hours since the latest event).
    Recency,
    /// ln(1 + days) since an item was published, or first seen.
    Age,
    /// A number of the item, the user or the context.
    Number,
    /// How many deviations an item's number is from the user's mean. With few events the deviation is that which is usual among all
    /// items, 1.48 times the median absolute deviation.
    Habit,
    /// The share of the user's decayed history that has the item's values of an attribute.
    Affinity,
    /// One column for each of the most frequent values.
    OneHot,
    /// The smoothed mean label of the training rows with the value.
    Target,
    /// Values as places of a signed hash.
    Hashed,
    /// Text as hashed TF-IDF, projected by a truncated SVD.
    Text,
    /// A vector that the items bring.
    Vector,
    /// Hour of the day (UTC), as sine and cosine.
    Hour,
    /// Day of the week (UTC), as sine and cosine.
    Weekday,
    /// What a source of candidates says of the item.
    Score,
}

/// Whose a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureOf {
    /// The user.
    User,
    /// The item.
    Item,
    /// The user with this item.
    Pair,
    /// The user's visit: the events with less than `session_gap` between them, up to now; where events name their session, those of
    /// the same.
    Session,
    /// The context of the question or the event.
    Context,
}

/// What a feature of the kind `score` may be of.
pub const SCORE_SOURCES: [&str; 6] = ["retrieval", "factors", "low_pass", "popularity", "lists", "next"];

/// What stands where nothing is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Missing {
    /// The mean of the training rows.
    Mean,
    /// The mean, and a column of its own that says so.
    Indicator,
    /// This number.
    Default(f64),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Indicator => f.write_str("indicator"),
            Self::Default(number) => write!(f, "default={number}"),
        }
    }
}

impl FromStr for Missing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = text.strip_prefix("default=").and_then(|number| number.parse::<f64>().ok());
        match (text, number) {
            ("mean", _) => Ok(Self::Mean),
            ("indicator", _) => Ok(Self::Indicator),
            // It is served as an f32.
            (_, Some(number)) if (number as f32).is_finite() => Ok(Self::Default(number)),
            _ => Err(Error::invalid("missing", format!("is \"{text}\", expected mean, indicator or default=NUMBER"))),
        }
    }
}

impl Serialize for Missing {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Missing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Missing {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Missing".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "What stands where nothing is known: the mean of the training rows, the mean and a column that says so, or a number",
            "type": "string", "pattern": "^(mean|indicator|default=.+)$"
        })
    }
}

impl FeatureDefinition {
    /// A feature of a kind, with nothing else said.
    pub fn new(kind: FeatureKind) -> Self {
        Self {
            kind,
            of: None,
            types: Vec::new(),
            per: Vec::new(),
            window: None,
            against: None,
            half_life: None,
            attribute: None,
            size: None,
            smoothing: None,
            space: None,
            source: None,
            missing: None,
        }
    }

    /// What stands where nothing is known; `None` of what is always known: events that nobody has counted are none, and a rate of
    /// nothing is the mean rate unless it is said to be unknown.
    pub fn policy(&self) -> Option<Missing> {
        use FeatureKind as Kind;
        match self.kind {
            Kind::Count | Kind::Decayed | Kind::Trend | Kind::Hour | Kind::Weekday => None,
            Kind::Rate => self.missing,
            _ => Some(self.missing.unwrap_or(Missing::Indicator)),
        }
    }

    /// Checks that the fields are those of the kind.
    fn validate(&self) -> Result<()> {
        use FeatureKind as Kind;
        use FeatureOf as Of;
        let (of, needed, allowed): (&[Of], &[&str], &[&str]) = match self.kind {
            Kind::Count => (&[Of::User, Of::Item, Of::Pair, Of::Session], &["of"], &["types", "window"]),
            Kind::Rate => (&[Of::User, Of::Item], &["of", "types"], &["per", "window", "smoothing"]),
            Kind::Decayed => (&[Of::User, Of::Item], &["of", "half_life"], &["types"]),
            Kind::Trend => (&[Of::User, Of::Item], &["of", "window", "against"], &["types"]),
            Kind::Dwell | Kind::Value => (&[Of::User, Of::Item], &["of"], &["types"]),
            Kind::Recency => (&[Of::User, Of::Item, Of::Pair], &["of"], &["types"]),
            Kind::Age | Kind::Hour | Kind::Weekday => (&[], &[], &[]),
            Kind::Number => (&[Of::User, Of::Item, Of::Context], &["of", "attribute"], &[]),
            Kind::Habit => (&[], &["attribute"], &["types"]),
            Kind::Affinity => (&[], &["attribute"], &["types", "half_life"]),
            Kind::OneHot => (&[Of::User, Of::Item, Of::Context], &["of", "attribute"], &["size"]),
            Kind::Hashed => (&[Of::User, Of::Item], &["of", "attribute"], &["size"]),
            Kind::Target => (&[Of::User, Of::Item], &["of", "attribute"], &["smoothing"]),
            Kind::Text => (&[], &["attribute"], &["size"]),
            Kind::Vector => (&[], &["space"], &[]),
            Kind::Score => (&[], &["source"], &[]),
        };
        let given = [
            ("of", self.of.is_some()),
            ("types", !self.types.is_empty()),
            ("per", !self.per.is_empty()),
            ("window", self.window.is_some()),
            ("against", self.against.is_some()),
            ("half_life", self.half_life.is_some()),
            ("attribute", self.attribute.is_some()),
            ("size", self.size.is_some()),
            ("smoothing", self.smoothing.is_some()),
            ("space", self.space.is_some()),
            ("source", self.source.is_some()),
        ];
        for (field, is_given) in given {
            if !is_given && needed.contains(&field) {
                return Err(Error::invalid(field, "is missing, a feature of this kind needs it"));
            }
            if is_given && !needed.contains(&field) && !allowed.contains(&field) {
                return Err(Error::invalid(field, "does not belong to a feature of this kind"));
            }
        }
        if self.missing.is_some() && self.policy().is_none() {
            return Err(Error::invalid("missing", "does not belong to a feature that is always known; leave it out"));
        }
        if self.of.is_some_and(|whose| !of.contains(&whose)) {
            return Err(Error::invalid("of", "a feature of this kind is not had by that"));
        }
        for (field, span) in [("window", self.window), ("against", self.against), ("half_life", self.half_life)] {
            if let Some(span) = span {
                check(field, span.millis() as f64, 1.0..=f64::MAX)?;
            }
        }
        if let Some(source) = self.source.as_deref().filter(|source| !SCORE_SOURCES.contains(source)) {
            let known = SCORE_SOURCES.join(", ");
            return Err(Error::invalid("source", format!("\"{source}\" is not known, expected one of {known}")));
        }
        check("size", self.size.unwrap_or(1) as f64, 1.0..=1024.0)?;
        check("smoothing", self.smoothing.unwrap_or(1.0), 0.0..=1e9)
    }
}

impl FeaturesConfig {
    /// Half an hour, as web analytics have it: that of tables that were stored without one.
    pub const fn default_session_gap() -> Span {
        Span::seconds(1800)
    }

    pub(super) fn validate(&self) -> Result<()> {
        check("history", self.history as f64, 1.0..=10_000.0)?;
        check("session_gap", self.session_gap.millis() as f64, 1.0..=f64::MAX)?;
        check("log_share", self.log_share, 0.0..=1.0)?;
        check("log_answers", self.log_answers as f64, 1.0..=1e6)?;
        for (name, definition) in &self.columns {
            definition.validate().map_err(|error| error.within(&format!("columns.{name}")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_feature_is_declared_by_its_kind_and_the_fields_of_it() {
        let text = "[features.columns.purchases]\nkind = \"rate\"\nof = \"item\"\ntypes = [\"purchase\"]\nper = [\"view\"]\nwindow = \"7d\"\nmissing = \"default=0.5\"\n";
        let config = Config::from_toml(text).unwrap();
        assert_eq!(Config::from_toml(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn a_field_of_another_kind_and_a_missing_one_are_refused_by_name() {
        let refused = |text: &str| Config::from_toml(&format!("[features.columns.x]\n{text}")).unwrap_err().to_string();
        assert!(refused("kind = \"hour\"\nwindow = \"1d\"").starts_with("features.columns.x.window: does not belong"));
        assert!(refused("kind = \"habit\"").starts_with("features.columns.x.attribute: is missing"));
        assert!(refused("kind = \"age\"\nmissing = \"zero\"").contains("expected mean, indicator or default=NUMBER"));
        assert!(refused("kind = \"dwell\"\nof = \"pair\"").starts_with("features.columns.x.of"));
        assert!(
            refused("kind = \"age\"\nmissing = \"default=1e300\"")
                .contains("expected mean, indicator or default=NUMBER")
        );
        let of_user = "kind = \"count\"\nof = \"user\"\nmissing = \"mean\"";
        assert!(refused(of_user).starts_with("features.columns.x.missing: does not belong"));
        let misspelt = refused("kind = \"score\"\nsource = \"lowpass\"");
        assert!(misspelt.contains("\"lowpass\" is not known") && misspelt.contains("low_pass"), "{misspelt}");
    }
}
