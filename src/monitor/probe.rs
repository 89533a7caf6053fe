//! What a model makes of some people: their vectors and their best scores, as spreads that can be held beside those of others.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::error::Result;
use crate::features::Spread;
use crate::linalg::{Rows, dot};
use crate::train::FoldIn;

/// So many of the leading axes are looked at one by one.
const AXES: usize = 4;
/// The place whose score stands for the rest of a list.
const LATER: usize = 10;

/// Folds these histories in: `vector.norm`, `vector.axis1` … (of vectors of length 1), `score.first`, `score.tenth` (over
/// the vector's length). Costs an inner
/// product for each item and history.
///
/// # Errors
/// Those of fold-in.
pub fn probe(items: Rows<'_>, fold_in: &FoldIn, histories: &[Vec<(u32, f32)>]) -> Result<BTreeMap<String, Spread>> {
    let ask = |history: &Vec<(u32, f32)>| {
        let mut vector = vec![0.0; items.dim()];
        fold_in.solve(items, history, &mut vector)?;
        let mut scores: Vec<f32> = (0..items.len()).map(|row| dot(&vector, items.row(row))).collect();
        fold_in.add_lists(history, &mut scores);
        for (past, _) in history {
            if let Some(score) = scores.get_mut(*past as usize) {
                *score = f32::NEG_INFINITY;
            }
        }
        let first = scores.iter().copied().max_by(f32::total_cmp);
        let later =
            scores.len().checked_sub(LATER).map(|place| *scores.select_nth_unstable_by(place, f32::total_cmp).1);
        Ok((vector, first, later))
    };
    let answers = histories.par_iter().map(ask).collect::<Result<Vec<_>>>()?;
    let mut spreads: BTreeMap<String, Spread> = BTreeMap::new();
    for (vector, first, later) in answers {
        let norm = dot(&vector, &vector).sqrt();
        // Scores grow with a history; how sharp a taste is does not have to.
        let unit = if norm > 0.0 { norm } else { 1.0 };
        spreads.entry("score.first".into()).or_default().add(first.map(|score| score / unit));
        spreads.entry("score.tenth".into()).or_default().add(later.map(|score| score / unit));
        if norm > 0.0 {
            spreads.entry("vector.norm".into()).or_default().add(Some(norm));
            for (axis, value) in vector.iter().take(AXES).enumerate() {
                spreads.entry(format!("vector.axis{}", axis + 1)).or_default().add(Some(value / norm));
            }
        }
    }
    Ok(spreads)
}
