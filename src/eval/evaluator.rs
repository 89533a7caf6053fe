//! Puts an evaluation together, hold-out by hold-out and model by model, so that one model and one hold-out are in memory
//! at a time; of each the figures of every user are kept, for a report over all of them.

use super::character::Character;
use super::ground::{Cut, Ground, Members};
use super::metric::{HitRate, Map, Metric, Mrr, Ndcg, Recall, RecallMin};
use super::report::{CurvePoint, ListFigures, Report, SliceKind};
use super::{Scorer, assemble, lists, rank};
use crate::config::EvaluateConfig;
use crate::error::Result;
use crate::features::Holdout;
use crate::progress::Progress;
use crate::record::UserId;

/// The metrics, in the order of a report.
pub const METRICS: [&dyn Metric; 6] = [&Recall, &RecallMin, &Ndcg, &Map, &Mrr, &HitRate];
/// List lengths of the curves.
const CURVE: [usize; 13] = [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000, 2000];
/// Slices are measured at the largest cutoff up to this.
const SLICE_K: usize = 20;

/// Gathers what is measured. The first model of every hold-out is the baseline; every hold-out is measured with the same
/// models in the same order.
pub struct Evaluator<'c> {
    config: &'c EvaluateConfig,
    cutoffs: Vec<usize>,
    folds: Vec<Fold>,
}

/// A hold-out that was measured.
pub struct Fold {
    /// How it was split.
    pub split: String,
    /// Users, items and pairs of the training part.
    pub training: [u64; 3],
    /// Test pairs that are measured, and those that were dropped.
    pub pairs: [u64; 2],
    /// The test users, in the order of the hold-out.
    pub users: Vec<UserId>,
    /// The slices, those of users first.
    pub slices: Vec<FoldSlice>,
    /// The Lorenz curve of the training pairs.
    pub training_exposure: Vec<f64>,
    /// What was measured.
    pub models: Vec<Measured>,
}

/// A slice of a hold-out.
pub struct FoldSlice {
    /// How it was cut.
    pub kind: SliceKind,
    /// Its number among those of its kind.
    pub number: usize,
    /// Fewest and most training pairs of a member.
    pub bounds: Option<(u64, u64)>,
    /// Items in it, if it is one of items.
    pub items: Option<u64>,
    /// The test users with test pairs in it, by place, with how many these are.
    pub users: Vec<(u32, u32)>,
}

/// A model on a hold-out.
pub struct Measured {
    /// Its name.
    pub name: String,
    /// The names of its columns, the same for all models of a report.
    pub names: Vec<String>,
    /// Every metric at every cutoff, `[cutoff × metric][user]`, then every figure of lists by what is known of the items.
    pub columns: Vec<Vec<f32>>,
    /// Means at more list lengths.
    pub curve: Vec<CurvePoint>,
    /// What the lists look like, at every cutoff.
    pub lists: Vec<ListFigures>,
    /// The Lorenz curve of how often items are listed.
    pub exposure: Vec<f64>,
    /// Hits of the users of each slice, `[slice][user of the slice]`; empty for slices of users.
    pub hits: Vec<Vec<u32>>,
}

impl<'c> Evaluator<'c> {
    /// Nothing measured yet.
    pub fn new(config: &'c EvaluateConfig) -> Self {
        let mut cutoffs = config.cutoffs.clone();
        cutoffs.sort_unstable();
        cutoffs.dedup();
        Self { config, cutoffs, folds: Vec::new() }
    }

