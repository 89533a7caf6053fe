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
use crate::features::Csr;
use crate::train::ranker::LearnedRanker;
use crate::train::{FoldIn, ItemParts, Mix};

/// Writes all sections.
pub fn write(to: &mut SectionWriter, fold_in: &FoldIn) -> Result<()> {
    let parts = fold_in.parts();
    let lists = &parts.lists;
    to.section("mix", |out| Ok(serde_json::to_writer(out, fold_in.mix())?))?;
    to.section("gramian", |out| write_floats(out, fold_in.gramian()))?;
    to.section("scales", |out| write_floats(out, &parts.scales))?;
    to.section("degrees", |out| write_floats(out, &parts.degrees))?;
    to.section("confidences", |out| write_floats(out, &parts.confidences))?;
    to.section("list_ends", |out| {
        let mut end = 0u64;
        (0..lists.n_rows()).try_for_each(|row| {
            end += lists.row(row).0.len() as u64;
            out.write_all(&end.to_le_bytes())
        })
    })?;
    to.section("list_items", |out| {
        let items = (0..lists.n_rows()).flat_map(|row| lists.row(row).0);
        items.into_iter().try_for_each(|item| out.write_all(&item.to_le_bytes()))
    })?;
    to.section("list_values", |out| (0..lists.n_rows()).try_for_each(|row| write_floats(out, lists.row(row).1)))
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

/// Reads the ranker, if the file has one.
pub fn read_ranker(from: &SectionFile) -> Result<Option<LearnedRanker>> {
    if !from.has("ranker") {
        return Ok(None);
    }
    let ranker = LearnedRanker::from_bytes(&from.bytes("ranker")?, &from.bytes("features")?);
    ranker.map(Some).map_err(|error| from.damaged(error.to_string()))
}

fn layout(from: &SectionFile) -> Result<(Mix, ItemParts)> {
    let mix: Mix =
        serde_json::from_slice(&from.bytes("mix")?).map_err(|error| from.damaged(format!("its layout: {error}")))?;
    let scales = from.floats("scales")?;
    let ends = from.bytes("list_ends")?;
    let ends = ends.as_chunks::<8>().0.iter().map(|end| u64::from_le_bytes(*end) as usize);
    let items = from.bytes("list_items")?;
    let items = items.as_chunks::<4>().0.iter().map(|item| u32::from_le_bytes(*item)).collect();
    let values = from.floats("list_values")?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(from.damaged("its item-item lists hold something that is not a number"));
    }
    let lists = Csr::from_parts(scales.len(), ends.collect(), items, values)
        .ok_or_else(|| from.damaged("its item-item lists make no sense"))?;
    Ok((mix, ItemParts { scales, degrees: from.floats("degrees")?, confidences: from.floats("confidences")?, lists }))
}

fn factors_alone(items: usize, dim: usize) -> (Mix, ItemParts) {
    let mix = Mix { factors: dim, ials: 1.0, unit: 1.0, ..Mix::default() };
    (mix, ItemParts { scales: vec![1.0; items], ..ItemParts::default() })
}
