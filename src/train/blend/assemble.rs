//! From trained parts to one model.

use super::parts::Parts;
use crate::config::{BlendConfig, ModelKind, TrainConfig};
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::{Matrix, gramian};
use crate::train::fold_in::{FoldIn, ItemParts, Mix};
use crate::train::ials::item_scales as confidence_scales;
use crate::train::model::Model;

/// Puts parts together under the weights of `blend`, which are multiplied with the scores as they are.
///
/// # Errors
/// Those of [`FoldIn::new`].
pub fn assemble(mut parts: Parts, blend: &BlendConfig, matrix: &Csr, config: &TrainConfig) -> Result<Model> {
    let scales = item_scales(&parts.popularity, config.debias);
    let lists = merged(parts.filter.take(), parts.linear.take(), blend, &scales);
    let factors = parts.ials.as_ref().map_or(0, |model| model.items.dim());
    let components = parts.low_pass.as_ref().map_or(0, |low_pass| low_pass.items.dim());
    let mix = Mix {
        factors,
        components,
        has_popularity: factors + components == 0 || blend.popularity > 0.0,
        ials: blend.ials as f32,
        mass_exponent: blend.mass_exponent as f32,
        low_pass: blend.low_pass as f32,
        popularity: blend.popularity as f32,
        unit: parts.unit,
        ratings: None,
    };
    let mut items = Matrix::zeros(matrix.n_cols(), mix.dim());
    for (item, scale) in scales.iter().enumerate() {
        let (first, rest) = items.row_mut(item).split_at_mut(factors);
        let (second, third) = rest.split_at_mut(components);
        let fill = |to: &mut [f32], from: &[f32]| to.iter_mut().zip(from).for_each(|(to, from)| *to = scale * from);
        if let Some(model) = &parts.ials {
            fill(first, model.items.row(item));
        }
        if let Some(low_pass) = &parts.low_pass {
            fill(second, low_pass.items.row(item));
        }
        fill(third, parts.popularity.get(item..=item).unwrap_or_default());
    }
    let confidences = if factors > 0 { confidence_scales(matrix, config.item_frequency_exponent) } else { Vec::new() };
    let gramian = parts.ials.as_ref().map_or_else(Vec::new, |model| gramian(model.items.as_rows()));
    let degrees = parts.low_pass.take().map_or_else(Vec::new, |low_pass| low_pass.degrees);
    let fold_in = FoldIn::new(mix, gramian, ItemParts { scales, degrees, confidences, lists }, config)?;
    let mut users = Matrix::zeros(matrix.n_rows(), mix.dim());
    for user in 0..matrix.n_rows() {
        let (ids, weights) = matrix.row(user);
        if ids.is_empty() {
            continue;
        }
        let row = users.row_mut(user);
        if let Some(model) = &parts.ials {
            row.iter_mut().zip(model.users.row(user)).for_each(|(to, from)| *to = *from);
        }
        let history: Vec<(u32, f32)> = ids.iter().copied().zip(weights.iter().copied()).collect();
        fold_in.complete(items.as_rows(), &history, row);
    }
    Ok(Model { users, items, fold_in })
}

/// popularity^−`debias` of each item; an item that nobody has counts as the rarest that somebody has.
pub fn item_scales(popularity: &[f32], debias: f64) -> Vec<f32> {
    let least = popularity.iter().copied().filter(|count| *count > 0.0).fold(f32::INFINITY, f32::min);
    let least = if least.is_finite() { least } else { 1.0 };
    popularity.iter().map(|count| f64::from(count.max(least)).powf(-debias) as f32).collect()
}

/// trend^τ of each item; empty where scores do not follow trends.
pub fn trend_factors(trend: &[f32], settled: &TrainConfig) -> Vec<f32> {
    let is_alike = [ModelKind::Popularity, ModelKind::Ratings].contains(&settled.model);
    let exponent = if is_alike { 0.0 } else { settled.trend };
    let followed = trend.iter().map(|trend| f64::from(*trend).powf(exponent) as f32);
    if exponent == 0.0 { Vec::new() } else { followed.collect() }
}

/// The lists of both item-item models as one, weighed and scaled.
fn merged(filter: Option<Csr>, linear: Option<Csr>, blend: &BlendConfig, scales: &[f32]) -> Csr {
    let weighed: Vec<(Csr, f32)> = [(filter, blend.filter), (linear, blend.linear)]
        .into_iter()
        .filter_map(|(lists, weight)| Some((lists?, weight as f32)))
        .filter(|(_, weight)| *weight > 0.0)
        .collect();
    let n_rows = weighed.iter().map(|(lists, _)| lists.n_rows()).max().unwrap_or(0);
    let rows = (0..n_rows).map(|row| {
        let mut entries: Vec<(u32, f32)> = Vec::new();
        for (lists, weight) in &weighed {
            let (items, values) = lists.row(row);
            entries.extend(items.iter().zip(values).map(|(item, value)| (*item, weight * value)));
        }
        entries.sort_by_key(|(item, _)| *item);
        let sum = |of_item: &[(u32, f32)]| {
            let item = of_item.first().map_or(0, |(item, _)| *item);
            let scale = scales.get(item as usize).copied().unwrap_or(1.0);
            (item, scale * of_item.iter().map(|(_, value)| value).sum::<f32>())
        };
        entries.chunk_by(|a, b| a.0 == b.0).map(sum).collect::<Vec<_>>()
    });
    Csr::from_rows(scales.len(), rows.collect())
}
