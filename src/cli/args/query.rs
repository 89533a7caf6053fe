//! The words of the commands that ask: `recommend`, `similar`, `list`, `explain`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::render::answer::PARTS;
use crate::record::{Attributes, Diversity, Filter, ListKind, Value};

/// What narrows an answer.
#[derive(Debug, clap::Args)]
pub struct Narrow {
    /// How many items
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10, value_parser = limit)]
    pub limit: usize,
    /// Only items of this category
    #[arg(long, value_name = "NAME")]
    pub category: Option<String>,
    /// Only items that fulfil this JSON, such as {"must": [{"key": "stock", "range": {"gt": 0}}]}
    #[arg(long, value_name = "JSON", value_parser = filter)]
    pub filter: Option<Filter>,
}

impl Narrow {
    /// Filter and category as one filter.
    pub fn into_filter(self) -> Option<Filter> {
        let is_given = self.filter.is_some() || self.category.is_some();
        is_given.then(|| self.filter.unwrap_or_default().in_category(self.category.as_deref()))
    }
}

/// How the items of a list are to differ.
#[derive(Debug, clap::Args)]
pub struct Differing {
    /// How much items are to differ, 0 to 1, by maximal marginal relevance; --diversity has more
    #[arg(long, value_name = "WEIGHT", conflicts_with = "diversity")]
    mmr: Option<f64>,
    /// How the items are to differ, as JSON: {"mmr": 0.3}, {"dpp": 0.3}, {"calibration": {"weight": 0.5}}, {"max_per": {"key": "brand", "limit": 2}}
    #[arg(long, value_name = "JSON", value_parser = diversity)]
    diversity: Option<Diversity>,
}

impl Differing {
    /// As a question takes it.
    pub fn into_diversity(self) -> Option<Diversity> {
        self.diversity.or(self.mmr.map(|weight| Diversity { mmr: Some(weight), ..Diversity::default() }))
    }
}

/// Under which circumstances is asked.
#[derive(Debug, clap::Args)]
pub struct Circumstances {
    /// Device, place, page, for the ranker: what events have in their context; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = circumstance)]
    context: Vec<(String, Value)>,
}

impl Circumstances {
    /// As a question takes them.
    pub fn into_context(self) -> Attributes {
        self.context.into_iter().collect()
    }
}

/// `savor recommend`.
#[derive(Debug, clap::Args)]
pub struct RecommendArgs {
    /// Ids of users; each gets an answer, unknown ones too
    #[arg(value_name = "USER", required_unless_present_any = ["session", "all"])]
    pub users: Vec<String>,
    /// Every user that is known: JSON Lines, one for each, in the order of their ids
    #[arg(long, conflicts_with_all = ["users", "session", "liked"])]
    pub all: bool,
    /// The file for --all; standard output if absent
    #[arg(long, short, value_name = "FILE", requires = "all")]
    pub output: Option<PathBuf>,
    /// Items an anonymous visitor has just looked at (or the one user given); repeatable
    #[arg(long, value_name = "ITEM")]
    pub session: Vec<String>,
    #[command(flatten)]
    pub circumstances: Circumstances,
    /// The scenario that says how to answer
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<String>,
    #[command(flatten)]
    pub narrow: Narrow,
    /// Never this item; repeatable
    #[arg(long, value_name = "ITEM")]
    pub exclude: Vec<String>,
    /// Also items that the user had an event with
    #[arg(long)]
    pub seen: bool,
    #[command(flatten)]
    pub differing: Differing,
    /// Say which past items each score comes from
    #[arg(long)]
    pub explain: bool,
    /// Show what the user liked last beside the answer (tables only)
    #[arg(long)]
    pub liked: bool,
}

/// `savor similar`.
#[derive(Debug, clap::Args)]
pub struct SimilarArgs {
    /// Id of the item
    #[arg(value_name = "ITEM")]
    pub item: String,
    /// What people take next, in place of what is to the same people's taste
    #[arg(long)]
    pub next: bool,
    #[command(flatten)]
    pub narrow: Narrow,
}

/// `savor list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Which list
    #[arg(value_enum, value_name = "LIST")]
    pub list: ListName,
    #[command(flatten)]
    pub narrow: Narrow,
}

/// The lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListName {
    /// Most events, older ones counting less
    Popular,
    /// Published last
    Latest,
}

impl From<ListName> for ListKind {
    fn from(name: ListName) -> Self {
        match name {
            ListName::Popular => Self::Popular,
            ListName::Latest => Self::Latest,
        }
    }
}

/// `savor rank`.
#[derive(Debug, clap::Args)]
pub struct RankArgs {
    /// The candidates
    #[arg(value_name = "ITEM", required = true)]
    pub items: Vec<String>,
    /// Id of the user; without one, the session speaks for the visitor
    #[arg(long, short = 'u', value_name = "USER")]
    pub user: Option<String>,
    /// Items of a running session, the oldest first
    #[arg(long, value_name = "ITEM", value_delimiter = ',')]
    pub session: Vec<String>,
    #[command(flatten)]
    pub circumstances: Circumstances,
}

/// `savor explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Id of the user
    #[arg(value_name = "USER")]
    pub user: String,
    /// The scenario that says how to answer
    #[arg(long, value_name = "NAME", conflicts_with = "items")]
    pub scenario: Option<String>,
    /// Explain these items; without any, what the user would be recommended
    #[arg(value_name = "ITEM")]
    pub items: Vec<String>,
    /// How many items
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10, value_parser = limit)]
    pub limit: usize,
    /// How many past items for each (tables only)
    #[arg(long, value_name = "COUNT", default_value_t = PARTS)]
    pub parts: usize,
}

pub(super) fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 1..=1000) => Ok(limit),
        _ => Err("expected 1 to 1000".into()),
    }
}

fn filter(text: &str) -> Result<Filter, String> {
    let filter: Filter = serde_json::from_str(text).map_err(|error| error.to_string())?;
    filter.validate().map_err(|error| error.to_string())?;
    Ok(filter)
}

/// A number or a truth value where it looks like one, else text.
fn circumstance(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as device=ios")?;
    let value = match serde_json::from_str(value) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => value.into(),
    };
    Ok((name.to_owned(), value))
}

fn diversity(text: &str) -> Result<Diversity, String> {
    let diversity: Diversity = serde_json::from_str(text).map_err(|error| error.to_string())?;
    diversity.validate().map_err(|error| error.to_string())?;
    Ok(diversity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Item;

    #[test]
    fn category_and_filter_must_both_hold() {
        let stock = filter(r#"{"must": [{"key": "stock", "range": {"gt": 0}}]}"#).unwrap();
        let narrow = Narrow { limit: 10, category: Some("shoes".into()), filter: Some(stock) };
        let both = narrow.into_filter().unwrap();
        let mut item = Item { categories: vec!["shoes".into()], ..Item::new("i") };
        assert!(!both.matches(&item));
        item.attributes.insert("stock".into(), 3.0.into());
        assert!(both.matches(&item));
        item.categories.clear();
        assert!(!both.matches(&item));
    }
}
