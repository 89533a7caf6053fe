//! Whether a ranker serves: it is learned and judged window after window, always on what came later, and has to order
//! that better than retrieval alone, beyond the paired interval over users.

use std::collections::BTreeMap;
use std::time::Instant;

use super::descent;
use super::gather::{Past, Posed, Window, gather};
use super::importance::importance;
use super::inputs::RETRIEVAL;
use super::learned::{Columns, LearnedRanker, RankerReport, Weights, names};
use super::network::{Network, Shape};
use super::question::Question;
use crate::config::{EvaluateConfig, RankerConfig, TrainConfig};
use crate::error::Result;
use crate::eval::{Column, Interval, Resampled};
use crate::features::table::FittedTable;
use crate::linalg::Matrix;
use crate::progress::{Progress, Quiet, Step};
use crate::record::UserId;

/// The list length of the gate's metric.
const CUTOFF: usize = 10;
/// Windows before the first that is judged: one to learn from, one to stop by.
const BEFORE: usize = 2;

/// A ranker that passed the gate, or none, and what was measured.
pub struct Judged {
    /// The ranker.
    pub ranker: Option<LearnedRanker>,
    /// The figures.
    pub report: RankerReport,
}

impl Judged {
    fn for_want_of_users(users: usize, config: &RankerConfig) -> Self {
        let wanted = config.fewest_users;
        Self::refused(format!(
            "{users} users came back in the windows of time that it would be judged on, {wanted} are needed"
        ))
    }

    /// No ranker, for want of data.
    pub fn refused(note: impl Into<String>) -> Self {
        Self { ranker: None, report: RankerReport { note: note.into(), ..RankerReport::default() } }
    }
}

