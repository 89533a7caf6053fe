//! A scenario: how one kind of question is answered, as a record that is changed without a restart. What sources give
//! candidates and how many, which items may be shown, the operator's rules, and what fills an answer that is too short.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diversity, ExcludeSeen, Filter, RuleSpec, Timestamp, validate_id};
use crate::error::{Error, Result};

const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 4_096;
const MAX_SOURCES: usize = 16;
const MAX_RULES: usize = 64;
const MAX_LISTS: usize = 64;
const MAX_LISTED: usize = 1_000;

/// A named serving configuration. What a question says itself counts beside it: filters must both hold, the question's
/// `diversity` and `exclude_seen` come in the place of the scenario's, its `pin` before and its `boost` beside the rules.
///
/// ```
/// let scenario = savor::Scenario::from_toml(r#"
/// exclude_seen = { types = ["purchase"], window = "30d" }
/// sources = [{ source = "personal", share = 0.8 }, { source = "latest", share = 0.2 }]
///
/// [[rules]]
/// rule = "boost"
/// name = "own brand"
/// factor = 1.5
/// filter = { must = [{ key = "brand", match = { value = "ours" } }] }
/// "#)?;
/// assert_eq!(scenario.rules[0].label(0), "boost:own brand");
/// # Ok::<(), savor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where candidates come from, with the share of places of each; they alternate in the answer. Empty: personal ones, with
    /// `recommend.next_share` and `recommend.explore` of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceShare>,
    /// What fills the places that are left, one after the other.
    pub fallback: Vec<SourceKind>,
    /// Only items that fulfil this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Whether the ranker puts personal candidates in order, where there is one.
    pub ranker: bool,
    /// How the items are to differ from each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
    /// Which items count as seen and are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_seen: Option<ExcludeSeen>,
    /// The experiment whose variants are answered in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// Editorial lists by name, for sources and slots.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, EditorialList>,
    /// The rules. In which order they count is a matter of what they do, not of where they stand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleSpec>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            description: String::new(),
            sources: Vec::new(),
            fallback: vec![SourceKind::Popular, SourceKind::Latest],
            filter: None,
            ranker: true,
            diversity: None,
            exclude_seen: None,
            experiment: None,
            lists: BTreeMap::new(),
            rules: Vec::new(),
        }
    }
}

/// A source and how much of an answer it gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceShare {
    /// Which.
    pub source: SourceKind,
    /// Its share of the places, beside the shares of the others. Places that it cannot fill go to the others.
    #[serde(default = "one")]
    pub share: f64,
}

fn one() -> f64 {
    1.0
}

/// Where candidates come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The model, by what is known of the visitor; new items have their places in it.
    Personal,
    /// What people take next after what the visitor did last.
    Next,
    /// Items like the last one of the visitor.
    Similar,
    /// New items that are drawn, to learn who likes them.
    Explore,
    /// Popular now.
    Popular,
    /// Published last.
    Latest,
    /// An editorial list of the scenario, in its order.
    List(String),
}

/// Items that people have chosen.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditorialList {
    /// External ids, the first first; unknown ones are passed over.
    pub items: Vec<String>,
    /// From when on it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// Until when it is shown, not included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

impl EditorialList {
    /// Whether it is shown at this time.
    pub fn is_shown(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now) && self.end.is_none_or(|end| now < end)
    }
}

/// A scenario as it is kept: one of its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioVersion {
    /// The name.
    pub name: String,
    /// Counted from 1; never given again, not even after a deletion.
    pub version: u64,
    /// When it was put.
    pub created: Timestamp,
    /// What it says; absent where this version is the deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Scenario>,
}

impl Scenario {
    /// Reads and checks a scenario from TOML.
    pub fn from_toml(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text).map_err(|error| Error::invalid("scenario", error.to_string()))?;
        scenario.validate()?;
        Ok(scenario)
    }

    /// The scenario as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|error| Error::invalid("scenario", error.to_string()))
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        at_most("description", self.description.len(), MAX_DESCRIPTION, "bytes")?;
        at_most("sources", self.sources.len(), MAX_SOURCES, "sources")?;
        at_most("fallback", self.fallback.len(), MAX_SOURCES, "sources")?;
        at_most("lists", self.lists.len(), MAX_LISTS, "lists")?;
        at_most("rules", self.rules.len(), MAX_RULES, "rules")?;
        for (place, SourceShare { source, share }) in self.sources.iter().enumerate() {
            if !(*share > 0.0 && share.is_finite()) {
                let reason = format!("is {share}, expected a number above 0");
                return Err(Error::invalid(format!("sources[{place}].share"), reason));
            }
            self.validate_source(source).map_err(|error| error.within(&format!("sources[{place}].source")))?;
            if self.sources.iter().take(place).any(|before| before.source == *source) {
                return Err(Error::invalid(format!("sources[{place}].source"), "is named twice"));
            }
        }
        for (place, source) in self.fallback.iter().enumerate() {
            let within = |error: Error| error.within(&format!("fallback[{place}]"));
            if matches!(source, SourceKind::Personal | SourceKind::Explore) {
                return Err(within(Error::invalid("", "is no list to fall back to; expected another source")));
            }
            self.validate_source(source).map_err(within)?;
        }
        self.filter.as_ref().map_or(Ok(()), Filter::validate)?;
        self.diversity.as_ref().map_or(Ok(()), Diversity::validate)?;
        if let Some(experiment) = &self.experiment {
            validate_id("experiment", experiment)?;
        }
        for (name, list) in &self.lists {
            list.validate().map_err(|error| error.within(&format!("lists.{name}")))?;
        }
        for (place, rule) in self.rules.iter().enumerate() {
            rule.validate(&self.lists).map_err(|error| error.within(&format!("rules[{place}]")))?;
        }
        Ok(())
    }

    fn validate_source(&self, source: &SourceKind) -> Result<()> {
        match source {
            SourceKind::List(name) => knows(&self.lists, name),
            _ => Ok(()),
        }
    }
}

