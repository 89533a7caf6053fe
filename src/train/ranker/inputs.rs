//! What retrieval knows of its candidates, as inputs of the ranker: the parts of the score, and the score of user and item
//! vectors block by block, all relative to the other candidates of the question. The same code in training and serving.

use crate::config::SCORE_SOURCES;
use crate::features::table::{PastEvent, SourceScores};
use crate::features::{Csr, followers, note_latest};
use crate::linalg::{Matrix, dot};
use crate::record::ItemId;
use crate::train::Mix;

/// Blocks that each kind of columns is cut into.
const BLOCKS: usize = 4;
/// Inputs of a candidate that come from retrieval.
pub const SCORES: usize = 6 + 2 * BLOCKS;
/// The place of the whole score.
pub const RETRIEVAL: usize = 0;
/// The place of the rank.
const RANK: usize = 1;

/// Names of the inputs.
pub fn score_names() -> impl Iterator<Item = String> {
    let whole = ["retrieval", "rank", "factors", "low_pass", "popularity", "lists"].map(str::to_owned).into_iter();
    let blocks = |kind: &'static str| (0..BLOCKS).map(move |block| format!("{kind}.{block}"));
    whole.chain(blocks("factors")).chain(blocks("low_pass")).map(|name| format!("score.{name}"))
}

/// The source that a ranker can weigh beside its own inputs, as a feature of the kind `score`.
pub const NEXT: &str = SCORE_SOURCES[5];

/// What people take after what somebody did last, of some candidates: ln(1 + what [`followers`] of the latest items says), 0 where
/// nothing follows; NaN of candidates that `next` does not know, and of all where it knows none of the latest items. `row` is an
/// item's row and column in `next`. Costs a look at one row for each of the latest items.
pub fn following(
    next: &Csr,
    row: impl Fn(ItemId) -> Option<u32>,
    past: &[PastEvent],
    candidates: &[ItemId],
) -> Vec<f32> {
    let mut latest = Vec::new();
    past.iter().rev().for_each(|event| note_latest(&mut latest, row(event.item)));
    let is_known = next.nnz() > 0 && !latest.is_empty();
    let sums = followers(next, latest);
    let sum = |row: u32| sums.get(sums.binary_search_by_key(&row, |(column, _)| *column).ok()?);
    let score = |item: &ItemId| match row(*item).filter(|_| is_known) {
        Some(row) => sum(row).map_or(0.0, |(_, sum)| sum.ln_1p()),
        None => f32::NAN,
    };
    candidates.iter().map(score).collect()
}