    /// Goes on to a hold-out.
    pub fn begin<'h>(&mut self, holdout: &'h Holdout) -> Ground<'h> {
        let ground = Ground::new(holdout);
        let train = &holdout.train;
        let popularity = ground.popularity.iter().map(|count| u64::from(*count));
        self.folds.push(Fold {
            split: holdout.split.clone(),
            training: [train.users.len(), train.items.len(), train.matrix.nnz()].map(|size| size as u64),
            pairs: [holdout.pairs(), holdout.dropped],
            users: holdout.test.iter().filter_map(|(row, _)| train.users.get(*row as usize)).copied().collect(),
            slices: ground.slices.iter().map(|cut| slice(cut, holdout)).collect(),
            training_exposure: lists::lorenz(popularity.collect()),
            models: Vec::new(),
        });
        ground
    }

    /// Measures a model on the hold-out that was begun last; lists are looked at by what is known of the items, too, if that
    /// is given, for all models or for none. Errors: [`crate::Error::Cancelled`].
    pub fn measure(
        &mut self,
        ground: &Ground<'_>,
        character: Option<&Character<'_>>,
        scorer: &dyn Scorer,
        progress: &dyn Progress,
    ) -> Result<()> {
        let holdout = ground.holdout;
        let longest = self.cutoffs.last().copied().unwrap_or(1);
        let rankings = rank::rank(holdout, scorer, longest, progress)?;
        let values = |metric: &dyn Metric, k: usize| -> Vec<f32> {
            let users = rankings.iter().zip(&holdout.test);
            users.map(|(ranked, (_, held))| metric.value(ranked.get(..k).unwrap_or(ranked), held, k) as f32).collect()
        };
        let mean = |metric: &dyn Metric, k| {
            let values = values(metric, k);
            values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len().max(1) as f64
        };
        let mut lengths: Vec<usize> = CURVE.into_iter().filter(|k| *k < longest).chain(self.cutoffs.clone()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let slice_k = answer_length(&self.cutoffs);
        let listed = lists::listed(&rankings, slice_k, ground.popularity.len());
        let point = |k| CurvePoint { k: k as u64, recall: mean(&Recall, k), ndcg: mean(&Ndcg, k) };
        let mut names = metric_names(&self.cutoffs);
        let mut columns: Vec<Vec<f32>> =
            self.cutoffs.iter().flat_map(|k| METRICS.map(|metric| values(metric, *k))).collect();
        if let Some(character) = character {
            names.extend(
                self.cutoffs.iter().flat_map(|k| character.names().iter().map(move |name| format!("{name}@{k}"))),
            );
            columns.extend(character.columns(&rankings, &self.cutoffs, holdout));
        }
        let Some(fold) = self.folds.last_mut() else { return Ok(()) };
        let slices = ground.slices.iter().zip(&fold.slices);
        let measured = Measured {
            name: scorer.name().to_owned(),
            names,
            columns,
            curve: lengths.into_iter().map(point).collect(),
            lists: lists::figures(&rankings, &self.cutoffs, ground),
            exposure: lists::lorenz(listed),
            hits: slices.map(|(cut, slice)| hits(cut, slice, &rankings, holdout, slice_k)).collect(),
        };
        fold.models.push(measured);
        Ok(())
    }

    /// The report over all hold-outs.
    pub fn report(&self) -> Report {
        assemble::report(&self.folds, &self.cutoffs, self.config)
    }
}

/// The names of the metrics, `[cutoff × metric]`.
pub fn metric_names(cutoffs: &[usize]) -> Vec<String> {
    cutoffs.iter().flat_map(|k| METRICS.map(|metric| format!("{}@{k}", metric.name()))).collect()
}

/// The length of what stands for an answer, the largest cutoff up to 20: that of slices, and of lists that are arranged.
pub fn answer_length(cutoffs: &[usize]) -> usize {
    let up_to = cutoffs.iter().copied().filter(|k| *k <= SLICE_K).max();
    up_to.or(cutoffs.iter().copied().min()).unwrap_or(1)
}

fn slice(cut: &Cut, holdout: &Holdout) -> FoldSlice {
    let (items, users) = match &cut.members {
        Members::Users(places) => {
            let held = |place: u32| holdout.test.get(place as usize).map_or(0, |(_, held)| held.len() as u32);
            (None, places.iter().map(|place| (*place, held(*place))).collect())
        }
        Members::Items(is_in) => {
            let within = |item: &u32| is_in.get(*item as usize).copied().unwrap_or(false);
            let held = holdout.test.iter().map(|(_, held)| held.iter().filter(|item| within(item)).count() as u32);
            let users = held.enumerate().filter(|(_, held)| *held > 0);
            let items = is_in.iter().filter(|within| **within).count() as u64;
            (Some(items), users.map(|(place, held)| (place as u32, held)).collect())
        }
    };
    FoldSlice { kind: cut.kind, number: cut.number, bounds: cut.bounds, items, users }
}

fn hits(cut: &Cut, slice: &FoldSlice, rankings: &[Vec<u32>], holdout: &Holdout, k: usize) -> Vec<u32> {
    let Members::Items(is_in) = &cut.members else { return Vec::new() };
    let of_user = |place: usize| {
        let (ranked, (_, held)) = rankings.get(place).zip(holdout.test.get(place))?;
        let is_hit =
            |item: &&u32| is_in.get(**item as usize).copied().unwrap_or(false) && held.binary_search(item).is_ok();
        Some(ranked.iter().take(k).filter(is_hit).count() as u32)
    };
    slice.users.iter().map(|(place, _)| of_user(*place as usize).unwrap_or(0)).collect()
}
