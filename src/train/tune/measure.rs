//! One rung of one trial: trains the candidate on each hold-out's training part and measures its test users.
//!
//! A blend weighs its parts on the very users that it is measured on. That flatters it, by a few weights fitted to
//! thousands of lists; the figure that counts is the one of a test part that no search has seen.

use std::time::Instant;

use super::course::Course;
use super::space::Space;
use super::trial::{Candidate, Measured};
use crate::error::{Error, Result};
use crate::eval::{MetricAt, user_values};
use crate::features::Holdout;
use crate::progress::{Progress, Step};
use crate::train::model::{ModelScorer, TrainingData};
use crate::train::trainer::train;

/// Measures a candidate on a rung; `below` is what the rung below found, whose hold-outs need not be measured again.
///
/// # Errors
/// [`Error::Cancelled`]. A candidate that cannot be trained is measured as failed.
pub fn measure(
    space: &Space,
    course: &Course,
    metric: MetricAt,
    candidate: &Candidate,
    rung: usize,
    below: Option<&Measured>,
    progress: &dyn Progress,
) -> Result<Measured> {
    let began = Instant::now();
    let shared = below.map_or(0, |_| course.shared(rung));
    let mut values = below.filter(|_| shared > 0).map_or_else(Vec::new, |below| below.values.clone());
    let mut failure = None;
    for holdout in course.holdouts(rung).iter().skip(shared) {
        match on_holdout(space, metric, candidate, holdout, &Quiet(progress)) {
            Ok(of_users) => values.extend(of_users),
            Err(error @ (Error::Invalid { .. } | Error::NoData { .. })) => {
                failure = Some(error.to_string());
                values.clear();
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Measured { values, failure, seconds: began.elapsed().as_secs_f64() })
}

fn on_holdout(
    space: &Space,
    metric: MetricAt,
    candidate: &Candidate,
    holdout: &Holdout,
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let matrix = &holdout.train.matrix;
    let mut config = space.config(candidate, matrix);
    // The lane's threads.
    config.threads = 0;
    let data = TrainingData { matrix, validation: Some(holdout), ratings: None, warm: None };
    let (model, _) = train(&data, &config, progress)?;
    user_values(holdout, &ModelScorer::new("candidate", &model, matrix), metric, progress)
}

/// Passes on that the work is to stop, and no steps: those of trials side by side would be a jumble.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn report(&self, _: &Step) {}

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}