/// Learns a ranker from windows of time, the earliest first, and judges it. `train` are the settled settings of retrieval:
/// a model is trained before each window. With too few windows or users there is none, and the report says so.
///
/// # Errors
/// Those of training, and [`crate::Error::Cancelled`].
pub fn learn(
    past: &Past<'_>,
    windows: &[Window<'_>],
    train: &TrainConfig,
    config: &RankerConfig,
    evaluate: &EvaluateConfig,
    progress: &dyn Progress,
) -> Result<Judged> {
    let began = Instant::now();
    let mut judged: Vec<UserId> = windows.iter().skip(BEFORE).flat_map(users).collect();
    judged.sort_unstable();
    judged.dedup();
    if judged.len() < config.fewest_users {
        return Ok(Judged::for_want_of_users(judged.len(), config));
    }
    progress.report(&Step::Training { part: "ranker".into() });
    // The trainings of its windows are not the training that is watched.
    let progress: &dyn Progress = &Quiet(progress);
    let (posed, fitted) = gather(past, windows, train, config, progress)?;
    let (posed, columns) = live(posed, &fitted);
    let Some(base) = columns.input_of(RETRIEVAL) else {
        return Ok(Judged::refused("retrieval scores all items alike"));
    };
    let begin = |hidden: &[usize]| Network::new(Shape::new(columns.len(), hidden), base, config.seed);
    let mut trials = [Trial::new("linear", &[]), Trial::new("network", &config.hidden)];
    for trial in &mut trials {
        for judged in BEFORE..posed.len() {
            let earlier = questions(posed.iter().take(judged - 1), config);
            let later: Vec<Question> = posed.get(judged - 1).into_iter().flatten().filter_map(asked).collect();
            if earlier.is_empty() || later.is_empty() {
                continue;
            }
            let learned = descent::learn(begin(trial.hidden), &earlier, &later, config, progress)?;
            trial.judge(learned, posed.get(judged).map(Vec::as_slice).unwrap_or_default(), judged);
        }
    }
    let [linear, network] = &trials;
    let best = if network.mean() > linear.mean() { network } else { linear };
    let Some((network_of_last, last)) = &best.last else {
        return Ok(Judged::refused("no window has questions to learn from"));
    };
    // Of those who came back some had nothing to find, and not everybody is asked.
    if best.of_users.len() < config.fewest_users {
        return Ok(Judged::for_want_of_users(best.of_users.len(), config));
    }
    let interval = best.difference(evaluate);
    let epochs = best.epochs();
    let is_used = interval.low > 0.0 && epochs > 0;
    let verdict = if is_used {
        "orders held-out time better than retrieval"
    } else {
        "does not order held-out time better than retrieval beyond the interval"
    };
    let all = questions(posed.iter(), config);
    let least_pairs = config.least_pairs.unwrap_or_else(|| usual_pairs(&posed));
    let of_last: Vec<(&Question, usize)> =
        posed.get(*last).into_iter().flatten().map(|posed| (&posed.question, posed.held)).collect();
    let names = names(&fitted);
    let features: Vec<String> = columns.all().filter_map(|place| names.get(place).cloned()).collect();
    let report = RankerReport {
        is_used,
        note: format!("{verdict}: NDCG@{CUTOFF} {:+.4} ({:+.4} to {:+.4})", interval.mean, interval.low, interval.high),
        model: best.name.into(),
        questions: all.len() as u64,
        shown: posed.iter().flatten().filter(|posed| posed.whole.is_some()).count() as u64,
        users: best.of_users.len() as u64,
        ndcg_retrieval: mean(best.of_users.values().map(|of| of.retrieval.mean())),
        ndcg_linear: linear.mean(),
        ndcg_network: network.mean(),
        difference: interval.mean,
        low: interval.low,
        high: interval.high,
        epochs: epochs as u64,
        least_pairs: least_pairs as u64,
        seconds: 0.0,
        importance: importance(network_of_last, &features, &of_last, config.seed),
    };
    let ranker = match is_used {
        true => {
            let config = RankerConfig { epochs, ..config.clone() };
            let network = descent::learn(begin(best.hidden), &all, &[], &config, progress)?.network;
            Some(LearnedRanker::new(fitted, Weights { network, columns, least_pairs }))
        }
        false => None,
    };
    Ok(Judged { ranker, report: RankerReport { seconds: began.elapsed().as_secs_f64(), ..report } })
}

/// So many liked items, or more, were known of all but the lowest twentieth of those it learns from.
fn usual_pairs(posed: &[Vec<Posed>]) -> usize {
    let taken = posed.iter().flatten().filter(|posed| !posed.question.taken.is_empty());
    let mut pairs: Vec<usize> = taken.map(|posed| posed.pairs).collect();
    pairs.sort_unstable();
    pairs.get(pairs.len() / 20).copied().unwrap_or(0)
}

fn users<'a>(window: &Window<'a>) -> impl Iterator<Item = UserId> + 'a {
    let holdout = window.holdout;
    let train = &holdout.train;
    holdout.test.iter().filter_map(|(row, _)| train.users.get(*row as usize)).copied()
}

/// The columns that are not the same in all rows, in the order in which a network reads them.
fn live(posed: Vec<Vec<Posed>>, fitted: &FittedTable) -> (Vec<Vec<Posed>>, Columns) {
    let rows = || {
        let widest = posed.iter().flatten().map(|posed| &posed.whole.as_ref().unwrap_or(&posed.question).rows);
        widest.flat_map(|rows| (0..rows.rows()).map(|row| rows.row(row)))
    };
    let mut varies: Vec<bool> = Vec::new();
    if let Some(first) = rows().next() {
        varies.resize(first.len(), false);
        for row in rows() {
            varies.iter_mut().zip(row.iter().zip(first)).for_each(|(varies, (a, b))| *varies |= (a - b).abs() > 1e-6);
        }
    }
    let columns = Columns::of(fitted, |place| varies.get(place).copied().unwrap_or(false));
    let narrowed = |question: Question| {
        let from = &question.rows;
        let mut rows = Matrix::zeros(from.rows(), columns.len());
        if columns.len() > 0 {
            for row in 0..from.rows() {
                let values = columns.all().filter_map(|place| from.row(row).get(place));
                rows.row_mut(row).iter_mut().zip(values).for_each(|(slot, value)| *slot = *value);
            }
        }
        Question::whole(rows, question.taken)
    };
    let narrow = |posed: Posed| {
        let (question, whole) = (narrowed(posed.question), posed.whole.map(narrowed));
        Posed { question, whole, ..posed }
    };
    (posed.into_iter().map(|of| of.into_iter().map(narrow).collect()).collect(), columns)
}

