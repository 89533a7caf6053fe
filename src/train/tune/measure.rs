//! One rung of one trial: trains the candidate on each hold-out's training part and measures its test users.
//!
//! Where one hold-out has thousands of users, a blend weighs its parts on some of the users that it is measured on: that
//! flatters it by very little. Where there are several hold-outs of few users, each is measured under the weights that were
//! found on the others.

use std::time::Instant;

use super::course::Course;
use super::space::Space;
use super::trial::{Candidate, Measured};
use crate::error::{Error, Result};
use crate::eval::{MetricAt, user_values};
use crate::features::Csr;
use crate::progress::{Progress, Quiet};
use crate::train::model::ModelScorer;
use crate::train::trainer::{is_weighed, train_each};

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
    let config_for = |matrix: &Csr| {
        let mut config = space.config(candidate, matrix);
        // The lane's threads.
        config.threads = 0;
        config
    };
    let holdouts = course.holdouts(rung);
    let is_weighed = holdouts.first().is_some_and(|holdout| is_weighed(&config_for(&holdout.train.matrix)));
    // Weights that are found on the other hold-outs change with their number.
    let shared = below.filter(|_| !is_weighed).map_or(0, |_| course.shared(rung));
    let mut values = below.filter(|_| shared > 0).map_or_else(Vec::new, |below| below.values.clone());
    let quiet = Quiet(progress);
    let trained = train_each(holdouts.get(shared..).unwrap_or_default(), &config_for, &quiet, &mut |holdout, model| {
        let scorer = ModelScorer::new("candidate", model, &holdout.train.matrix);
        values.extend(user_values(holdout, &scorer, metric, &quiet)?);
        Ok(())
    });
    let failure = match trained {
        Ok(()) => None,
        Err(error @ (Error::Invalid { .. } | Error::NoData { .. })) => {
            values.clear();
            Some(error.to_string())
        }
        Err(error) => return Err(error),
    };
    Ok(Measured { values, failure, seconds: began.elapsed().as_secs_f64() })
}
