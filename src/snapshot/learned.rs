//! The sections of what was learned beside the item vectors: layout, Gramian, what is known of each item, and the
//! item-item lists. Files of a snapshot and bundles hold the same.
//!
//! ```text
//! mix          JSON of the layout and the weights
//! gramian      f32, [factors, factors]
//! scales       f32, [n_items]
//! degrees      f32, [n_items], or empty
//! confidences  f32, [n_items], or empty
//! list_ends    u64, [n_items]: where each row of the lists ends
//! list_items   u32, [entries]
//! list_values  f32, [entries]
//! ranker       JSON of the ranker's weights, if there is one
//! features     the feature table that its rows are made by
//! ```

use super::sections::{SectionFile, SectionWriter, write_floats};
use crate::config::TrainConfig;
use crate::error::Result;
use crate::train::ranker::LearnedRanker;
use crate::train::{FoldIn, ItemParts, Mix};

/// Writes all sections.
pub fn write(to: &mut SectionWriter, fold_in: &FoldIn) -> Result<()> {
    let parts = fold_in.parts();
    to.section("mix", |out| Ok(serde_json::to_writer(out, fold_in.mix())?))?;
    to.section("gramian", |out| write_floats(out, fold_in.gramian()))?;
    to.section("scales", |out| write_floats(out, &parts.scales))?;
    to.section("degrees", |out| write_floats(out, &parts.degrees))?;
    to.section("confidences", |out| write_floats(out, &parts.confidences))?;
    to.rows("list", &parts.lists)
}

/// Reads them back and fits them together for `items` vectors of length `dim`. A file of format 1 knows the Gramian only:
/// it holds factors alone. Errors: [`crate::Error::Corrupt`] when they do not fit.
pub fn read(from: &SectionFile, items: usize, dim: usize, config: &TrainConfig) -> Result<FoldIn> {
    let (mix, parts) = if from.has("mix") { layout(from)? } else { factors_alone(items, dim) };
    if (parts.scales.len(), mix.dim()) != (items, dim) {
        let found = format!("{} items of dimension {}", parts.scales.len(), mix.dim());
        return Err(from.damaged(format!("it knows {found}, the index has {items} of dimension {dim}")));
    }
    FoldIn::new(mix, from.floats("gramian")?, parts, config).map_err(|error| from.damaged(error.to_string()))
}

/// Writes the ranker's sections.
pub fn write_ranker(to: &mut SectionWriter, ranker: &LearnedRanker) -> Result<()> {
    let (weights, table) = ranker.to_bytes()?;
    to.section("ranker", |out| out.write_all(&weights))?;
    to.section("features", |out| out.write_all(&table))
}

/// Reads the ranker, if the file has one that this build can serve.
pub fn read_ranker(from: &SectionFile) -> Result<Option<LearnedRanker>> {
    if !from.has("ranker") {
        return Ok(None);
    }
    let ranker = LearnedRanker::from_bytes(&from.bytes("ranker")?, &from.bytes("features")?);
    ranker.map_err(|error| from.damaged(error.to_string()))
}

fn layout(from: &SectionFile) -> Result<(Mix, ItemParts)> {
    let mix: Mix =
        serde_json::from_slice(&from.bytes("mix")?).map_err(|error| from.damaged(format!("its layout: {error}")))?;
    let scales = from.floats("scales")?;
    let lists = from.rows("list", scales.len())?;
    Ok((mix, ItemParts { scales, degrees: from.floats("degrees")?, confidences: from.floats("confidences")?, lists }))
}

fn factors_alone(items: usize, dim: usize) -> (Mix, ItemParts) {
    let mix = Mix { factors: dim, ials: 1.0, unit: 1.0, ..Mix::default() };
    (mix, ItemParts { scales: vec![1.0; items], ..ItemParts::default() })
}