/// Questions from which something can be learned: with a candidate that was taken.
fn asked(posed: &Posed) -> Option<Question> {
    (!posed.question.taken.is_empty()).then(|| posed.question.clone())
}

fn questions<'a>(windows: impl Iterator<Item = &'a Vec<Posed>>, config: &RankerConfig) -> Vec<Question> {
    let all = windows.flatten().filter(|posed| !posed.question.taken.is_empty());
    all.flat_map(|posed| std::iter::once(&posed.question).chain(&posed.whole))
        .enumerate()
        .map(|(number, question)| question.sampled(config.negatives, config.seed + number as u64))
        .collect()
}

/// NDCG of candidates by their scores, equal ones in the order given; `held` is the number of all that was taken.
pub fn ndcg(scores: &[f32], question: &Question, held: usize) -> f64 {
    let score = |place: &u32| scores.get(*place as usize).copied().unwrap_or(f32::NEG_INFINITY);
    let mut order: Vec<u32> = (0..question.rows.rows() as u32).collect();
    order.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let is_taken = |item: &u32| question.taken.iter().any(|(taken, _)| taken == item);
    let found = order.iter().take(CUTOFF).enumerate().filter(|(_, item)| is_taken(item));
    let ideal: f64 = (0..held.min(CUTOFF)).map(gain).sum();
    if ideal > 0.0 { found.map(|(place, _)| gain(place)).sum::<f64>() / ideal } else { 0.0 }
}

/// One kind of network on every window that is judged.
struct Trial<'a> {
    name: &'static str,
    hidden: &'a [usize],
    of_users: BTreeMap<UserId, OfUser>,
    epochs: Vec<usize>,
    /// The last network, and the window that it was judged on.
    last: Option<(Network, usize)>,
}

#[derive(Default)]
struct OfUser {
    retrieval: Sum,
    ranked: Sum,
}

#[derive(Default)]
struct Sum {
    sum: f64,
    count: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }
}

impl<'a> Trial<'a> {
    fn new(name: &'static str, hidden: &'a [usize]) -> Self {
        Self { name, hidden, of_users: BTreeMap::new(), epochs: Vec::new(), last: None }
    }

    fn judge(&mut self, learned: descent::Learned, posed: &[Posed], window: usize) {
        for Posed { user, question, held, .. } in posed {
            let n = question.rows.rows();
            let retrieval: Vec<f32> = (0..n).map(|place| -(place as f32)).collect();
            let mut request = learned.network.request(&[]);
            let ranked: Vec<f32> = (0..n).map(|place| request.score(question.rows.row(place))).collect();
            let of_user = self.of_users.entry(*user).or_default();
            of_user.retrieval.add(ndcg(&retrieval, question, *held));
            of_user.ranked.add(ndcg(&ranked, question, *held));
        }
        self.epochs.push(learned.epochs);
        self.last = Some((learned.network, window));
    }

    fn mean(&self) -> f64 {
        mean(self.of_users.values().map(|of| of.ranked.mean()))
    }

    /// The median number of passes after which later questions were ordered best.
    fn epochs(&self) -> usize {
        let mut epochs = self.epochs.clone();
        epochs.sort_unstable();
        epochs.get(epochs.len() / 2).copied().unwrap_or(0)
    }

    fn difference(&self, config: &EvaluateConfig) -> Interval {
        let differences = self.of_users.values().map(|of| (of.ranked.mean() - of.retrieval.mean()) as f32).collect();
        Resampled::of(&[Column::Mean(differences)], self.of_users.len(), config).interval(0)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}
