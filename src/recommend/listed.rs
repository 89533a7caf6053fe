//! What the item-item lists say for one history: the scores of the items that they touch, out of all items.

use crate::index::Listed;

/// List scores by row; 0 for rows that no list touches.
///
/// Costs one addition for each entry of the history's lists. The memory is 4 bytes an item, but of zeroed pages: only
/// those with a touched item are ever there.
#[derive(Default)]
pub struct ListScores {
    scores: Vec<f32>,
    touched: Vec<u32>,
}

impl ListScores {
    /// Adds the parts up by row. Rows from `rows` on are left out.
    pub fn sum(rows: usize, parts: impl Iterator<Item = (u32, f32)>) -> Self {
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return Self::default();
        }
        let mut sum = Self { scores: vec![0.0; rows], touched: Vec::new() };
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