impl EditorialList {
    fn validate(&self) -> Result<()> {
        at_most("items", self.items.len(), MAX_LISTED, "items")?;
        for (place, item) in self.items.iter().enumerate() {
            validate_id(&format!("items[{place}]"), item)?;
        }
        match (self.start, self.end) {
            (Some(start), Some(end)) if end <= start => Err(Error::invalid("end", "is not after start")),
            _ => Ok(()),
        }
    }
}

/// Checks the name of a scenario: 1 to 64 letters, digits, dots, underscores and hyphens.
pub fn validate_scenario_name(field: &str, name: &str) -> Result<()> {
    let fits = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        return Ok(());
    }
    let reason = format!("is \"{name}\", expected 1 to {MAX_NAME} letters, digits, dots, underscores and hyphens");
    Err(Error::invalid(field, reason))
}

/// Whether a list is there.
pub(super) fn knows(lists: &BTreeMap<String, EditorialList>, name: &str) -> Result<()> {
    if lists.contains_key(name) {
        return Ok(());
    }
    let known: Vec<&str> = lists.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    Err(Error::invalid("", format!("names the list \"{name}\", which is not under lists; there: {known}")))
}

fn at_most(field: &str, count: usize, most: usize, of: &str) -> Result<()> {
    if count <= most {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("has {count} {of}, expected at most {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(toml: &str) -> String {
        match Scenario::from_toml(toml).unwrap_err() {
            Error::Invalid { field, .. } => field,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_scenario_is_the_same_after_a_journey_through_toml_and_json() {
        let text = r#"
            description = "the home page"
            sources = [{ source = "personal", share = 0.7 }, { source = { list = "summer" }, share = 0.3 }]
            fallback = ["popular", { list = "summer" }]
            ranker = false
            filter = { must = [{ key = "stock", range = { gt = 0 } }] }
            diversity = { mmr = 0.3 }
            exclude_seen = { types = ["purchase"], window = "30d" }
            experiment = "x"
            [lists.summer]
            items = ["a", "b"]
            end = "2030-01-01"
            [[rules]]
            rule = "pin"
            item = "a"
            position = 2
            [[rules]]
            rule = "frequency_cap"
            shown = 3
            within = "7d"
        "#;
        let scenario = Scenario::from_toml(text).unwrap();
        assert_eq!(Scenario::from_toml(&scenario.to_toml().unwrap()).unwrap(), scenario);
        let json = serde_json::to_string(&scenario).unwrap();
        assert_eq!(serde_json::from_str::<Scenario>(&json).unwrap(), scenario);
        assert_eq!(Scenario::from_toml("").unwrap(), Scenario::default());
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (toml, field) in [
            ("sources = [{ source = \"personal\", share = 0.0 }]", "sources[0].share"),
            ("sources = [{ source = \"popular\" }, { source = \"popular\" }]", "sources[1].source"),
            ("sources = [{ source = { list = \"x\" } }]", "sources[0].source"),
            ("fallback = [\"popular\", \"personal\"]", "fallback[1]"),
            ("diversity = { mmr = 2.0 }", "diversity.mmr"),
            ("[lists.x]\nitems = [\"a\", \"\"]", "lists.x.items[1]"),
            ("[lists.x]\nitems = []\nstart = \"2026-02-01\"\nend = \"2026-01-01\"", "lists.x.end"),
            ("[[rules]]\nrule = \"boost\"\nfactor = -1.0\nfilter = {}", "rules[0].factor"),
            ("[[rules]]\nrule = \"bury\"\nfilter = {}", "rules[0].filter"),
            ("[[rules]]\nrule = \"slot\"\nlist = \"x\"\npositions = [0]", "rules[0].list"),
            ("[[rules]]\nrule = \"max_per\"\nkey = \"brand\"\nlimit = 0", "rules[0].limit"),
            ("[[rules]]\nrule = \"only_new\"\nwithin = \"0s\"", "rules[0].within"),
            ("[[rules]]\nrule = \"pin\"\nitem = \"a\"\nposition = 1000", "rules[0].position"),
            (
                "[[rules]]\nrule = \"exclude\"\nfilter = { must = [{ key = \"a\", range = { gt = 1, lt = \"2026-01-01\" } }] }",
                "rules[0].filter.must[0].range",
            ),
            ("sorces = []", "scenario"),
        ] {
            assert_eq!(refused(toml), field, "{toml}");
        }
    }

    #[test]
    fn a_list_is_shown_from_its_start_until_its_end() {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let list = EditorialList { items: vec!["a".into()], start: Some(at(10)), end: Some(at(20)) };
        assert_eq!([9, 10, 19, 20].map(|now| list.is_shown(at(now))), [false, true, true, false]);
    }
}
