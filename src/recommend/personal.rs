//! The main question. The hot path: read the visitor's history, take or solve the user's vector, add up the lists of past
//! items, find the best of both with the policy inside, and among the items that are newer than the index; put them in
//! order; fill up with what is popular. Cost for a known user: one prefix
//! read of the history, one point read of the vector (or one d × d solve), an addition for each entry of the lists, one
//! index search or two.

use std::time::Instant;

use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::Context;
use super::allowed::Allowed;
use super::arrange::Bounded;
use super::assemble::Assembly;
use super::best;
use super::places::Placed;
use super::plan::Plan;
use super::taste::Taste;
use super::visitor::Visitor;
use crate::error::Result;
use crate::index::Ask;
use crate::linalg::Matrix;
use crate::record::{Answer, Degraded, Source, SourceKind};

/// Answers with the visitor's best items. Never fails for want of a model, of history or of a known id: it falls back to
/// popular items and says why.
pub fn recommend(context: &Context<'_>, plan: &Plan<'_>) -> Result<Answer> {
    let asked = Asked::new(context, plan)?;
    let Ok(taste) = &asked.taste else { return asked.answer(Vec::new()) };
    let (begun, index) = (Instant::now(), taste.snapshot.index());
    let (best, searched) = best::best(index, &taste.vector, &taste.lists, asked.ask());
    let trace = plan.query.explain.then(|| {
        let us = begun.elapsed().as_secs_f64() * 1e6;
        searched.trace(index.plan(), index.vectors().len(), asked.ask().within.map(RoaringBitmap::len), us)
    });
    Ok(Answer { search: trace, ..asked.answer(best)? })
}

/// Answers many questions, in their order, each as [`recommend`] would. All processors take part, and the questions share
/// their way through the index.
pub fn recommend_many(context: &Context<'_>, plans: &[Plan<'_>]) -> Result<Vec<Answer>> {
    let asked = plans.par_iter().map(|plan| Asked::new(context, plan)).collect::<Result<Vec<_>>>()?;
    let tastes: Vec<_> = asked.iter().filter_map(|asked| Some((asked, asked.taste.as_ref().ok()?))).collect();
    let best = match context.snapshot {
        Some(snapshot) => {
            let mut vectors = Matrix::zeros(tastes.len(), snapshot.vectors().dim());
            for (at, (_, taste)) in tastes.iter().enumerate() {
                vectors.row_mut(at).copy_from_slice(&taste.vector);
            }
            let of = |at: usize| (&tastes[at].1.lists, tastes[at].0.ask());
            best::best_of_many(snapshot.index(), vectors.as_rows(), of)
        }
        None => Vec::new(),
    };
    let mut best = best.into_iter();
    let best: Vec<_> = asked.iter().map(|asked| asked.taste.as_ref().ok().and_then(|_| best.next())).collect();
    asked.into_par_iter().zip(best).map(|(asked, best)| asked.answer(best.unwrap_or_default())).collect()
}

/// A question, with all that is known before the index is searched.
struct Asked<'a> {
    context: &'a Context<'a>,
    plan: &'a Plan<'a>,
    visitor: Visitor,
    allowed: Allowed<'a>,
    taste: std::result::Result<Taste<'a>, Degraded>,
    bounded: Bounded<'a>,
    placed: Placed,
}

impl<'a> Asked<'a> {
    fn new(context: &'a Context<'a>, plan: &'a Plan<'a>) -> Result<Self> {
        let query = &*plan.query;
        let user = query.user.as_deref();
        let visit = (&query.session[..], &query.context);
        let visitor = Visitor::gather(context, user, visit, &query.exclude_seen, query.explain)?;
        let mut allowed = Allowed::new(context, query.filter.as_ref(), query.category.as_deref())?
            .without(visitor.seen.iter().copied())
            .without(plan.left_out())
            .without_named(&query.exclude_items)?;
        let taste = Taste::of(context, &visitor)?;
        let mut bounded = Bounded::new(context.catalog, plan.bounds());
        let placed = Placed::new(context, plan, &|item| allowed.allows_item(item), &mut bounded)?;
        allowed.exclude(placed.items());
        Ok(Self { context, plan, visitor, allowed, taste, bounded, placed })
    }

    fn ask(&self) -> Ask<'_> {
        Ask::best(self.context.candidates(self.plan)).allow(&self.allowed).within(self.allowed.matching_rows())
    }

    /// The answer with the best rows, filled up with what is popular.
    fn answer(self, best: Vec<(u32, f32)>) -> Result<Answer> {
        let Self { context, plan, visitor, allowed, taste, bounded, placed } = self;
        let known = taste.as_ref().ok();
        let mut assembly = Assembly::new(context, plan, &visitor, allowed, known, (placed, bounded))?;
        let sources = plan.sources();
        let is_personal = sources.is_empty() || sources.iter().any(|source| source.source == SourceKind::Personal);
        let mut degraded = match &taste {
            _ if !is_personal => None,
            Ok(taste) => (taste.source() == Source::Profile).then_some(Degraded::NoHistory),
            Err(reason) => Some(*reason),
        };
        match known {
            _ if !sources.is_empty() => assembly.by_shares(sources, best)?,
            Some(taste) => assembly.by_configuration(taste, best)?,
            None => {}
        }
        if assembly.missing() > 0 {
            degraded = degraded.or(Some(Degraded::FewCandidates));
            assembly.fill()?;
        }
        if known.is_some() && is_personal && plan.lacks_ranker() && context.has_ranker() {
            degraded = Some(Degraded::OverloadedUnranked);
        }
        let scenario = plan.applied().cloned();
        let evidence = known.filter(|_| is_personal).and_then(Taste::evidence);
        Ok(Answer { scenario, evidence, ..context.answer(assembly.items()?, degraded) })
    }
}
