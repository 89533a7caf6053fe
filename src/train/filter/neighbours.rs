//! The pruned item-item matrix of the graph filter.

use crate::config::FilterConfig;
use crate::error::Result;
use crate::features::Csr;
use crate::progress::Progress;
use crate::train::gram_row::{Gram, strongest};

use super::masses;

/// D_I^−b Rᵀ D_U^−2a R D_I^−b' without its diagonal, `[n_items, n_items]`, each row pruned to its largest entries; `unit`
/// is the mean confidence of `matrix`. A row is what an item of the history says about all others. One row at a time:
/// memory is the result and one dense row for each thread.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub fn neighbours(matrix: &Csr, unit: f32, config: &FilterConfig, progress: &dyn Progress) -> Result<Csr> {
    let gram = Gram::new(matrix, 2.0 * config.user_exponent, unit);
    let masses = masses(&matrix.transpose(), unit);
    let power = |item: usize, exponent: f64| f64::from(masses.get(item).copied().unwrap_or(1.0)).powf(-exponent) as f32;
    let to_target: Vec<f32> = (0..masses.len()).map(|item| power(item, config.item_exponent)).collect();
    let items: Vec<u32> = (0..gram.n_items() as u32).collect();
    let rows = gram.rows(&items, progress, |past, row| {
        let others = row.touched().iter().filter(|item| **item as usize != past);
        let scored = others.map(|&item| (item, row.value(item) * to_target.get(item as usize).copied().unwrap_or(0.0)));
        let mut kept = strongest(config.neighbours, scored);
        // Confidences enter twice, the history's once more when it is scored: in units of the mean they cancel.
        let scale = power(past, config.history_exponent) / (unit * unit);
        kept.iter_mut().for_each(|(_, value)| *value *= scale);
        kept
    })?;
    Ok(Csr::from_rows(gram.n_items(), rows))
}
