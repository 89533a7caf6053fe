//! The feature table: what is known of a user, an item, the pair, the session and the moment, as a row of numbers.
//!
//! One piece of code makes rows for training and for serving: [`FittedTable::raw_rows`] over a [`FeatureRequest`], which holds
//! counters, past and attributes as they are at a time. For serving they come from the store, for training from a
//! [`replay`] of the log that stops before each event. Whether both agree is what the [`audit`](audit()) finds out.
//!
//! A ranker does: [`FeatureTable::new`] from the configuration and what the data hold ([`Survey`]); [`replay`] with
//! [`Fitting`](fitted::Fitting), which gives raw rows and learns their means, deviations and target statistics as it goes;
//! [`Fitting::finish`](fitted::Fitting::finish); then [`FittedTable::raw_rows`] and [`FittedTable::standards`] in training and
//! serving, and [`FittedTable::to_bytes`] beside its weights.

mod asked;
mod audit;
mod automatic;
mod counted;
mod facts;
mod fitted;
mod past;
mod replay;
mod rows;
mod serving;
mod stored;
mod survey;
#[cfg(test)]
mod tests;
mod text;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

pub use asked::{Asked, replay_asked};
pub use audit::{Audit, AuditedRow, ColumnDifference, audit};
pub use facts::{FactTable, Facts};
pub use fitted::{FittedTable, Standard};
pub use past::PastEvent;
pub use replay::replay;
pub use rows::{FeatureRequest, Known, SourceScores};
pub use serving::UserState;
pub use survey::Survey;

use crate::config::{FeatureDefinition, FeatureKind, FeatureOf, FeaturesConfig};
use crate::record::{Item, ItemId, Span, Timestamp};
pub use text::TextModel;

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name: that of the feature, and of the part where a feature has several.
    pub name: String,
    /// What changes it.
    pub scope: Scope,
    /// Whether it is standardised: numbers are, zeros and ones are not.
    pub is_number: bool,
}

/// What a column depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The user and the moment.
    User,
    /// The item and the moment.
    Item,
    /// User and item.
    Pair,
    /// The current visit.
    Session,
    /// The question.
    Request,
}

/// The features of a deployment, before anything is learned of their distributions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureTable {
    features: Vec<Feature>,
    columns: Vec<Column>,
    /// Latest events of a user that are looked at.
    history: usize,
    /// A visit ends when so much time passes without an event.
    #[serde(default = "FeaturesConfig::default_session_gap")]
    session_gap: Span,
    /// Event types that features tell apart.
    kinds: Vec<String>,
    /// Attributes of items that features need as numbers or as values.
    item_attributes: Vec<String>,
    /// The same of users.
    user_attributes: Vec<String>,
    /// How values are made of definitions: see `stored`.
    #[serde(default)]
    rules: u32,
}

/// A feature with what it was given by the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Feature {
    name: String,
    definition: FeatureDefinition,
    /// Its first column, and how many it has.
    first: usize,
    width: usize,
    /// Its column of the indicator, if it has one.
    indicator: Option<usize>,
    /// Its attribute's place among those of items or users.
    attribute: Option<usize>,
    /// Its event types' places among the kinds.
    kinds: Vec<u16>,
    /// Of one-hot: hashes of the values, the most frequent first.
    values: Vec<u32>,
    /// Of rates, the mean rate; of habits, how far items usually are apart in the attribute.
    level: f64,
    /// Of text.
    text: Option<TextModel>,
}

