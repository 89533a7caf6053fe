//! What the table takes from an item or a user, worked out once: numbers, values as hashes, and the columns that do not
//! change with events.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Feature, FeatureTable};
use crate::config::{FeatureKind, FeatureOf};
use crate::record::{Attributes, CATEGORIES, Item, ItemId, TIME, Value};

/// What is known of one item or user.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Facts {
    /// By attribute; NaN where there is none.
    numbers: Box<[f32]>,
    /// Hashes of the values, by attribute.
    values: Box<[Box<[u32]>]>,
    /// Columns that events do not change, of all features of this side, one after the other; NaN where unknown.
    fixed: Box<[f32]>,
    /// When it was published, in milliseconds.
    pub published: Option<i64>,
}

impl Facts {
    pub(super) fn of_item(table: &FeatureTable, item: &Item) -> Self {
        let values = |attribute: &str| match attribute {
            CATEGORIES => item.categories.iter().map(|category| hash(category)).collect(),
            _ => item.attributes.get(attribute).map(hashes).unwrap_or_default(),
        };
        let number = |attribute: &str| match attribute {
            TIME => item.time.map_or(f32::NAN, |time| time.millis() as f32),
            _ => number(item.attributes.get(attribute)),
        };
        let fixed = |feature: &Feature, out: &mut Vec<f32>| match feature.definition.kind {
            FeatureKind::Text => {
                let text = feature.definition.attribute.as_ref().and_then(|name| item.attributes.get(name));
                let row = text.zip(feature.text.as_ref()).and_then(|(text, model)| model.project(&text.display()));
                fill(out, row.as_deref(), feature.width);
            }
            FeatureKind::Vector => {
                let vector = feature.definition.space.as_ref().and_then(|space| item.vectors.get(space));
                fill(out, vector.map(Vec::as_slice), feature.width);
            }
            _ => {
                let of = feature.definition.attribute.as_deref().unwrap_or_default();
                encode(feature, &values(of), out);
            }
        };
        let mut facts = Self::new(&table.item_attributes, number, values);
        facts.fixed = fixed_of(table, FeatureOf::Item, fixed);
        facts.published = item.time.map(|time| time.millis());
        facts
    }

    pub(super) fn of_user(table: &FeatureTable, attributes: &Attributes) -> Self {
        let values = |attribute: &str| attributes.get(attribute).map(hashes).unwrap_or_default();
        let fixed = |feature: &Feature, out: &mut Vec<f32>| {
            encode(feature, &values(feature.definition.attribute.as_deref().unwrap_or_default()), out);
        };
        let mut facts = Self::new(&table.user_attributes, |attribute| number(attributes.get(attribute)), values);
        facts.fixed = fixed_of(table, FeatureOf::User, fixed);
        facts
    }

    fn new(attributes: &[String], number: impl Fn(&str) -> f32, values: impl Fn(&str) -> Box<[u32]>) -> Self {
        Self {
            numbers: attributes.iter().map(|attribute| number(attribute)).collect(),
            values: attributes.iter().map(|attribute| values(attribute)).collect(),
            fixed: Box::default(),
            published: None,
        }
    }

    /// The number of an attribute.
    pub(super) fn number(&self, place: usize) -> Option<f32> {
        self.numbers.get(place).copied().filter(|number| !number.is_nan())
    }

    /// The hashes of an attribute's values.
    pub(super) fn values(&self, place: usize) -> &[u32] {
        self.values.get(place).map(|values| &**values).unwrap_or_default()
    }

    /// Stands for all of it: others have another number.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for numbers in [&self.numbers, &self.fixed] {
            numbers.iter().for_each(|number| hash.update(&number.to_bits().to_le_bytes()));
            hash.update(&[0]);
        }
        for values in &self.values {
            values.iter().for_each(|value| hash.update(&value.to_le_bytes()));
            hash.update(&[0]);
        }
        hash.update(&self.published.unwrap_or(i64::MIN).to_le_bytes());
        hash.digest()
    }

    /// All columns that events do not change, `[fixed columns of this side]`; NaN where unknown.
    pub fn fixed(&self) -> &[f32] {
        &self.fixed
    }
}

/// Facts by dense id; deleted and unknown ids are holes.
#[derive(Clone, Debug, Default)]
pub struct FactTable(Vec<Option<Box<Facts>>>);

impl FactTable {
    /// Inserts or replaces an entry, or forgets it.
    pub fn set(&mut self, id: u32, facts: Option<Facts>) {
        let place = id as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        if let Some(slot) = self.0.get_mut(place) {
            *slot = facts.map(Box::new);
        }
    }

    /// Facts of an item.
    pub fn get(&self, item: ItemId) -> Option<&Facts> {
        self.at(item.index())
    }

    /// Facts by index.
    pub fn at(&self, place: usize) -> Option<&Facts> {
        self.0.get(place)?.as_deref()
    }
}

/// Whether a feature is made of metadata alone, and whose.
pub fn is_fixed(feature: &Feature, side: FeatureOf) -> bool {
    match feature.definition.kind {
        FeatureKind::Text | FeatureKind::Vector => side == FeatureOf::Item,
        FeatureKind::OneHot | FeatureKind::Hashed => feature.definition.of == Some(side),
        _ => false,
    }
}

fn fixed_of(table: &FeatureTable, side: FeatureOf, fixed: impl Fn(&Feature, &mut Vec<f32>)) -> Box<[f32]> {
    let mut out = Vec::new();
    table.features.iter().filter(|feature| is_fixed(feature, side)).for_each(|feature| fixed(feature, &mut out));
    out.into()
}

/// One-hot or signed hashing (Weinberger et al., ICML 2009) of some values.
pub fn encode(feature: &Feature, values: &[u32], out: &mut Vec<f32>) {
    if values.is_empty() {
        return fill(out, None, feature.width);
    }
    if feature.definition.kind == FeatureKind::OneHot {
        out.extend(feature.values.iter().map(|value| f32::from(u8::from(values.contains(value)))));
        return;
    }
    let mut places = vec![0.0; feature.width];
    for value in values {
        if let Some(place) = places.get_mut((value >> 1) as usize % feature.width.max(1)) {
            *place += if value & 1 == 0 { 1.0 } else { -1.0 };
        }
    }
    out.extend(places);
}

fn fill(out: &mut Vec<f32>, row: Option<&[f32]>, width: usize) {
    match row.filter(|row| row.len() == width) {
        Some(row) => out.extend_from_slice(row),
        None => out.extend(std::iter::repeat_n(f32::NAN, width)),
    }
}

/// The number of a value, the truth of a flag as 0 or 1, a time in days.
pub fn number(value: Option<&Value>) -> f32 {
    match value {
        Some(Value::Number(number)) => *number as f32,
        Some(Value::Bool(flag)) => f32::from(u8::from(*flag)),
        Some(value) => value.as_time().map_or(f32::NAN, |time| (time.millis() as f64 / 86_400_000.0) as f32),
        None => f32::NAN,
    }
}

/// Hashes of the values of an attribute, each once.
pub fn hashes(value: &Value) -> Box<[u32]> {
    let mut hashes: Vec<u32> = value.each().iter().map(|value| hash(&value.display())).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.into()
}

/// The hash that stands for a value.
pub fn hash(text: &str) -> u32 {
    xxh3_64(text.as_bytes()) as u32
}
