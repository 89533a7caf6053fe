//! What the item-item lists say for one history: the scores of the items that they touch, out of all items.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::index::Listed;

/// List scores by row; 0 for rows that no list touches.
///
/// Costs one addition for each entry of the history's lists. The memory is 4 bytes an item; it is kept from one question
/// to the next, as fresh pages would cost more than the additions.
#[derive(Default)]
pub struct ListScores {
    scores: Vec<f32>,
    touched: Vec<u32>,
}

/// Scores, all zero, and rows, none.
type Memory = (Vec<f32>, Vec<u32>);

/// Memory between questions.
static KEPT: Mutex<Vec<Memory>> = Mutex::new(Vec::new());

/// So many scores are kept, 64 MiB; more questions at a time allocate their own.
const MOST: usize = 16 << 20;

impl ListScores {
    /// Adds the parts up by row. Rows from `rows` on are left out.
    pub fn sum(rows: usize, parts: impl Iterator<Item = (u32, f32)>) -> Self {
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return Self::default();
        }
        let (mut scores, touched) = kept().pop().unwrap_or_default();
        scores.resize(rows, 0.0);
        let mut sum = Self { scores, touched };
        for (row, part) in parts {
            let Some(score) = sum.scores.get_mut(row as usize) else { continue };
            if is_untouched(*score) {
                sum.touched.push(row);
            }
            *score += part;
            // Parts that cancel out leave −0, which adds nothing and is told from an item never touched.
            if is_untouched(*score) {
                *score = -0.0;
            }
        }
        sum
    }

    /// The score of a row.
    pub fn get(&self, row: u32) -> f32 {
        self.scores.get(row as usize).copied().unwrap_or(0.0)
    }

    /// As the index adds them to its own.
    pub fn listed(&self) -> Listed<'_> {
        Listed { scores: &self.scores, rows: &self.touched }
    }

    /// The rows that parts were for, each once, in no order.
    pub fn touched(&self) -> &[u32] {
        &self.touched
    }
}

impl Drop for ListScores {
    fn drop(&mut self) {
        let (mut scores, mut touched) = (std::mem::take(&mut self.scores), std::mem::take(&mut self.touched));
        for row in touched.drain(..) {
            if let Some(score) = scores.get_mut(row as usize) {
                *score = 0.0;
            }
        }
        let mut kept = kept();
        if scores.len() * (kept.len() + 1) <= MOST {
            kept.push((scores, touched));
        }
    }
}

/// The list is whole at every moment, so a panic elsewhere does not spoil it.
fn kept() -> MutexGuard<'static, Vec<Memory>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_untouched(score: f32) -> bool {
    score.to_bits() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_each_row_is_touched_once() {
        let parts = [(4, 0.5), (1, 1.0), (4, -0.5), (1, 0.25), (4, 0.0), (9, 1.0), (2, -2.0)];
        let sum = ListScores::sum(6, parts.into_iter());
        assert_eq!(sum.touched(), [4, 1, 2]);
        assert_eq!([0, 1, 2, 4, 9].map(|row| sum.get(row)), [0.0, 1.25, -2.0, 0.0, 0.0]);
    }
}
