//! What can be asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::item::validate_vector;
use super::value::validate_context;
use super::{Attributes, Boost, Diversity, Filter, ListKind, Pin, Span, Value, validate_id, validate_scenario_name};
use crate::error::{Error, Result};

const MAX_LIMIT: usize = 1_000;
const MAX_SESSION: usize = 1_000;
const MAX_EXCLUDED: usize = 16_384;
const MAX_RANKED: usize = 10_000;
const MAX_RULES: usize = 64;
/// An explained item may have a part for each event of a long history.
const MAX_EXPLAINED: usize = 100;

/// The main question: what should this user see next? Without a user, the session items speak for the visitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// External id of the user; unknown ids are answered too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the visitor did in this session and is not stored as events; counts beside the user's events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session: Vec<SessionItem>,
    /// Circumstances: device, place, page; what events have in their `context`. The ranker knows them as features `of` the
    /// context. Up to 16 KiB.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub context: Attributes,
    /// The scenario that says how to answer; `default` if absent, where there is one. Experiments on it take part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// How many items are wanted, 1 to 1,000.
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// Only items of this category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Only items that fulfil this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Never these items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_items: Vec<String>,
    /// Which items count as seen and are left out; by default what the scenario says, else all the user had an event with.
    #[serde(default)]
    pub exclude_seen: ExcludeSeen,
    /// How the items are to differ from each other; by default as the scenario says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
    /// Items that are to come sooner, or later, beside the scenario's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boost: Vec<Boost>,
    /// Items that are to stand at a position, before the scenario's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pin: Vec<Pin>,
    /// Split each score over the user's past items. An explained answer has at most 100 items.
    #[serde(default)]
    pub explain: bool,
}

fn default_limit() -> usize {
    10
}

/// An item of a running session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionItem {
    /// External id of the item.
    pub item: String,
    /// The type of the event; weighed like a stored event of this type.
    #[serde(rename = "type", default = "default_kind")]
    pub kind: String,
    /// The value of the event, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

fn default_kind() -> String {
    "view".into()
}

/// `true`, `false`, or which event types and how far back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false, or {\"types\": [\"purchase\"], \"window\": \"30d\"}")]
pub enum ExcludeSeen {
    /// All seen items, or none.
    All(bool),
    /// Only some of them.
    Some(SeenPolicy),
}

impl Default for ExcludeSeen {
    fn default() -> Self {
        Self::All(true)
    }
}

/// Which events make an item seen.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenPolicy {
    /// Event types; all if empty.
    #[serde(default)]
    pub types: Vec<String>,
    /// How far back; all of the history if absent.
    #[serde(default)]
    pub window: Option<Span>,
}

impl Query {
    fn new(user: Option<String>) -> Self {
        Self {
            user,
            session: Vec::new(),
            context: Attributes::new(),
            scenario: None,
            limit: default_limit(),
            category: None,
            filter: None,
            exclude_items: Vec::new(),
            exclude_seen: ExcludeSeen::default(),
            diversity: None,
            boost: Vec::new(),
            pin: Vec::new(),
            explain: false,
        }
    }

    /// Asks for a user.
    pub fn for_user(user: impl Into<String>) -> Self {
        Self::new(Some(user.into()))
    }

    /// Asks for an anonymous visitor who has looked at these items, in this order.
    pub fn for_session<I: Into<String>>(items: impl IntoIterator<Item = I>) -> Self {
        let session = items
            .into_iter()
            .map(|item| SessionItem { item: item.into(), kind: default_kind(), value: None })
            .collect();
        Self { session, ..Self::new(None) }
    }

    /// The same question under some circumstances.
    ///
    /// ```
    /// let query = savor::Query::for_user("u1").context([("device", "ios")]);
    /// assert_eq!(query.context["device"], "ios".into());
    /// ```
    pub fn context<N: Into<String>, V: Into<Value>>(mut self, context: impl IntoIterator<Item = (N, V)>) -> Self {
        self.context = context.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self
    }

    /// The same question for so many items.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The same question, with the scores explained.
    pub fn explain(mut self) -> Self {
        self.explain = true;
        self
    }

    /// The same question among the items that fulfil a filter.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// The same question, its answer in an order that looks at the whole.
    pub fn diversity(mut self, diversity: Diversity) -> Self {
        self.diversity = Some(diversity);
        self
    }

    /// The same question, answered by a scenario.
    pub fn scenario(mut self, name: impl Into<String>) -> Self {
        self.scenario = Some(name.into());
        self
    }

    /// What is asked beside the user, the session, the scenario and the number of items; `None` where nothing is.
    pub(crate) fn rest(&self) -> Option<Self> {
        let is_plain = self.context.is_empty()
            && self.category.is_none()
            && self.filter.is_none()
            && self.exclude_items.is_empty()
            && self.exclude_seen == ExcludeSeen::default()
            && self.diversity.is_none()
            && self.boost.is_empty()
            && self.pin.is_empty();
        let rest = || Self {
            user: None,
            session: Vec::new(),
            scenario: None,
            limit: default_limit(),
            explain: false,
            ..self.clone()
        };
        (!is_plain).then(rest)
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        if let Some(user) = &self.user {
            validate_id("user", user)?;
        }
        validate_session(&self.session)?;
        validate_context("context", &self.context)?;
        validate_limit(self.limit)?;
        validate_explained("limit", self.limit, self.explain)?;
        self.diversity.as_ref().map_or(Ok(()), Diversity::validate)?;
        if let Some(scenario) = &self.scenario {
            validate_scenario_name("scenario", scenario)?;
        }
        validate_each("boost", &self.boost, Boost::validate)?;
        validate_each("pin", &self.pin, Pin::validate)?;
        if self.exclude_items.len() > MAX_EXCLUDED {
            return Err(Error::invalid("exclude_items", format!("lists more than {MAX_EXCLUDED} items")));
        }
        self.filter.as_ref().map_or(Ok(()), Filter::validate)
    }
}

