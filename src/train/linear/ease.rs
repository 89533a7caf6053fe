//! The full model: every item regressed on all others, in closed form (Steck, WWW 2019, eq. 8).

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::solve_spd;
use crate::progress::Progress;
use crate::train::gram_row::Gram;

/// The Gramian and its inverse are dense: beyond this a catalogue needs the local model.
const MAX_ITEMS: usize = 8_000;

/// The weights, `[n_items, n_items]`, without the diagonal.
///
/// # Errors
/// [`Error::Invalid`] for more items than a dense Gramian is held for; [`Error::Cancelled`].
pub fn ease(gram: &Gram<'_>, ridge: f32, progress: &dyn Progress) -> Result<Csr> {
    let n = gram.n_items();
    if n > MAX_ITEMS {
        let reason = format!("is 0, which regresses on all {n} items; that is for {MAX_ITEMS} at most, give a number");
        return Err(Error::invalid("train.linear.neighbours", reason));
    }
    let items: Vec<u32> = (0..n as u32).collect();
    let mut a: Vec<f32> = gram
        .rows(&items, progress, |_, row| items.iter().map(|item| row.value(*item)).collect())?
        .into_iter()
        .flat_map(|row: Vec<f32>| row)
        .collect();
    a.iter_mut().step_by(n + 1).for_each(|diagonal| *diagonal += ridge);
    let inverse = inverse(a, n)?;
    // B = I − P diag(1 / diag P): column by target, row by past item.
    let diagonal: Vec<f32> = inverse.iter().step_by(n + 1).copied().collect();
    let row = |(past, row): (usize, &[f32])| {
        let entries = row.iter().zip(&diagonal).enumerate().filter(|(target, _)| *target != past);
        entries.map(|(target, (value, diagonal))| (target as u32, -value / diagonal)).collect()
    };
    Ok(Csr::from_rows(n, inverse.par_chunks(n.max(1)).enumerate().map(row).collect()))
}

/// The inverse of a symmetric positive definite matrix: the factor once, then a pair of triangular solves a column.
fn inverse(mut a: Vec<f32>, n: usize) -> Result<Vec<f32>> {
    let mut first = vec![0.0; n];
    if let Some(one) = first.first_mut() {
        *one = 1.0;
    }
    solve_spd(&mut a, &mut first, n)?;
    let factor = a;
    let column = |place: usize| {
        let mut x = vec![0.0; n];
        if let Some(one) = x.get_mut(place) {
            *one = 1.0;
        }
        crate::linalg::solve_factored(&factor, &mut x, n);
        x
    };
    Ok((0..n).into_par_iter().flat_map_iter(column).collect())
}
