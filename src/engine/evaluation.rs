//! Measuring, beside serving: settings on events held out from training, snapshots on events that came after them.
//! Nothing is stored.

use std::time::Instant;

use super::fading::{self, Settled};
use super::learning::LastLoss;
use super::ranking::Ranking;
use super::{Contender, Engine, EvaluateOptions, Evaluation, SnapshotComparison, Trained, lock};
use crate::config::{EvaluateConfig, HalfLife, ModelKind, Split, TrainConfig};
use crate::error::{Error, Result};
use crate::eval::{self, Character, Evaluator, PopularityScorer, RatingMeter, Scorer};
use crate::features::{Draw, Holdout, LeaveLastOut, Log, PairFold, RatedSplit, Splitter, TimePoint, TimeSplit};
use crate::ingest;
use crate::progress::Progress;
use crate::recommend::{ArrangedScorer, ItemValues};
use crate::record::{CATEGORIES, Diversity, SnapshotId, Span, Timestamp};
use crate::snapshot::{Snapshot, SnapshotScorer, SnapshotState};
use crate::store::View;
use crate::train::{self, Model, ModelPredictor, ModelScorer, TrainingData};

/// What models are trained and measured on.
pub(super) struct Part<'a> {
    holdout: Holdout,
    /// The training part itself and when it ends, where it ends at a time: what a ranker is learned from.
    before: Option<(Log<'a>, Timestamp)>,
    /// The hold-outs inside the training part, where something is chosen by them.
    validation: Vec<Holdout>,
    /// The same split of the ratings, for models of ratings.
    rated: Option<RatedSplit>,
    faded: Faded,
}

/// How the events of a part fade.
struct Faded {
    half_life: Option<Span>,
    /// What finding it took.
    seconds: f64,
}

/// How events are split, and what is in no list.
#[derive(Clone, Copy)]
pub(super) struct Protocol {
    pub split: Split,
    /// Whether all that a user had an event with is left out, and not only what was liked.
    pub exclude_seen: bool,
}

impl Engine {
    /// Trains on one part of the events and measures on the other, over the whole catalogue: the configuration's
    /// settings, others to compare them with, and the popularity baseline, all on the same users. Errors:
    /// [`Error::NoData`] when a part is empty, [`Error::Invalid`] for settings that cannot be. Lists are looked at by what is
    /// known of the items, too.
    pub fn evaluate(&self, options: &EvaluateOptions, progress: &dyn Progress) -> Result<Evaluation> {
        let inner = &*self.inner;
        let contenders = contenders(options, options.train.as_ref().unwrap_or(&inner.config.train))?;
        let split = options.split.unwrap_or(inner.config.evaluate.split);
        split.validate()?;
        options.diversity.as_ref().map(Diversity::validate).transpose()?;
        let view = inner.store.view();
        let lists = Lists::new(&view, options.diversity.as_ref())?;
        let mut log = Log::read(&view, &inner.weights, progress)?;
        if contenders.iter().any(|contender| contender.train.model == ModelKind::Ratings) {
            log.know_raters();
        }
        log.order_ties(&view)?;
        let Some(file) = &options.test else {
            let ranking = inner.config.ranker.enabled.then(|| Ranking::new(self, &view));
            let protocol = Protocol { split, exclude_seen: options.exclude_seen };
            let parts = self.parts(&log, protocol, &contenders, inner.config.events.half_life, progress)?;
            return measure(parts, &contenders, &inner.config.evaluate, ranking.as_ref(), Some(&lists), progress);
        };
        let mut pairs = Vec::new();
        for (user, item) in ingest::pairs(file)? {
            pairs.push(view.user_id(&user)?.zip(view.item_id(&item)?));
        }
        let faded = self.fade_for(&mut log, &contenders, inner.config.events.half_life, progress)?;
        let train = log.interactions(log.newest().min(Timestamp::now()));
        let split = "given test pairs, everything stored is for training".into();
        // Pairs say nothing about ratings: all of these are for training.
        let rated = log.ratings().matrix(&train).map(|train| RatedSplit { train, test: Vec::new() });
        let holdout = Holdout::from_pairs(train, pairs, split);
        let holdout = if options.exclude_seen { holdout.and_then(|of| of.without_touched(&log)) } else { holdout };
        let validation = if is_measured(&contenders) { log.validation(progress)? } else { Vec::new() };
        let part = holdout.map(|holdout| Part { holdout, before: None, validation, rated, faded });
        drop(log);
        measure(std::iter::once(part), &contenders, &inner.config.evaluate, None, Some(&lists), progress)
    }