impl FeatureTable {
    /// The features that a configuration declares, and those that the data suggest. `sources` are the sources of candidates
    /// whose scores a request will bring.
    pub fn new(config: &FeaturesConfig, survey: &Survey, sources: &[&str]) -> Self {
        let mut definitions = if config.automatic { automatic::definitions(survey, sources) } else { Vec::new() };
        definitions.retain(|(name, _)| !config.columns.contains_key(name));
        definitions.extend(config.columns.iter().map(|(name, definition)| (name.clone(), definition.clone())));
        definitions.sort_by(|a, b| a.0.cmp(&b.0));
        let mut table = Self {
            features: Vec::new(),
            columns: Vec::new(),
            history: config.history,
            session_gap: config.session_gap,
            kinds: Vec::new(),
            item_attributes: Vec::new(),
            user_attributes: Vec::new(),
            rules: stored::RULES,
        };
        for (name, definition) in definitions {
            table.add(name, definition, survey);
        }
        table
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many of a user's latest events a request should bring.
    pub fn history(&self) -> usize {
        self.history
    }

    /// What the table takes from an event of the past.
    pub fn past_event(&self, item: ItemId, kind: &str, time: Timestamp, session: Option<NonZeroU32>) -> PastEvent {
        let kind = self.kinds.iter().position(|known| known == kind).map_or(PastEvent::OTHER, |place| place as u16);
        PastEvent { item, kind, time, session }
    }

    /// Whether anything is asked of the visit that is going on.
    fn asks_of_session(&self) -> bool {
        self.features.iter().any(|feature| feature.definition.of == Some(FeatureOf::Session))
    }

    /// What the table takes from an item.
    pub fn item_facts(&self, item: &Item) -> Facts {
        Facts::of_item(self, item)
    }

    /// What the table takes from a user's attributes.
    pub fn user_facts(&self, attributes: &crate::record::Attributes) -> Facts {
        Facts::of_user(self, attributes)
    }

    /// Whether a column is what a source of candidates says of them.
    pub fn is_of_source(&self, column: usize) -> bool {
        let is_of = |of: &Feature| (of.first..of.first + of.width).contains(&column) || of.indicator == Some(column);
        self.features.iter().any(|of| of.definition.kind == FeatureKind::Score && is_of(of))
    }

    /// The vector spaces that it needs.
    pub fn spaces(&self) -> impl Iterator<Item = &str> {
        self.features.iter().filter_map(|feature| feature.definition.space.as_deref())
    }

    fn add(&mut self, name: String, definition: FeatureDefinition, survey: &Survey) {
        use FeatureKind as Kind;
        let is_users = definition.of == Some(FeatureOf::User);
        let is_contexts = definition.of == Some(FeatureOf::Context);
        let size = definition.size;
        let attribute = definition.attribute.as_deref();
        let values = match definition.kind {
            Kind::OneHot => survey.frequent_values(definition.of, attribute.unwrap_or_default(), size.unwrap_or(16)),
            _ => Vec::new(),
        };
        let text = match definition.kind {
            Kind::Text => TextModel::fit(survey.texts(attribute.unwrap_or_default()), size.unwrap_or(8)),
            _ => None,
        };
        let parts: Vec<String> = match definition.kind {
            Kind::OneHot => values.iter().map(|(value, _)| format!("{name}={value}")).collect(),
            Kind::Hashed => (0..size.unwrap_or(16)).map(|place| format!("{name}.{place}")).collect(),
            Kind::Text => {
                let dimensions = text.as_ref().map_or(0, TextModel::dimensions);
                (0..dimensions).map(|place| format!("{name}.{place}")).collect()
            }
            Kind::Vector => {
                let dimension = survey.dimension(definition.space.as_deref().unwrap_or_default());
                (0..dimension).map(|place| format!("{name}.{place}")).collect()
            }
            Kind::Hour | Kind::Weekday => vec![format!("{name}.sin"), format!("{name}.cos")],
            _ => vec![name.clone()],
        };
        let scope = match (definition.kind, definition.of) {
            (Kind::Hour | Kind::Weekday, _) | (_, Some(FeatureOf::Context)) => Scope::Request,
            (Kind::Habit | Kind::Affinity | Kind::Score, _) | (_, Some(FeatureOf::Pair)) => Scope::Pair,
            (_, Some(FeatureOf::Session)) => Scope::Session,
            (_, Some(FeatureOf::User)) => Scope::User,
            _ => Scope::Item,
        };
        let is_number = definition.kind != Kind::OneHot;
        let first = self.columns.len();
        let width = parts.len();
        self.columns.extend(parts.into_iter().map(|name| Column { name, scope, is_number }));
        let indicator = (definition.policy() == Some(crate::config::Missing::Indicator)).then(|| {
            self.columns.push(Column { name: format!("{name}?"), scope, is_number: false });
            self.columns.len() - 1
        });
        let attribute = attribute.filter(|_| !is_contexts && definition.kind != Kind::Text).map(|attribute| {
            let known = if is_users { &mut self.user_attributes } else { &mut self.item_attributes };
            place_of(known, attribute)
        });
        let kinds = definition.types.iter().map(|kind| place_of(&mut self.kinds, kind) as u16).collect();
        let level = match definition.kind {
            Kind::Rate => survey.rate(&definition.types, &definition.per),
            Kind::Habit => survey.deviation(definition.attribute.as_deref().unwrap_or_default()),
            _ => 0.0,
        };
        let values = values.into_iter().map(|(_, hash)| hash).collect();
        self.features.push(Feature {
            name,
            definition,
            first,
            width,
            indicator,
            attribute,
            kinds,
            values,
            level,
            text,
        });
    }
}

fn place_of(known: &mut Vec<String>, name: &str) -> usize {
    known.iter().position(|known| known == name).unwrap_or_else(|| {
        known.push(name.to_owned());
        known.len() - 1
    })
}
