//! Small symmetric positive definite systems: exactly, by Cholesky factorisation.

use super::kernels::{axpy, cholesky, dot};
use crate::error::{Error, Result};

/// Solves `a · x = b` by Cholesky factorisation. `a` is `[dim, dim]`, of which the lower triangle is read and
/// overwritten with the factor; `b`, `[dim]`, becomes `x`. Costs dim³/3 + 2 dim² multiply-adds.
///
/// # Errors
/// [`Error::Invalid`] when `a` is not positive definite or not `[dim, dim]`.
pub fn solve_spd(a: &mut [f32], b: &mut [f32], dim: usize) -> Result<()> {
    if dim == 0 || a.len() != dim * dim || b.len() != dim {
        let shapes =
            format!("is {} numbers with a right side of {}, expected {dim} × {dim} with {dim}", a.len(), b.len());
        return Err(Error::invalid("system", shapes));
    }
    if !cholesky(a, dim) {
        return Err(Error::invalid("system", "is not positive definite (a larger train.regularization makes it so)"));
    }
    solve_factored(a, b, dim);
    Ok(())
}

/// Solves `L Lᵀ · x = b` for a Cholesky factor L, the lower triangle of `factor`, `[dim, dim]`; `b`, `[dim]`, becomes `x`.
pub fn solve_factored(factor: &[f32], b: &mut [f32], dim: usize) {
    let a = factor;
    // L z = b, from the first unknown on.
    for i in 0..dim {
        let row = &a[i * dim..(i + 1) * dim];
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
    }
    // Lᵀ x = z, from the last unknown back, column by column of Lᵀ, which are rows of L.
    for i in (0..dim).rev() {
        let row = &a[i * dim..(i + 1) * dim];
        let (before, from) = b.split_at_mut(i);
        from[0] /= row[i];
        axpy(-from[0], &row[..i], before);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::linalg::{Rows, add_outer};

    /// A positive definite matrix, both triangles, and a right side.
    fn system() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>)> {
        (1usize..30).prop_flat_map(|dim| {
            let rows = prop::collection::vec(-1f32..1.0, 10 * dim);
            (rows, prop::collection::vec(-1f32..1.0, dim)).prop_map(move |(data, b)| {
                let mut a = vec![0.0; dim * dim];
                add_outer(&mut a, Rows::new(dim, &data).unwrap(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[1.0; 10]);
                for i in 0..dim {
                    a[i * dim + i] += 0.5;
                    for j in 0..i {
                        a[j * dim + i] = a[i * dim + j];
                    }
                }
                (dim, a, b)
            })
        })
    }

    proptest! {
        #[test]
        fn the_solution_satisfies_the_equations((dim, a, b) in system()) {
            let mut exact = b.clone();
            solve_spd(&mut a.clone(), &mut exact, dim).unwrap();
            for (row, b) in a.chunks_exact(dim).zip(&b) {
                let product = dot(row, &exact);
                prop_assert!((product - b).abs() < 1e-3, "{product} for {b}");
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused() {
        let error = solve_spd(&mut [1.0, 2.0, 2.0, 1.0], &mut [1.0, 1.0], 2).unwrap_err();
        assert!(error.to_string().contains("not positive definite"), "{error}");
        assert!(solve_spd(&mut [f32::NAN], &mut [1.0], 1).is_err());
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        assert!(solve_spd(&mut [1.0; 4], &mut [1.0; 3], 2).is_err());
        assert!(solve_spd(&mut [], &mut [], 0).is_err());
    }
}
