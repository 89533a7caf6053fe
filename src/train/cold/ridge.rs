//! Weighted ridge regression of many targets on sparse rows, with an intercept that pays nothing: the normal equations of
//! the centred rows, factorised once for all targets (Hoerl & Kennard 1970).

use rayon::prelude::*;

use crate::error::Result;
use crate::linalg::{Matrix, axpy, solve_factored, solve_spd};

/// A sparse row: (column, value), by column.
pub type Sparse = Vec<(u32, f32)>;

/// The sums that the equations are made of. Those of a part of the rows can be taken from those of all.
#[derive(Clone)]
pub struct Sums {
    columns: usize,
    weight: f64,
    /// Σ w φ φᵀ, `[columns, columns]`, lower triangle.
    gram: Vec<f64>,
    /// Σ w φ, `[columns]`.
    mean: Vec<f64>,
    /// Σ w φ tᵀ, `[columns, targets]`.
    cross: Matrix,
    /// Σ w t, `[targets]`.
    target: Vec<f64>,
}

/// An intercept, `[targets]`, and coefficients, `[columns, targets]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    pub intercept: Vec<f32>,
    pub coefficients: Matrix,
}

impl Sums {
    /// Of the rows at `places`, with `targets`, `[rows, targets]`.
    pub fn of(
        columns: usize,
        rows: &[Sparse],
        weights: &[f32],
        targets: &Matrix,
        places: impl Iterator<Item = usize>,
    ) -> Self {
        let mut sums = Self {
            columns,
            weight: 0.0,
            gram: vec![0.0; columns * columns],
            mean: vec![0.0; columns],
            cross: Matrix::zeros(columns, targets.dim()),
            target: vec![0.0; targets.dim()],
        };
        for place in places {
            let (Some(row), Some(&weight)) = (rows.get(place), weights.get(place)) else { continue };
            let target = targets.row(place);
            sums.weight += f64::from(weight);
            sums.target.iter_mut().zip(target).for_each(|(sum, t)| *sum += f64::from(weight * t));
            for (at, &(column, value)) in row.iter().enumerate() {
                let weighed = f64::from(weight * value);
                sums.mean[column as usize] += weighed;
                axpy(weight * value, target, sums.cross.row_mut(column as usize));
                for &(before, other) in row.iter().take(at + 1) {
                    sums.gram[column as usize * columns + before as usize] += weighed * f64::from(other);
                }
            }
        }
        sums
    }

    /// Of the rows that are in `self` and not in `part`.
    pub fn without(&self, part: &Self) -> Self {
        let mut rest = self.clone();
        let take = |from: &mut [f64], part: &[f64]| from.iter_mut().zip(part).for_each(|(from, part)| *from -= part);
        rest.weight -= part.weight;
        take(&mut rest.gram, &part.gram);
        take(&mut rest.mean, &part.mean);
        take(&mut rest.target, &part.target);
        axpy(-1.0, part.cross.data(), rest.cross.data_mut());
        rest
    }

    /// The weighted mean of the targets, `[targets]`.
    pub fn mean_target(&self) -> Vec<f32> {
        self.target.iter().map(|sum| (sum / self.weight.max(f64::MIN_POSITIVE)) as f32).collect()
    }

    /// The fit under a penalty of `ridge` for each squared coefficient.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when rounding has cost the equations their definiteness.
    pub fn solve(&self, ridge: f32) -> Result<Fit> {
        let (p, m) = (self.columns, self.target.len());
        let total = self.weight.max(f64::MIN_POSITIVE);
        let mut a = vec![0.0f32; p * p];
        for i in 0..p {
            for j in 0..=i {
                let centred = self.gram[i * p + j] - self.mean[i] * self.mean[j] / total;
                a[i * p + j] = centred as f32 + if i == j { ridge } else { 0.0 };
            }
        }
        // One row a target, so that each is solved in place.
        let mut right = Matrix::zeros(m, p);
        for i in 0..p {
            for (t, value) in self.cross.row(i).iter().enumerate() {
                right.row_mut(t)[i] = value - (self.mean[i] * self.target[t] / total) as f32;
            }
        }
        // Factorises; of what it solves nothing is needed.
        if p > 0 {
            solve_spd(&mut a, &mut vec![0.0; p], p)?;
        }
        right.data_mut().par_chunks_exact_mut(p.max(1)).for_each(|b| solve_factored(&a, b, p));
        let mut coefficients = Matrix::zeros(p, m);
        let mut intercept = self.mean_target();
        for (t, solved) in right.data().chunks_exact(p.max(1)).enumerate() {
            let mut shift = 0.0;
            for (i, value) in solved.iter().enumerate() {
                coefficients.row_mut(i)[t] = *value;
                shift += f64::from(*value) * self.mean[i] / total;
            }
            intercept[t] -= shift as f32;
        }
        Ok(Fit { intercept, coefficients })
    }
}

impl Fit {
    /// What it says of a row, added up in `out`, `[targets]`.
    pub fn predict(&self, row: &[(u32, f32)], out: &mut [f32]) {
        out.copy_from_slice(&self.intercept);
        for &(column, value) in row {
            axpy(value, self.coefficients.row(column as usize), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Sparse> {
        (0..40u32).map(|i| vec![(i % 3, 1.0), (3, (i as f32 * 0.7).sin())]).collect()
    }

    #[test]
    fn what_is_linear_is_found_and_a_large_penalty_leaves_the_weighted_mean() {
        let rows = rows();
        let truth = |row: &Sparse| row.iter().map(|(c, v)| (1.0 + *c as f32) * v).sum::<f32>() + 0.5;
        let targets = Matrix::new(2, rows.iter().flat_map(|row| [truth(row), -2.0 * truth(row)]).collect()).unwrap();
        let weights: Vec<f32> = (0..40).map(|i| 0.5 + (i % 4) as f32).collect();
        let sums = Sums::of(4, &rows, &weights, &targets, 0..40);
        let fit = sums.solve(1e-3).unwrap();
        let mut out = [0.0; 2];
        for row in &rows {
            fit.predict(row, &mut out);
            assert!((out[0] - truth(row)).abs() < 1e-2 && (out[1] + 2.0 * truth(row)).abs() < 2e-2, "{out:?}");
        }
        let mean = rows.iter().zip(&weights).map(|(row, w)| w * truth(row)).sum::<f32>() / weights.iter().sum::<f32>();
        sums.solve(1e9).unwrap().predict(&rows[0], &mut out);
        assert!((out[0] - mean).abs() < 1e-3, "{} for {mean}", out[0]);
    }

    #[test]
    fn the_sums_of_a_part_are_those_of_all_without_the_rest() {
        let rows = rows();
        let targets = Matrix::new(1, (0..40).map(|i| i as f32).collect()).unwrap();
        let weights = vec![1.0; 40];
        let of = |places: Vec<usize>| Sums::of(4, &rows, &weights, &targets, places.into_iter());
        let (even, odd): (Vec<_>, Vec<_>) = (0..40).partition(|place| place % 2 == 0);
        let rest = of((0..40).collect()).without(&of(odd)).solve(1.0).unwrap();
        let direct = of(even).solve(1.0).unwrap();
        for (a, b) in rest.coefficients.data().iter().zip(direct.coefficients.data()) {
            assert!((a - b).abs() < 1e-3, "{a} for {b}");
        }
    }
}
