//! Principal axes: both sides are turned so that the Gramian of one is diagonal. Scores and loss do not change.

use crate::error::Result;
use crate::linalg::{Matrix, gramian_f64, rotate, symmetric_eigen};

/// Turns `fixed`, `[n, dim]`, into its principal axes, the longest first, and `along`, `[m, dim]`, with it. Returns the
/// eigenvalues of its Gramian, `[dim]`, descending. Costs (n/2 + n + m) dim² multiply-adds.
///
/// # Errors
/// [`crate::Error::Invalid`] when a number is not finite.
pub fn align(fixed: &mut Matrix, along: Option<&mut Matrix>) -> Result<Vec<f64>> {
    align_by(&gramian_f64(fixed.as_rows()), fixed, along)
}

/// [`align`] with the Gramian of `fixed`, `[dim, dim]`, known.
pub fn align_by(gramian: &[f64], fixed: &mut Matrix, along: Option<&mut Matrix>) -> Result<Vec<f64>> {
    let (eigenvalues, axes) = symmetric_eigen(gramian, fixed.dim())?;
    let axes: Vec<f32> = axes.into_iter().map(|value| value as f32).collect();
    rotate(fixed, &axes);
    if let Some(along) = along {
        rotate(along, &axes);
    }
    Ok(eigenvalues)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::dot;

    #[test]
    fn scores_stay_and_the_gramian_becomes_diagonal_and_descending() {
        let mut fixed = Matrix::new(5, (0..200).map(|i| (i as f32 * 0.7).sin()).collect()).unwrap();
        let mut along = Matrix::new(5, (0..35).map(|i| (i as f32 * 1.3).cos()).collect()).unwrap();
        let before = dot(fixed.row(3), along.row(2));
        let eigenvalues = align(&mut fixed, Some(&mut along)).unwrap();
        assert!((dot(fixed.row(3), along.row(2)) - before).abs() < 1e-5);
        assert!(eigenvalues.is_sorted_by(|a, b| a >= b));
        for (at, value) in gramian_f64(fixed.as_rows()).into_iter().enumerate() {
            let expected = if at % 6 == 0 { eigenvalues[at / 6] } else { 0.0 };
            assert!((value - expected).abs() < 1e-4, "{value} for {expected}");
        }
    }
}