    /// The hold-outs of a log, made as they are asked for, each as events fade in its training part. A log without times is not
    /// split by them: errors [`Error::NoData`] for each user's last item of such a log. Of several parts those in which nothing
    /// can be measured are left out.
    pub(super) fn parts<'a>(
        &'a self,
        log: &'a Log<'a>,
        Protocol { split, exclude_seen }: Protocol,
        contenders: &'a [Contender],
        half_life: HalfLife,
        progress: &'a dyn Progress,
    ) -> Result<impl Iterator<Item = Result<Part<'a>>> + 'a> {
        let (folds, note) = match split {
            Split::LeaveLastOut if !log.has_times() => {
                return Err(Error::no_data(
                    "events have no times that would say which item was a user's last",
                    "split into parts drawn at random: --split folds:5",
                ));
            }
            Split::Time { .. } | Split::LeaveLastOut => (1, None),
            Split::Folds { folds } => {
                (folds, Some(format!("pairs drawn at random into {folds} parts, each is for testing once")))
            }
        };
        let is_timed = matches!(split, Split::Time { .. }) && log.has_times();
        let part = move |fold| {
            let splitter = splitter(log, split, fold);
            let (mut before, after) = log.split(&*splitter);
            let faded = self.fade_for(&mut before, contenders, half_life, progress)?;
            let mut holdout = before.measured_by(&after, splitter.describe())?;
            let rated = before.rated_split(&after, &holdout.train);
            if let Some(note) = &note {
                holdout.split.clone_from(note);
            } else if matches!(split, Split::Time { .. }) && !is_timed {
                holdout.split.insert_str(0, "events have no times to split by: ");
            }
            if exclude_seen {
                holdout = holdout.without_touched(&before)?;
            }
            let validation = if is_measured(contenders) { before.validation(progress)? } else { Vec::new() };
            let before = is_timed.then(|| (before, after.oldest()));
            Ok(Part { holdout, before, validation, rated, faded })
        };
        let is_kept = move |part: &Result<Part<'_>>| folds == 1 || !matches!(part, Err(Error::NoData { .. }));
        Ok((0..folds).map(part).filter(is_kept))
    }

    /// Leaves a log with the half-life that a training on it has under the first contender's settings.
    fn fade_for(
        &self,
        log: &mut Log<'_>,
        contenders: &[Contender],
        half_life: HalfLife,
        progress: &dyn Progress,
    ) -> Result<Faded> {
        let began = Instant::now();
        let half_life = match contenders.first() {
            Some(own) => self.fade(log, half_life, &own.train, progress)?.half_life,
            None => None,
        };
        Ok(Faded { half_life, seconds: began.elapsed().as_secs_f64() })
    }

    /// Leaves a log with the half-life that a training on it has.
    pub(super) fn fade(
        &self,
        log: &mut Log<'_>,
        half_life: HalfLife,
        train: &TrainConfig,
        progress: &dyn Progress,
    ) -> Result<Settled> {
        fading::settle(log, half_life, train, &self.inner.config.snapshot.gate_metric, progress)
    }

    /// Ranks the same users by two snapshots, each from the user's whole history up to the newest event that either was
    /// trained on, and looks for the events that came later: so neither has seen what it is asked. Items that a snapshot
    /// does not know come last in its lists. Errors: [`Error::NotFound`]; [`Error::Conflict`] while one is being built;
    /// [`Error::NoData`] when there are no such events, or a snapshot was built from files and has no time.
    pub fn compare_snapshots(
        &self,
        a: SnapshotId,
        b: SnapshotId,
        progress: &dyn Progress,
    ) -> Result<SnapshotComparison> {
        if a == b {
            return Err(Error::invalid("snapshot", format!("{a} is named twice, expected two snapshots")));
        }
        // A thread of the pool that waits for others takes up other work, which may want the lock of `load`.
        let loaded = [self.load(a)?, self.load(b)?];
        self.apart(|| self.compare(&loaded, progress))
    }

    fn compare(&self, [first, second]: &[Snapshot; 2], progress: &dyn Progress) -> Result<SnapshotComparison> {
        let inner = &*self.inner;
        let (a, b) = (first.manifest().id, second.manifest().id);
        let newest_event = trained_until(first)?.max(trained_until(second)?);
        let view = inner.store.view();
        let mut log = Log::read(&view, &inner.weights, progress)?;
        if [first, second].into_iter().any(|snapshot| snapshot.fold_in().mix().ratings.is_some()) {
            log.know_raters();
        }
        let (mut past, later) = log.split(&TimePoint(newest_event));
        let mut items = Vec::new();
        for item in first.items().iter().chain(second.items()) {
            if view.item_name(*item)?.is_some() {
                items.push(*item);
            }
        }
        let history = past.interactions(newest_event).with_items(items);
        let later = later.interactions(later.newest());
        let split = format!("events after {newest_event}, the newest that snapshots {a} and {b} were trained on");
        let holdout = Holdout::new(history, &later, split).map_err(|error| match error {
            Error::NoData { missing, .. } => Error::no_data(
                format!("nothing after {newest_event}, up to which snapshots {a} and {b} were trained, to compare them on: {missing}"),
                "wait for new events of known users, or compare settings on held-out events: savor evaluate --compare",
            ),
            other => other,
        })?;
        let popularity = PopularityScorer::new(&holdout.train.matrix);
        let ratings = past.ratings().matrix(&holdout.train);
        // To each as events fade there.
        let mut faded = |snapshot: &Snapshot| {
            past.fade(self.half_life_of(snapshot.manifest()));
            past.interactions(newest_event).with_items(holdout.train.items.clone())
        };
        let [of_a, of_b] = [faded(first), faded(second)];
        let [of_a, of_b] = [(first, &of_a), (second, &of_b)]
            .map(|(snapshot, history)| SnapshotScorer::new(snapshot, history, ratings.as_ref()));
        let report = eval::evaluate(&holdout, &[&popularity, &of_a, &of_b], &inner.config.evaluate, progress)?;
        Ok(SnapshotComparison { a, b, newest_event, report })
    }

    pub(super) fn load(&self, id: SnapshotId) -> Result<Snapshot> {
        // Files of a snapshot that is loaded are not removed meanwhile.
        let _switching = lock(&self.inner.switching);
        let manifest = self.snapshot(id)?;
        if manifest.state == SnapshotState::Building {
            return Err(Error::Conflict(format!("snapshot {id} is still being built")));
        }
        Snapshot::load(&self.inner.dir, manifest)
    }
}

