//! Block coordinate descent, iALS++ (Rendle, Krichene, Zhang & Koren 2021, "iALS++: Speeding up Matrix Factorization with
//! Subspace Optimization"): a few numbers of a row at a time are solved exactly with the others held. In principal axes
//! the pairs without an event do not couple the blocks, so that only the row's events have to be kept up to date.

use crate::error::Result;
use crate::linalg::{Rows, Updated, add_outer, axpy, dot, solve_spd};

/// What blocks are solved in, kept from one row to the next.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    /// 1 − x·y of each event.
    misses: Vec<f32>,
    /// The block's part of each event's row, `[h, block]`.
    part: Vec<f32>,
    places: Vec<u32>,
    /// The block's equations, `[block, block]`, and their right side.
    square: Vec<f32>,
    step: Vec<f32>,
}

/// Goes through `x`, `[dim]`, block by block of `size` numbers, `relaxation` times the way to each block's solution, and
/// returns `Σ w (1 − x·y)²`. For h events this costs h · dim · (size / 2 + 2) + dim · size² / 6 multiply-adds.
///
/// # Errors
/// [`crate::Error::Invalid`] when rounding has cost a block's equations their definiteness.
pub fn improve(system: Updated<'_>, x: &mut [f32], size: usize, relaxation: f32, blocks: &mut Blocks) -> Result<f64> {
    let Updated { diagonal, shift, rows, ids, weights } = system;
    let Blocks { misses, part, places, square, step } = blocks;
    misses.clear();
    misses.extend(ids.iter().map(|&id| 1.0 - dot(x, rows.row(id as usize))));
    places.clear();
    places.extend(0..ids.len() as u32);
    for (block, (x, diagonal)) in x.chunks_mut(size).zip(diagonal.chunks(size)).enumerate() {
        let (first, width) = (block * size, x.len());
        part.clear();
        ids.iter().for_each(|&id| part.extend_from_slice(&rows.row(id as usize)[first..first + width]));
        square.clear();
        square.resize(width * width, 0.0);
        square.iter_mut().step_by(width + 1).zip(diagonal).for_each(|(a, d)| *a = d + shift);
        add_outer(square, Rows::new(width, part)?, places, weights);
        step.clear();
        step.extend(diagonal.iter().zip(&*x).map(|(d, x)| -(d + shift) * x));
        for ((y, weight), miss) in part.chunks_exact(width).zip(weights).zip(&*misses) {
            axpy(weight * miss, y, step);
        }
        solve_spd(square, step, width)?;
        axpy(relaxation, step, x);
        for (miss, y) in misses.iter_mut().zip(part.chunks_exact(width)) {
            *miss -= relaxation * dot(step, y);
        }
    }
    Ok(misses.iter().zip(weights).map(|(miss, weight)| f64::from(*weight) * f64::from(*miss).powi(2)).sum())
}
