//! The regressions on nearest items, a block of targets at a time. The systems of a block share rows of the Gramian: each
//! row is computed once and handed to all systems that need it, so that neither the Gramian nor more systems than fit
//! the budget are ever held.

use rayon::prelude::*;

use super::nearest::nearest;
use crate::config::LinearConfig;
use crate::error::{Error, Result};
use crate::linalg::solve_spd;
use crate::progress::Progress;
use crate::train::gram_row::Gram;

/// Numbers that the systems of a block may have at the least; with more pairs than this a block may have as many as
/// there are pairs.
const BLOCK_NUMBERS: usize = 16 << 20;

/// For each of `items` the weights of its nearest items, ascending by item: the columns of the model. The result of an
/// item depends on the Gramian alone, so a part of the items can be computed anew.
///
/// # Errors
/// [`Error::Cancelled`].
pub fn local(
    gram: &Gram<'_>,
    items: &[u32],
    ridge: f32,
    config: &LinearConfig,
    progress: &dyn Progress,
) -> Result<Vec<Vec<(u32, f32)>>> {
    let diagonal = gram.diagonal();
    let pairs: usize = items.iter().map(|item| gram.users(*item as usize).0.len()).sum();
    let system = config.neighbours * (config.neighbours + 1) / 2;
    let block = (BLOCK_NUMBERS.max(pairs) / system.max(1)).max(1);
    let mut columns = Vec::with_capacity(items.len());
    for items in items.chunks(block) {
        columns.extend(regressions(gram, items, &diagonal, ridge, config, progress)?);
    }
    Ok(columns)
}

/// One target's system: the nearest items and their products with the target.
struct System {
    nearest: Vec<u32>,
    right: Vec<f32>,
}

fn regressions(
    gram: &Gram<'_>,
    items: &[u32],
    diagonal: &[f32],
    ridge: f32,
    config: &LinearConfig,
    progress: &dyn Progress,
) -> Result<Vec<Vec<(u32, f32)>>> {
    let systems: Vec<System> = gram.rows(items, progress, |place, row| {
        let item = items.get(place).copied().unwrap_or(u32::MAX);
        let nearest = nearest(item, row, diagonal, config.neighbours, config.similarity);
        let right = nearest.iter().map(|other| row.value(*other)).collect();
        System { nearest, right }
    })?;
    // For each item that is somebody's neighbour: whose, and as which one.
    let mut wanted: Vec<(u32, u32, u32)> = Vec::new();
    for (system, place) in systems.iter().zip(0u32..) {
        wanted.extend(system.nearest.iter().zip(0u32..).map(|(neighbour, row)| (*neighbour, place, row)));
    }
    wanted.par_sort_unstable();
    let wanted: Vec<&[(u32, u32, u32)]> = wanted.chunk_by(|a, b| a.0 == b.0).collect();
    let neighbours: Vec<u32> = wanted.iter().filter_map(|of_one| of_one.first()).map(|(id, ..)| *id).collect();
    // The lower triangle of each system's row, one after another in the order of `wanted`.
    let pieces: Vec<Vec<f32>> = gram.rows(&neighbours, progress, |at, gram_row| {
        let mut piece = Vec::new();
        for &(_, place, row) in wanted.get(at).copied().unwrap_or_default() {
            if let Some(system) = systems.get(place as usize) {
                piece.extend(system.nearest.iter().take(row as usize + 1).map(|other| gram_row.value(*other)));
            }
        }
        piece
    })?;
    // Where each system finds its rows.
    let mut places: Vec<Vec<(u32, u32)>> = systems.iter().map(|system| vec![(0, 0); system.nearest.len()]).collect();
    for (of_one, at) in wanted.iter().zip(0u32..) {
        let mut offset = 0;
        for &(_, place, row) in *of_one {
            if let Some(slot) = places.get_mut(place as usize).and_then(|rows| rows.get_mut(row as usize)) {
                *slot = (at, offset);
            }
            offset += row + 1;
        }
    }
    if progress.cancelled() {
        return Err(Error::Cancelled("training"));
    }
    let solve = |a: &mut Vec<f32>, (system, places): (System, Vec<(u32, u32)>)| {
        let n = system.nearest.len();
        a.clear();
        a.resize(n * n, 0.0);
        for ((i, row), (at, offset)) in a.chunks_exact_mut(n.max(1)).enumerate().zip(places) {
            let piece = pieces.get(at as usize).map(|piece| piece.iter().skip(offset as usize));
            row.iter_mut().take(i + 1).zip(piece.into_iter().flatten()).for_each(|(to, from)| *to = *from);
            if let Some(diagonal) = row.get_mut(i) {
                *diagonal += ridge;
            }
        }
        let mut weights = system.right;
        // Rounding may cost a system of nearly equal items its definiteness; it then says nothing.
        if n > 0 && solve_spd(a, &mut weights, n).is_err() {
            weights.clear();
        }
        system.nearest.into_iter().zip(weights).collect::<Vec<_>>()
    };
    let jobs: Vec<_> = systems.into_iter().zip(places).collect();
    Ok(jobs.into_par_iter().map_init(Vec::new, solve).collect())
}