fn trained_until(snapshot: &Snapshot) -> Result<Timestamp> {
    let manifest = snapshot.manifest();
    manifest.newest_event.ok_or_else(|| {
        Error::no_data(
            format!("snapshot {} does not say up to which event it was trained", manifest.id),
            "compare snapshots that `savor train` made",
        )
    })
}

/// The configuration's settings, then those to compare them with.
fn contenders(options: &EvaluateOptions, own: &TrainConfig) -> Result<Vec<Contender>> {
    let name = train::trainer(own.model)?.name().to_owned();
    let mut contenders = vec![Contender { name, train: own.clone() }];
    for contender in &options.compare {
        if contenders.iter().any(|other| other.name == contender.name) {
            return Err(Error::invalid("compare", format!("\"{}\" is there twice", contender.name)));
        }
        contenders.push(contender.clone());
    }
    for contender in &contenders {
        contender.train.validate().map_err(|error| error.within("train"))?;
    }
    Ok(contenders)
}

fn is_measured(contenders: &[Contender]) -> bool {
    contenders.iter().any(|contender| train::is_measured(&contender.train))
}

/// What makes one hold-out of a split; only folds have several.
pub(super) fn splitter(log: &Log<'_>, split: Split, fold: u64) -> Box<dyn Splitter> {
    match split {
        Split::Time { train } if log.has_times() => Box::new(TimeSplit { train }),
        Split::Time { .. } => Box::new(PairFold { draw: Draw::Test, folds: 5, fold: 0 }),
        Split::LeaveLastOut => Box::new(LeaveLastOut),
        Split::Folds { folds } => Box::new(PairFold { draw: Draw::Test, folds, fold }),
    }
}

/// By what lists are looked at, beside what is found.
pub(super) struct Lists<'a> {
    values: ItemValues,
    /// How they are arranged, if they are.
    diversity: Option<&'a Diversity>,
}

impl<'a> Lists<'a> {
    fn new(view: &View<'_>, diversity: Option<&'a Diversity>) -> Result<Self> {
        let keys = diversity.into_iter().flat_map(Diversity::keys).chain([CATEGORIES]);
        let mut values = ItemValues::new(keys.map(str::to_owned).collect());
        view.for_each_item(&mut |id, item| {
            values.add(id, &item);
            Ok(())
        })?;
        Ok(Self { values, diversity })
    }

