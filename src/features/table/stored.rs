//! A fitted table as a section of a snapshot. What is read may be damaged or made up, and it may be of a build that made other
//! numbers of the same definitions: a ranker is served by those that it was trained on, or not at all.

use super::fitted::FittedTable;
use super::{Feature, FeatureTable};
use crate::config::{FeatureKind as Kind, FeatureOf, Missing};
use crate::counters::Window;
use crate::error::{Error, Result};
use crate::record::Timestamp;

/// How values are made of definitions. Tables of 0 took a window of another length than whole buckets for a shorter one, knew no
/// window of pairs and sessions and no missing rate, and that nothing follows for what follows nothing.
pub const RULES: u32 = 1;

impl FittedTable {
    /// As the bytes of a snapshot's section.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::corrupt("the feature table", error.to_string()))
    }

    /// From the bytes of a snapshot's section. Errors: [`Error::Corrupt`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = |reason: String| Error::corrupt("the feature table", reason);
        let mut fitted: Self = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let width = fitted.table.columns.len();
        if fitted.columns.len() != width || !fitted.table.features.iter().all(|feature| feature.is_sound(width)) {
            return Err(damaged("its features do not fit its columns".into()));
        }
        if fitted.table.rules == 0 {
            fitted.table.features.iter_mut().for_each(Feature::as_of_rules_0);
        }
        Ok(fitted)
    }

    /// A feature of which this build would make other numbers than the table was fitted on.
    pub fn outdated(&self) -> Option<&str> {
        let FeatureTable { features, rules, .. } = &self.table;
        let is_outdated = |feature: &&Feature| {
            let spans = [feature.definition.window, feature.definition.against];
            let is_whole = |millis: i64| Window::new(millis, Timestamp::MIN).is_of_whole_buckets();
            *rules > RULES || *rules == 0 && !spans.iter().flatten().all(|span| is_whole(span.millis()))
        };
        features.iter().find(is_outdated).map(|feature| &*feature.name)
    }
}

impl Feature {
    fn is_sound(&self, columns: usize) -> bool {
        let is_within = self.first.checked_add(self.width).is_some_and(|end| end <= columns)
            && self.indicator.is_none_or(|place| place < columns);
        let fits = match self.definition.kind {
            Kind::OneHot => self.values.len() == self.width,
            Kind::Text => self.text.as_ref().map_or(self.width == 0, |text| text.is_sound(self.width)),
            Kind::Hour | Kind::Weekday => self.width == 2,
            Kind::Hashed | Kind::Vector => true,
            _ => self.width == 1,
        };
        is_within && fits
    }

    /// Says in today's words what a table of rules 0 meant.
    fn as_of_rules_0(&mut self) {
        let definition = &mut self.definition;
        match (definition.kind, definition.of) {
            (Kind::Count, Some(FeatureOf::Pair | FeatureOf::Session)) => definition.window = None,
            (Kind::Rate, _) => definition.missing = None,
            (Kind::Score, _) if definition.source.as_deref() == Some("next") => {
                definition.missing = Some(Missing::Default(0.0));
            }
            _ => {}
        }
    }
}