/// What each source says of the candidates, as features of the kind `score` name them.
pub struct Sources([(&'static str, Vec<f32>); 6]);

impl Sources {
    /// From the inputs of some candidates, and what follows of them.
    pub fn of(inputs: &Matrix, following: Vec<f32>) -> Self {
        let column = |place: usize| (0..inputs.rows()).filter_map(|row| inputs.row(row).get(place)).copied().collect();
        let [retrieval, factors, low_pass, popularity, lists, next] = SCORE_SOURCES;
        Self([
            (retrieval, column(RETRIEVAL)),
            (factors, column(2)),
            (low_pass, column(3)),
            (popularity, column(4)),
            (lists, column(5)),
            (next, following),
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
    /// The candidates' vectors; empty of those that are newer than the model, of which the whole score is all that is known.
    pub items: Vec<&'a [f32]>,
    /// Their scores.
    pub totals: &'a [f32],
    /// What item-item lists have in them.
    pub lists: &'a [f32],
}

/// What scores are relative to.
struct Scale {
    means: [f64; SCORES],
    /// Of the whole score.
    deviation: f64,
}

impl Candidates<'_> {
    /// The inputs, `[candidates, SCORES]`: in deviations of the whole score, each with mean 0 but for the rank, which falls
    /// by its logarithm. Costs an inner product for each candidate. What is newer than the model moves nobody's.
    pub fn inputs(&self) -> Matrix {
        let (parts, mut rank) = (self.parts(), 0);
        let ranks = self.items.iter().map(|item| {
            rank += usize::from(!item.is_empty());
            rank.max(1)
        });
        let ranks = ranks.collect();
        let scale = self.scale(&parts);
        self.scaled(parts, &scale, ranks)
    }

    /// The inputs of a few candidates as they would be among those that retrieval usually finds for this user: a mean of five
    /// says nothing, and the ranker has learned from some hundreds.
    pub fn inputs_among(&self, usual: &Candidates<'_>) -> Matrix {
        let mut totals: Vec<f32> = usual.totals.to_vec();
        totals.sort_unstable_by(|a, b| b.total_cmp(a));
        let ranks = self.totals.iter().map(|total| 1 + totals.partition_point(|usual| usual > total));
        self.scaled(self.parts(), &usual.scale(&usual.parts()), ranks.collect())
    }

    /// All but the ranks, as they are.
    fn parts(&self) -> Matrix {
        let mut out = Matrix::zeros(self.items.len(), SCORES);
        for (place, item) in self.items.iter().enumerate() {
            let of = |values: &[f32]| values.get(place).copied().unwrap_or(0.0);
            self.parts_of(item, of(self.totals), of(self.lists), out.row_mut(place));
        }
        out
    }

    fn scale(&self, parts: &Matrix) -> Scale {
        let known: Vec<usize> = (0..parts.rows()).filter(|place| !self.items[*place].is_empty()).collect();
        let (n, mut means) = (known.len().max(1) as f64, [0.0; SCORES]);
        for place in &known {
            means.iter_mut().zip(parts.row(*place)).for_each(|(mean, value)| *mean += f64::from(*value));
        }
        means.iter_mut().for_each(|mean| *mean /= n);
        let square = |place: &usize| (f64::from(parts.row(*place)[RETRIEVAL]) - means[RETRIEVAL]).powi(2);
        let deviation = (known.iter().map(square).sum::<f64>() / n).sqrt();
        Scale { means, deviation: if deviation > 1e-12 { deviation } else { 1.0 } }
    }

    fn scaled(&self, mut parts: Matrix, scale: &Scale, ranks: Vec<usize>) -> Matrix {
        for (place, (item, rank)) in self.items.iter().zip(ranks).enumerate() {
            let row = parts.row_mut(place);
            for (column, (value, mean)) in row.iter_mut().zip(scale.means).enumerate() {
                let is_known = column == RETRIEVAL || !item.is_empty();
                let relative = if is_known { (f64::from(*value) - mean) / scale.deviation } else { 0.0 };
                *value = relative.clamp(-16.0, 16.0) as f32;
            }
            // Mean and deviation over a few hundred candidates, about.
            row[RANK] = (4.5 - (rank as f32).ln()) / 1.2;
        }
        parts
    }

    fn parts_of(&self, item: &[f32], total: f32, list: f32, out: &mut [f32]) {
        let Mix { factors, components, has_popularity, .. } = *self.mix;
        let of = |begin: usize, end: usize| {
            dot(self.vector.get(begin..end).unwrap_or_default(), item.get(begin..end).unwrap_or_default())
        };
        let popularity = if has_popularity { of(factors + components, factors + components + 1) } else { 0.0 };
        let mut blocks = [0.0; 2 * BLOCKS];
        let (of_factors, of_components) = blocks.split_at_mut(BLOCKS);
        for (slots, begin, width) in [(of_factors, 0, factors), (of_components, factors, components)] {
            for (block, slot) in slots.iter_mut().enumerate() {
                *slot = of(begin + width * block / BLOCKS, begin + width * (block + 1) / BLOCKS);
            }
        }
        let sum = |blocks: &[f32]| blocks.iter().sum::<f32>();
        let (of_factors, of_components) = blocks.split_at(BLOCKS);
        let whole = [total, 0.0, sum(of_factors), sum(of_components), popularity, list];
        out.iter_mut().zip(whole.iter().chain(&blocks)).for_each(|(slot, value)| *slot = *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_last_event_counts_most_and_what_never_followed_nothing() {
        let next = Csr::from_rows(4, vec![vec![(2, 1.0)], vec![(2, 1.0), (3, 8.0)], vec![], vec![]]);
        let event =
            |item| PastEvent { item: ItemId::new(item), kind: 0, time: crate::record::Timestamp::MIN, session: None };
        let candidates = [2, 3, 0, 9].map(ItemId::new);
        let row = |item: ItemId| (item.get() < 4).then_some(item.get());
        let of = |past: &[PastEvent]| {
            following(&next, row, past, &candidates).iter().map(|of| of.exp_m1()).collect::<Vec<_>>()
        };
        let is_near = |a: Vec<f32>, b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(is_near(of(&[event(1), event(0)]), [1.5, 4.0, 0.0]));
        assert!(is_near(of(&[event(0), event(1), event(9)]), [1.5, 8.0, 0.0]), "an item without a row takes no place");
        assert!(
            is_near(of(&[event(1), event(0), event(0), event(9)]), [1.5, 4.0, 0.0]),
            "nor does a repeat, and counts once"
        );
        assert!(is_near(of(&[event(2)]), [0.0; 3]), "nothing has ever followed the third");
        assert!(of(&[event(0)])[3].is_nan(), "a candidate that nobody knows");
        assert!(of(&[]).iter().chain(&of(&[event(9)])).all(|score| score.is_nan()), "nothing to follow");
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

    /// A few candidates, and what is newer than the model, among the usual ones.
    #[test]
    fn inputs_do_not_depend_on_who_else_is_asked_about() {
        let mix = Mix { factors: 4, components: 4, ..Mix::default() };
        let number = |seed: usize| ((seed * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        let vector: Vec<f32> = (0..8).map(number).collect();
        let mut items: Vec<Vec<f32>> =
            (1..301).map(|item| (0..8).map(|column| number(item * 8 + column)).collect()).collect();
        items.sort_by(|a, b| dot(&vector, b).total_cmp(&dot(&vector, a)));
        let of = |items: &[&[f32]], totals: &[f32], usual: Option<&Candidates<'_>>| {
            let lists = vec![0.0; items.len()];
            let candidates = Candidates { mix: &mix, vector: &vector, items: items.to_vec(), totals, lists: &lists };
            usual.map_or_else(|| candidates.inputs(), |usual| candidates.inputs_among(usual))
        };
        let all: Vec<&[f32]> = items.iter().map(Vec::as_slice).collect();
        let totals: Vec<f32> = all.iter().map(|item| dot(&vector, item)).collect();
        let inputs = of(&all, &totals, None);
        let lists = vec![0.0; all.len()];
        let usual = Candidates { mix: &mix, vector: &vector, items: all.clone(), totals: &totals, lists: &lists };
        let is_same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        for place in [0, 7, 150, 299] {
            let one = of(&[all[place]], &[totals[place]], Some(&usual));
            // Equal scores share a rank.
            let skipped =
                |row: &[f32]| row.iter().enumerate().filter(|(at, _)| *at != RANK).map(|of| *of.1).collect::<Vec<_>>();
            assert!(
                is_same(&skipped(one.row(0)), &skipped(inputs.row(place))),
                "{:?} {:?}",
                one.row(0),
                inputs.row(place)
            );
            assert!((one.row(0)[RANK] - inputs.row(place)[RANK]).abs() < 0.6);
        }
        let (mut with_new, mut with_total) = (all.clone(), totals.clone());
        with_new.insert(3, &[]);
        with_total.insert(3, totals[2]);
        let beside = of(&with_new, &with_total, None);
        assert!(is_same(beside.row(0), inputs.row(0)) && is_same(beside.row(300), inputs.row(299)));
        assert!(beside.row(3)[2..].iter().all(|part| *part == 0.0), "its parts are not known");
    }
}