    fn character<'m>(&self, model: &'m Model, holdout: &Holdout) -> Character<'m> {
        Character::new(&model.items, self.values.of_columns(CATEGORIES, holdout))
    }

    fn arranged<'m>(
        &'m self,
        scorer: &'m dyn Scorer,
        model: &'m Model,
        holdout: &'m Holdout,
        config: &EvaluateConfig,
    ) -> Option<ArrangedScorer<'m>> {
        let limit = eval::answer_length(&config.cutoffs);
        Some(ArrangedScorer::new(scorer, holdout, &model.items, &self.values, self.diversity?, limit))
    }
}

/// Trains and measures all contenders on every part, beside popularity. At least one contender. The first model of ratings
/// foretells those of every part. With `ranking` a ranker is learned on top of the first contender, from the training part
/// alone, and measured beside the others if it passes its gate. With `lists`, lists are looked at by the first contender's
/// vectors and by categories, and those of the first contender and its ranker are measured arranged, too, if that is wanted.
pub(super) fn measure<'a>(
    parts: impl Iterator<Item = Result<Part<'a>>>,
    contenders: &[Contender],
    config: &EvaluateConfig,
    ranking: Option<&Ranking<'_>>,
    lists: Option<&Lists<'_>>,
    progress: &dyn Progress,
) -> Result<Evaluation> {
    let nothing =
        || Error::no_data("no part of the split has test pairs of known users and items", "import more events");
    let (own, others) = contenders.split_first().ok_or_else(nothing)?;
    let mut evaluator = Evaluator::new(config);
    let mut trained: Vec<Trained> = Vec::new();
    let mut ratings: Option<(usize, RatingMeter)> = None;
    let mut ranker = None;
    for part in parts {
        let Part { holdout, before, validation, rated, faded } = part?;
        let matrix = &holdout.train.matrix;
        let ground = evaluator.begin(&holdout);
        let mut train = |place: usize, Contender { name, train }: &Contender| -> Result<(Model, TrainConfig)> {
            let last = LastLoss::new(progress);
            let began = Instant::now();
            let of_ratings = rated.as_ref().map(|split| &split.train);
            let data = TrainingData {
                matrix,
                trend: &holdout.train.trend,
                validation: &validation,
                ratings: of_ratings,
                warm: None,
            };
            let (model, settled) = train::train(&data, train, &last)?;
            let finding = if place == 0 { faded.seconds } else { 0.0 };
            let train_seconds = finding + began.elapsed().as_secs_f64();
            if let Some(split) = &rated
                && ratings.as_ref().is_none_or(|(of, _)| *of == place)
                && let Some(predictor) = ModelPredictor::new(&model, &split.train)
            {
                ratings.get_or_insert_with(|| (place, RatingMeter::default())).1.measure(split, &predictor);
            }
            match trained.get_mut(place) {
                Some(earlier) => earlier.train_seconds += train_seconds,
                None => trained.push(Trained {
                    name: name.clone(),
                    train: settled.clone(),
                    half_life: faded.half_life,
                    train_seconds,
                    loss: last.loss(),
                }),
            }
            Ok((model, settled))
        };
        let (model, settled) = train(0, own)?;
        let character = lists.map(|lists| lists.character(&model, &holdout));
        let mut measure = |scorer: &dyn Scorer| evaluator.measure(&ground, character.as_ref(), scorer, progress);
        measure(&PopularityScorer::new(matrix))?;
        let retrieval = ModelScorer::new(&own.name, &model, matrix);
        measure(&retrieval)?;
        for (place, contender) in (1..).zip(others) {
            measure(&ModelScorer::new(&contender.name, &train(place, contender)?.0, matrix))?;
        }
        let arranged = lists.and_then(|lists| lists.arranged(&retrieval, &model, &holdout, config));
        arranged.map(|scorer| measure(&scorer)).transpose()?;
        if let (Some(ranking), Some((log, at))) = (ranking, &before)
            && own.train.model != ModelKind::Ratings
        {
            let judged = ranking.learn(log, *at, &settled, config, progress)?;
            if let Some(learned) = &judged.ranker {
                let name = format!("{} + ranker", own.name);
                let scorer = ranking.scorer(name, learned, &model, log, &holdout, *at)?;
                measure(&scorer)?;
                let arranged = lists.and_then(|lists| lists.arranged(&scorer, &model, &holdout, config));
                arranged.map(|scorer| measure(&scorer)).transpose()?;
            }
            ranker = Some(judged.report);
        }
    }
    let mut trained = trained.into_iter();
    let ratings = ratings.and_then(|(_, meter)| meter.report(config));
    let own = trained.next().ok_or_else(nothing)?;
    Ok(Evaluation { trained: own, compared: trained.collect(), report: evaluator.report(), ratings, ranker })
}
