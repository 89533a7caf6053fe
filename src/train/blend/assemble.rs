//! From trained parts to one model.

use crate::config::{BlendConfig, TrainConfig};
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::{Matrix, gramian};
use crate::train::fold_in::{FoldIn, ItemParts, Mix};
use crate::train::ials;
use crate::train::model::Model;

/// What has been trained; at least one of them.
#[derive(Default)]
pub struct Parts {
    /// Factors.
    pub ials: Option<ials::Model>,
}

/// Puts parts together under the weights of `blend`, which are multiplied with the scores as they are.
///
/// # Errors
/// Those of [`FoldIn::new`].
pub fn assemble(parts: Parts, blend: &BlendConfig, matrix: &Csr, config: &TrainConfig) -> Result<Model> {
    let n_items = matrix.n_cols();
    let counts = matrix.transpose();
    let mean = matrix.nnz() as f64 / n_items.max(1) as f64;
    let popularity = |item: usize| (counts.row(item).0.len() as f64 / mean.max(f64::MIN_POSITIVE)) as f32;
    let scales: Vec<f32> = (0..n_items)
        .map(|item| f64::from(popularity(item)).max(1.0 / mean.max(1.0)).powf(-config.debias) as f32)
        .collect();
    let factors = parts.ials.as_ref().map_or(0, |model| model.items.dim());
    let mix = Mix {
        factors,
        components: 0,
        has_popularity: factors == 0 || blend.popularity > 0.0,
        ials: blend.ials as f32,
        mass_exponent: blend.mass_exponent as f32,
        low_pass: blend.low_pass as f32,
        popularity: blend.popularity as f32,
        unit: mean_weight(matrix),
        ratings: None,
    };
    let mut items = Matrix::zeros(n_items, mix.dim());
    for (item, scale) in scales.iter().enumerate() {
        let row = items.row_mut(item);
        if let Some(model) = &parts.ials {
            row.iter_mut().zip(model.items.row(item)).for_each(|(to, from)| *to = scale * from);
        }
        if let (true, Some(last)) = (mix.has_popularity, row.last_mut()) {
            *last = scale * popularity(item);
        }
    }
    let gramian = parts.ials.as_ref().map_or_else(Vec::new, |model| gramian(model.items.as_rows()));
    let fold_in = FoldIn::new(mix, gramian, ItemParts { scales, degrees: Vec::new(), lists: Csr::default() }, config)?;
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

/// The mean confidence of a pair.
fn mean_weight(matrix: &Csr) -> f32 {
    let total: f64 = (0..matrix.n_rows()).flat_map(|row| matrix.row(row).1).map(|weight| f64::from(*weight)).sum();
    if total > 0.0 { (total / matrix.nnz() as f64) as f32 } else { 1.0 }
}
