//! The sections of the cold-start maps. Files without them know nothing of those without events, as before there were any.
//!
//! ```text
//! cold            JSON: how profiles are encoded, and how good each map is
//! item_map        f32, [2 + columns, dim]: intercept, variances of what is not foretold, coefficients; or empty
//! user_map        f32, [2 + columns, prior items], in the same way for users
//! prior_items     u32, ascending: rows of the items of which the map of users tells
//! prior_shares    f32, [prior items]: their shares for everybody; or empty
//! known_ends      u64, [n_items]: where each row of encoded metadata ends
//! known_items     u32, [entries]
//! known_values    f32, [entries]
//! evidence        f32, [n_items]: pairs of each item
//! item_space      f32, [n_items, k], or empty: of a model of lists alone
//! user_sample     f32, [sample, dim]: users of length 1 that stand for all
//! ```

use serde::{Deserialize, Serialize};

use super::sections::{SectionFile, SectionWriter, write_floats};
use crate::error::Result;
use crate::features::{Csr, ProfileEncoder};
use crate::linalg::Matrix;
use crate::train::{ColdStart, Fit, MapQuality, Moments, ProfileMap};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    items: Option<DescribedMap>,
    users: Option<DescribedMap>,
    moments: Moments,
    prior_pairs: f32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DescribedMap {
    encoder: ProfileEncoder,
    quality: MapQuality,
}

impl DescribedMap {
    fn of(map: &ProfileMap) -> Self {
        Self { encoder: map.encoder().clone(), quality: map.quality() }
    }
}

/// Writes all sections.
pub fn write(to: &mut SectionWriter, cold: &ColdStart) -> Result<()> {
    let described = Described {
        items: cold.items.as_ref().map(DescribedMap::of),
        users: cold.users.as_ref().map(DescribedMap::of),
        moments: cold.moments,
        prior_pairs: cold.prior_pairs,
    };
    to.section("cold", |out| Ok(serde_json::to_writer(out, &described)?))?;
    for (name, map) in [("item_map", &cold.items), ("user_map", &cold.users)] {
        to.section(name, |out| {
            let Some(map) = map else { return Ok(()) };
            write_floats(out, &map.fit().intercept)?;
            write_floats(out, map.residual())?;
            write_floats(out, map.fit().coefficients.data())
        })?;
    }
    to.rows("known", &cold.known)?;
    let space = cold.space.as_ref().map_or(&[][..], Matrix::data);
    let items = &cold.prior_items;
    to.section("prior_items", |out| items.iter().try_for_each(|item| out.write_all(&item.to_le_bytes())))?;
    to.section("prior_shares", |out| write_floats(out, &cold.prior_shares))?;
    to.section("item_space", |out| write_floats(out, space))?;
    to.section("evidence", |out| write_floats(out, &cold.evidence))?;
    to.section("user_sample", |out| write_floats(out, cold.sample.data()))
}

/// Reads them back beside `items` vectors of length `dim`. Errors: [`crate::Error::Corrupt`] when they do not fit.
pub fn read(from: &SectionFile, items: usize, dim: usize) -> Result<ColdStart> {
    if !from.has("cold") {
        return Ok(ColdStart::default());
    }
    let Described { items: item_map, users: user_map, moments, prior_pairs } =
        serde_json::from_slice(&from.bytes("cold")?)
            .map_err(|error| from.damaged(format!("its cold-start maps: {error}")))?;
    let space = from.floats("item_space")?;
    if items == 0 || !space.len().is_multiple_of(items) || space.iter().any(|value| !value.is_finite()) {
        return Err(from.damaged("its space of new items makes no sense"));
    }
    let placed_dim = if space.is_empty() { dim } else { space.len() / items };
    let space = if space.is_empty() { None } else { Some(Matrix::new(placed_dim, space)?) };
    let bytes = from.bytes("prior_items")?;
    let prior_items: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|item| u32::from_le_bytes(*item)).collect();
    if !prior_items.is_sorted_by(|a, b| a < b) || prior_items.last().is_some_and(|item| *item as usize >= items) {
        return Err(from.damaged("its prior of users names items that are not there"));
    }
    let prior_shares = if from.has("prior_shares") { from.floats("prior_shares")? } else { Vec::new() };
    if ![0, prior_items.len()].contains(&prior_shares.len()) {
        return Err(from.damaged(format!("it has {} shares of {} items", prior_shares.len(), prior_items.len())));
    }
    let map = |name: &str, dim: usize, described: Option<DescribedMap>| -> Result<Option<ProfileMap>> {
        let Some(DescribedMap { encoder, quality }) = described else { return Ok(None) };
        let mut intercept = from.floats(name)?;
        let expected = encoder.columns().saturating_add(2).saturating_mul(dim);
        if intercept.len() != expected || dim == 0 {
            return Err(from.damaged(format!("\"{name}\" has {} numbers, expected {expected}", intercept.len())));
        }
        let mut residual = intercept.split_off(dim);
        let coefficients = Matrix::new(dim, residual.split_off(dim))?;
        let map = ProfileMap::new(encoder, Fit { intercept, coefficients }, residual, quality);
        map.map(Some).map_err(|error| from.damaged(error.to_string()))
    };
    let (item_map, user_map) = (map("item_map", placed_dim, item_map)?, map("user_map", prior_items.len(), user_map)?);
    let columns = item_map.as_ref().map_or(0, |map| map.encoder().columns());
    let known: Csr = from.rows("known", columns)?;
    let evidence = from.floats("evidence")?;
    let expected = if item_map.is_some() { items } else { 0 };
    if (known.n_rows(), evidence.len()) != (expected, expected) {
        return Err(from.damaged(format!("it knows the metadata of {} items, expected {expected}", known.n_rows())));
    }
    let sample = from.floats("user_sample")?;
    let numbers = [moments.seen.0, moments.seen.1, moments.all.0, moments.all.1, prior_pairs];
    if numbers.iter().chain(&sample).chain(&evidence).chain(&prior_shares).any(|value| !value.is_finite()) {
        return Err(from.damaged("its cold-start prior holds something that is not a number"));
    }
    let sample = Matrix::new(placed_dim, sample).map_err(|error| from.damaged(error.to_string()))?;
    Ok(ColdStart {
        items: item_map,
        users: user_map,
        known,
        evidence,
        moments,
        sample,
        space,
        prior_items,
        prior_shares,
        prior_pairs,
    })
}
