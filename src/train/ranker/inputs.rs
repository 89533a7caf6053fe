//! What retrieval knows of its candidates, as inputs of the ranker: the parts of the score, and the score of user and item
//! vectors block by block, all relative to the other candidates of the question. The same code in training and serving.

use rustc_hash::FxHashMap;

use crate::features::Csr;
use crate::features::table::{PastEvent, SourceScores};
use crate::linalg::{Matrix, dot};
use crate::record::ItemId;
use crate::train::Mix;

/// Blocks that each kind of columns is cut into.
const BLOCKS: usize = 4;
/// Inputs of a candidate that come from retrieval.
pub const SCORES: usize = 6 + 2 * BLOCKS;
/// The place of the whole score.
pub const RETRIEVAL: usize = 0;

/// Names of the inputs.
pub fn score_names() -> impl Iterator<Item = String> {
    let whole = ["retrieval", "rank", "factors", "low_pass", "popularity", "lists"].map(str::to_owned).into_iter();
    let blocks = |kind: &'static str| (0..BLOCKS).map(move |block| format!("{kind}.{block}"));
    whole.chain(blocks("factors")).chain(blocks("low_pass")).map(|name| format!("score.{name}"))
}

/// The source that a ranker can weigh beside its own inputs, as a feature of the kind `score`.
pub const NEXT: &str = "next";
/// So many of the latest events tell what comes next, each counting half as much as the one after it.
const LATEST: usize = 5;

/// What people take after what somebody did last, of some candidates: ln(1 + Σ 2⁻ˢ t(s-th last, candidate)), 0 where nothing
/// follows. `row` is an item's row and column in `next`. Costs a look at one row for each of the latest events.
pub fn following(
    next: &Csr,
    row: impl Fn(ItemId) -> Option<u32>,
    past: &[PastEvent],
    candidates: &[ItemId],
) -> Vec<f32> {
    let mut sums: FxHashMap<u32, f32> = FxHashMap::default();
    let mut weight = 1.0;
    for event in past.iter().rev().take(LATEST) {
        if let Some(from) = row(event.item).filter(|from| (*from as usize) < next.n_rows()) {
            let (to, values) = next.row(from as usize);
            to.iter().zip(values).for_each(|(to, value)| *sums.entry(*to).or_default() += weight * value);
        }
        weight /= 2.0;
    }
    let score = |item: &ItemId| row(*item).and_then(|row| sums.get(&row)).copied().unwrap_or(0.0).ln_1p();
    candidates.iter().map(score).collect()
}

/// What each source says of the candidates, as features of the kind `score` name them.
pub struct Sources([(&'static str, Vec<f32>); 6]);

impl Sources {
    /// From the inputs of some candidates, and what follows of them.
    pub fn of(inputs: &Matrix, following: Vec<f32>) -> Self {
        let column = |place: usize| (0..inputs.rows()).filter_map(|row| inputs.row(row).get(place)).copied().collect();
        Self([
            ("retrieval", column(RETRIEVAL)),
            ("factors", column(2)),
            ("low_pass", column(3)),
            ("popularity", column(4)),
            ("lists", column(5)),
            (NEXT, following),
        ])
    }

    /// As a question of the feature table brings them.
    pub fn scores(&self) -> Vec<SourceScores<'_>> {
        self.0.iter().map(|(source, scores)| SourceScores { source, scores }).collect()
    }
}

/// Candidates of a question as retrieval gives them, the best first.
pub struct Candidates<'a> {
    /// The layout of vectors.
    pub mix: &'a Mix,
    /// The user's vector.
    pub vector: &'a [f32],
    /// The candidates' vectors.
    pub items: Vec<&'a [f32]>,
    /// Their scores.
    pub totals: &'a [f32],
    /// What item-item lists have in them.
    pub lists: &'a [f32],
}

impl Candidates<'_> {
    /// The inputs, `[candidates, SCORES]`: in deviations of the whole score, each with mean 0 but for the rank, which falls
    /// by its logarithm. Costs an inner product for each candidate.
    pub fn inputs(&self) -> Matrix {
        let n = self.items.len();
        let mut out = Matrix::zeros(n, SCORES);
        for (place, item) in self.items.iter().enumerate() {
            let total = self.totals.get(place).copied().unwrap_or(0.0);
            self.parts(item, total, self.lists.get(place).copied().unwrap_or(0.0), place, out.row_mut(place));
        }
        let (mean, deviation) = moments(self.totals);
        for column in 0..SCORES {
            if column == 1 {
                continue;
            }
            let mean = match column {
                RETRIEVAL => mean,
                _ => (0..n).map(|place| f64::from(out.row(place)[column])).sum::<f64>() / n.max(1) as f64,
            };
            for place in 0..n {
                let value = &mut out.row_mut(place)[column];
                *value = ((f64::from(*value) - mean) / deviation).clamp(-16.0, 16.0) as f32;
            }
        }
        out
    }

    fn parts(&self, item: &[f32], total: f32, list: f32, place: usize, out: &mut [f32]) {
        let Mix { factors, components, has_popularity, .. } = *self.mix;
        let of = |begin: usize, end: usize| {
            dot(self.vector.get(begin..end).unwrap_or_default(), item.get(begin..end).unwrap_or_default())
        };
        let popularity = if has_popularity { of(factors + components, factors + components + 1) } else { 0.0 };
        // Mean and deviation over a few hundred candidates, about.
        let rank = (4.5 - ((place + 1) as f32).ln()) / 1.2;
        let mut blocks = [0.0; 2 * BLOCKS];
        let (of_factors, of_components) = blocks.split_at_mut(BLOCKS);
        for (slots, begin, width) in [(of_factors, 0, factors), (of_components, factors, components)] {
            for (block, slot) in slots.iter_mut().enumerate() {
                *slot = of(begin + width * block / BLOCKS, begin + width * (block + 1) / BLOCKS);
            }
        }
        let sum = |blocks: &[f32]| blocks.iter().sum::<f32>();
        let (of_factors, of_components) = blocks.split_at(BLOCKS);
        let whole = [total, rank, sum(of_factors), sum(of_components), popularity, list];
        out.iter_mut().zip(whole.iter().chain(&blocks)).for_each(|(slot, value)| *slot = *value);
    }
}

fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / n;
    let deviation = variance.sqrt();
    (mean, if deviation > 1e-12 { deviation } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_last_event_counts_most_and_what_never_followed_nothing() {
        let next = Csr::from_rows(4, vec![vec![(2, 1.0)], vec![(2, 1.0), (3, 8.0)], vec![], vec![]]);
        let event = |item| PastEvent { item: ItemId::new(item), kind: 0, time: crate::record::Timestamp::MIN };
        let candidates = [2, 3, 0, 9].map(ItemId::new);
        let row = |item: ItemId| (item.get() < 4).then_some(item.get());
        let of = |past: &[PastEvent]| {
            following(&next, row, past, &candidates).iter().map(|of| of.exp_m1()).collect::<Vec<_>>()
        };
        let is_near = |a: Vec<f32>, b: [f32; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(is_near(of(&[event(1), event(0)]), [1.5, 4.0, 0.0, 0.0]));
        assert!(is_near(of(&[event(0), event(1), event(9)]), [0.75, 4.0, 0.0, 0.0]));
        assert!(is_near(of(&[]), [0.0; 4]));
    }

    #[test]
    fn parts_sum_to_the_score_and_scales_do_not_matter() {
        let mix = Mix { factors: 5, components: 6, has_popularity: true, ..Mix::default() };
        let number = |seed: usize| ((seed * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        let items: Vec<Vec<f32>> =
            (0..20).map(|item| (0..12).map(|column| number(item * 12 + column)).collect()).collect();
        let inputs = |scale: f32| {
            let vector: Vec<f32> = (0..12).map(|column| scale * number(column + 999)).collect();
            let lists: Vec<f32> = (0..20).map(|item| scale * number(item * 3)).collect();
            let totals: Vec<f32> = items.iter().zip(&lists).map(|(item, list)| dot(&vector, item) + list).collect();
            let items = items.iter().map(Vec::as_slice).collect();
            Candidates { mix: &mix, vector: &vector, items, totals: &totals, lists: &lists }.inputs()
        };
        let (one, ten) = (inputs(1.0), inputs(10.0));
        for place in 0..20 {
            let row = one.row(place);
            assert!((row[0] - row[2] - row[3] - row[4] - row[5]).abs() < 1e-4, "{row:?}");
            assert!((row[2] - row[6..10].iter().sum::<f32>()).abs() < 1e-4);
            assert!(row.iter().zip(ten.row(place)).all(|(a, b)| (a - b).abs() < 1e-4));
        }
        let variance: f32 = (0..20).map(|place| one.row(place)[0].powi(2)).sum::<f32>() / 20.0;
        assert!((variance - 1.0).abs() < 1e-4);
        assert_eq!(score_names().count(), SCORES);
    }
}