fn validate_each<T>(field: &str, rules: &[T], validate: impl Fn(&T) -> Result<()>) -> Result<()> {
    if rules.len() > MAX_RULES {
        return Err(Error::invalid(field, format!("lists {} rules, expected at most {MAX_RULES}", rules.len())));
    }
    let mut each = rules.iter().enumerate();
    each.try_for_each(|(place, rule)| validate(rule).map_err(|error| error.within(&format!("{field}[{place}]"))))
}

fn validate_limit(limit: usize) -> Result<()> {
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(())
    } else {
        Err(Error::invalid("limit", format!("is {limit}, expected 1 to {MAX_LIMIT}")))
    }
}

fn validate_explained(field: &str, items: usize, explain: bool) -> Result<()> {
    if explain && items > MAX_EXPLAINED {
        let reason = format!("is {items}, an explained answer has at most {MAX_EXPLAINED} items");
        return Err(Error::invalid(field, reason));
    }
    Ok(())
}

fn validate_session(session: &[SessionItem]) -> Result<()> {
    if session.len() > MAX_SESSION {
        return Err(Error::invalid("session", format!("lists more than {MAX_SESSION} items")));
    }
    for (place, entry) in session.iter().enumerate() {
        validate_id(&format!("session[{place}].item"), &entry.item)?;
        if entry.value.is_some_and(|value| !value.is_finite()) {
            return Err(Error::invalid(format!("session[{place}].value"), "is not a finite number"));
        }
    }
    Ok(())
}

/// Ranks the caller's own candidates for a user or a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RankQuery {
    /// External id of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the visitor did in this session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session: Vec<SessionItem>,
    /// Circumstances, as those of the main question.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub context: Attributes,
    /// External ids of the candidates, up to 10,000; all come back, the best first.
    pub items: Vec<String>,
    /// Split each score over the user's past items; at most 100 then.
    #[serde(default)]
    pub explain: bool,
    /// Hidden items are unknown ones, for who may not learn of them: publishable keys.
    #[serde(skip)]
    pub shown_only: bool,
}

impl RankQuery {
    /// Ranks these items for whoever is named later.
    pub fn new<I: Into<String>>(items: impl IntoIterator<Item = I>) -> Self {
        let items = items.into_iter().map(Into::into).collect();
        Self { user: None, session: Vec::new(), context: Attributes::new(), items, explain: false, shown_only: false }
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        if let Some(user) = &self.user {
            validate_id("user", user)?;
        }
        validate_session(&self.session)?;
        validate_context("context", &self.context)?;
        if self.items.is_empty() || self.items.len() > MAX_RANKED {
            return Err(Error::invalid(
                "items",
                format!("lists {} items, expected 1 to {MAX_RANKED}", self.items.len()),
            ));
        }
        validate_explained("items", self.items.len(), self.explain)
    }
}

/// What makes an item an answer to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// The same people like both.
    #[default]
    Taste,
    /// People take it next.
    Next,
}

/// Items (or users) like a given one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimilarQuery {
    /// External id of the item (or user).
    pub id: String,
    /// In what items are alike; has no meaning for users.
    #[serde(default)]
    pub by: Likeness,
    /// How many are wanted, 1 to 1,000.
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// Only items that fulfil this; has no meaning for users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// A hidden item is an unknown one, for who may not learn of it: publishable keys.
    #[serde(skip)]
    pub shown_only: bool,
}

impl SimilarQuery {
    /// Asks for ten neighbours.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), by: Likeness::Taste, limit: default_limit(), filter: None, shown_only: false }
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        validate_id("id", &self.id)?;
        validate_limit(self.limit)?;
        self.filter.as_ref().map_or(Ok(()), Filter::validate)
    }
}

/// A list that is the same for everybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Which list.
    pub list: ListKind,
    /// How many items are wanted, 1 to 1,000.
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// Only items that fulfil this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
}

impl ListQuery {
    /// Asks for the first ten of a list.
    pub fn new(list: ListKind) -> Self {
        Self { list, limit: default_limit(), filter: None }
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        validate_limit(self.limit)?;
        self.filter.as_ref().map_or(Ok(()), Filter::validate)
    }
}

/// The nearest items to a raw vector, in a space of vectors that the user brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorQuery {
    /// The space.
    pub space: String,
    /// The vector, as long as the space's vectors are.
    pub vector: Vec<f32>,
    /// How many items are wanted, 1 to 1,000.
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// Only items that fulfil this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Tell how the space was searched and why so.
    #[serde(default)]
    pub explain: bool,
}

impl VectorQuery {
    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        validate_id("space", &self.space)?;
        validate_vector("vector", &self.vector)?;
        validate_limit(self.limit)?;
        self.filter.as_ref().map_or(Ok(()), Filter::validate)
    }
}
