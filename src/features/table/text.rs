//! Text as numbers: words hashed into places, TF-IDF, and the leading right singular vectors of the items' rows (latent
//! semantic analysis, Deerwester et al. 1990, over hashed words).

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::facts::hash;
use crate::features::words::words;
use crate::features::{Csr, truncated_svd};
use crate::progress::Silent;

/// Places that words are hashed into.
const PLACES: u32 = 1 << 12;
/// Texts that the projection is fitted on at most.
const MOST_TEXTS: usize = 100_000;
const SEED: u64 = 42;

/// A fitted projection of texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextModel {
    dimensions: usize,
    /// Inverse document frequencies, `[PLACES]`.
    rarity: Vec<f32>,
    /// `[PLACES, dimensions]`.
    axes: Vec<f32>,
}

impl TextModel {
    /// Fitted on the texts of the items that are learned from; `None` where there is nothing to learn.
    pub fn fit(texts: &[String], dimensions: usize) -> Option<Self> {
        let texts = texts.get(..texts.len().min(MOST_TEXTS))?;
        let counts: Vec<FxHashMap<u32, f32>> = texts.iter().map(|text| counted(text)).collect();
        let mut documents = vec![0u32; PLACES as usize];
        for place in counts.iter().flat_map(FxHashMap::keys) {
            if let Some(count) = documents.get_mut(*place as usize) {
                *count += 1;
            }
        }
        let rarity = documents.iter().map(|count| ((1.0 + texts.len() as f32) / (1.0 + *count as f32)).ln() + 1.0);
        let mut model = Self { dimensions: 0, rarity: rarity.collect(), axes: Vec::new() };
        let rows = counts.iter().map(|words| model.weighted(words)).collect();
        let matrix = Csr::from_rows(PLACES as usize, rows);
        let svd = truncated_svd(&matrix, dimensions, SEED, &Silent).ok()?;
        model.dimensions = svd.values.len();
        model.axes = (0..PLACES as usize)
            .flat_map(|place| svd.right.row(place).iter().take(model.dimensions))
            .copied()
            .collect();
        (model.dimensions > 0).then_some(model)
    }

    /// Length of a projected text.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Whether it gives so many numbers and its tables are as long as they have to be: what was read may be anything.
    pub fn is_sound(&self, width: usize) -> bool {
        let places = PLACES as usize;
        self.dimensions == width
            && self.rarity.len() == places
            && Some(self.axes.len()) == places.checked_mul(self.dimensions)
            && self.rarity.iter().chain(&self.axes).all(|value| value.is_finite())
    }

    /// A text as `dimensions` numbers; `None` for one without words.
    pub fn project(&self, text: &str) -> Option<Vec<f32>> {
        let weighted = self.weighted(&counted(text));
        let mut out = vec![0.0; self.dimensions];
        for (place, weight) in &weighted {
            let from = *place as usize * self.dimensions;
            let axes = self.axes.get(from..from + self.dimensions)?;
            out.iter_mut().zip(axes).for_each(|(out, axis)| *out += weight * axis);
        }
        (!weighted.is_empty()).then_some(out)
    }

    /// TF-IDF of unit length, by place.
    fn weighted(&self, words: &FxHashMap<u32, f32>) -> Vec<(u32, f32)> {
        let weight =
            |place: u32, count: f32| (1.0 + count.ln()) * self.rarity.get(place as usize).copied().unwrap_or(0.0);
        let mut row: Vec<(u32, f32)> = words.iter().map(|(place, count)| (*place, weight(*place, *count))).collect();
        row.sort_unstable_by_key(|(place, _)| *place);
        let length = row.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        row.iter_mut().for_each(|(_, weight)| *weight /= length);
        row
    }
}

/// How often each place is hit by a word of two letters or more, without case.
fn counted(text: &str) -> FxHashMap<u32, f32> {
    let mut places = FxHashMap::default();
    for word in words(text).filter(|word| word.chars().count() > 1) {
        *places.entry(hash(&word) % PLACES).or_insert(0.0) += 1.0;
    }
    places
}
