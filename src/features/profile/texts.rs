//! Texts of profiles, projected on the leading directions of their TF-IDF: words that are met together are told by the same columns.

use serde::{Deserialize, Serialize};

use super::Profile;
use crate::features::table::TextModel;
use crate::record::Value;

/// The columns of all texts together, where they are projected on directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextColumns {
    first: u32,
    model: TextModel,
    /// Makes the mean squared length 1.
    scale: f32,
}

impl TextColumns {
    /// Its place is to be found; `None` where no directions are wanted, or there are no texts.
    pub fn learn<'a>(profiles: impl Iterator<Item = Profile<'a>>, directions: usize) -> Option<Self> {
        if directions == 0 {
            return None;
        }
        let texts: Vec<String> = profiles.map(|profile| profile.text()).filter(|text| !text.is_empty()).collect();
        let model = TextModel::fit(&texts, directions)?;
        let (mut squares, mut count) = (0.0f64, 0.0f64);
        for projected in texts.iter().filter_map(|text| model.project(text)) {
            squares += projected.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
            count += 1.0;
        }
        (squares > 0.0).then(|| Self { first: 0, model, scale: (count / squares).sqrt() as f32 })
    }

    /// The same in columns from `first` on.
    pub fn at(self, first: u32) -> Self {
        Self { first, ..self }
    }

    /// How many columns it takes.
    pub fn columns(&self) -> u32 {
        self.model.dimensions() as u32
    }

    /// Adds the columns of a profile with words that it knows.
    pub fn encode(&self, profile: Profile<'_>, entries: &mut Vec<(u32, f32)>) {
        let projected = self.model.project(&profile.text()).unwrap_or_default();
        let projected = (self.first..).zip(projected).filter(|(_, value)| *value != 0.0);
        entries.extend(projected.map(|(column, value)| (column, value * self.scale)));
    }

    /// Whether its columns are among so many and its numbers are numbers.
    pub fn is_sound(&self, columns: u32) -> bool {
        let end = u64::from(self.first).saturating_add(self.model.dimensions() as u64);
        self.scale.is_finite() && self.model.is_sound(self.model.dimensions()) && end <= u64::from(columns)
    }
}

impl Profile<'_> {
    /// All texts of several words.
    fn text(&self) -> String {
        let texts = self.attributes.values().flat_map(Value::each).filter_map(|value| match value {
            Value::Text(text) if is_prose(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join(" ")
    }
}

/// Whether a text is more than one word.
pub fn is_prose(text: &str) -> bool {
    text.chars().any(|letter| !letter.is_alphanumeric())
}
