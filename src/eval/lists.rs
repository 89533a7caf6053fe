//! What the lists look like, apart from hits.

use super::report::ListFigures;
use crate::features::Csr;

/// In how many users' rows each item is.
pub fn item_counts(matrix: &Csr) -> Vec<u32> {
    let mut counts = vec![0; matrix.n_cols()];
    for row in 0..matrix.n_rows() {
        for column in matrix.row(row).0 {
            if let Some(count) = counts.get_mut(*column as usize) {
                *count += 1;
            }
        }
    }
    counts
}

/// Coverage, mean popularity and Gini of all users' first `k` items.
pub fn figures(rankings: &[Vec<u32>], k: usize, popularity: &[u32]) -> ListFigures {
    let mut shown = vec![0u64; popularity.len()];
    let (mut total, mut popular) = (0u64, 0u64);
    for column in rankings.iter().flat_map(|ranked| ranked.iter().take(k)) {
        let column = *column as usize;
        if let (Some(shown), Some(count)) = (shown.get_mut(column), popularity.get(column)) {
            *shown += 1;
            total += 1;
            popular += u64::from(*count);
        }
    }
    let covered = shown.iter().filter(|count| **count > 0).count();
    ListFigures {
        k: k as u64,
        coverage: covered as f64 / popularity.len().max(1) as f64,
        mean_popularity: popular as f64 / total.max(1) as f64,
        gini: gini(shown),
    }
}

/// 0 when all are equal, towards 1 when one has everything.
fn gini(mut counts: Vec<u64>) -> f64 {
    counts.sort_unstable();
    let (n, total) = (counts.len() as f64, counts.iter().sum::<u64>() as f64);
    if total == 0.0 {
        return 0.0;
    }
    let weighted: f64 = counts.iter().enumerate().map(|(place, count)| (place + 1) as f64 * *count as f64).sum();
    2.0 * weighted / (n * total) - (n + 1.0) / n
}
