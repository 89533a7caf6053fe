//! Where training begins.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use super::guide::Warm;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::Matrix;

/// `[n_items, dim]`: the rows that are known, as far as they go; for all else normal numbers with standard deviation
/// init_stddev / √dim. Beside it, how many are known.
///
/// # Errors
/// [`Error::Invalid`] for a standard deviation that is not one.
pub fn initial_items(n: usize, config: &TrainConfig, warm: Option<Warm<'_>>) -> Result<(Matrix, usize)> {
    let stddev = config.init_stddev / (config.dimension as f64).sqrt();
    let normal = Normal::new(0.0, stddev).map_err(|error| Error::invalid("train.init_stddev", error.to_string()))?;
    let random = ChaCha8Rng::seed_from_u64(config.seed);
    let data = normal.sample_iter(random).take(n * config.dimension).map(|value| value as f32).collect();
    let mut items = Matrix::new(config.dimension, data)?;
    let known = warm.map_or(0, |warm| overwrite(&mut items, warm.items));
    Ok((items, known))
}

fn overwrite(items: &mut Matrix, warm: &[Option<Vec<f32>>]) -> usize {
    let mut count = 0;
    for (item, known) in warm.iter().enumerate().take(items.rows()) {
        let is_sound = |known: &&Vec<f32>| !known.is_empty() && known.iter().all(|value| value.is_finite());
        if let Some(known) = known.as_ref().filter(is_sound) {
            items.row_mut(item).iter_mut().zip(known).for_each(|(to, from)| *to = *from);
            count += 1;
        }
    }
    count
}

/// What each item's confidences are multiplied with, `[n_items]`: (its users / their mean)^−`exponent`, the mean over
/// items that have any; empty, which stands for 1, without an exponent.
pub fn item_scales(matrix: &Csr, exponent: f64) -> Vec<f32> {
    if exponent == 0.0 {
        return Vec::new();
    }
    let mut users = vec![0.0f64; matrix.n_cols()];
    for row in 0..matrix.n_rows() {
        for &item in matrix.row(row).0 {
            if let Some(count) = users.get_mut(item as usize) {
                *count += 1.0;
            }
        }
    }
    let mean = matrix.nnz() as f64 / users.iter().filter(|count| **count > 0.0).count().max(1) as f64;
    users.iter().map(|count| if *count > 0.0 { (count / mean).powf(-exponent) as f32 } else { 1.0 }).collect()
}
