//! What a caller may bring to training: where to begin, and an eye on how it goes.

use crate::linalg::Matrix;

/// Where to begin: at the factors of an earlier model for instance.
#[derive(Clone, Copy, Debug)]
pub struct Warm<'a> {
    /// Of the items, `[n_items]`, in principal axes, the longest first: a longer one is cut off, a shorter one goes on at random.
    /// An item that is not known begins as if there were nothing. Users need none: they are solved first.
    pub items: &'a [Option<Vec<f32>>],
    /// An epoch that changes the loss by no more than this part of it is the last, if most items are known: what the last
    /// epoch of a cold training gained is not worth more here.
    pub enough: Option<f64>,
}

/// What an observer thinks of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The best until now: this model is kept.
    Best,
    /// Not the best, go on.
    GoOn,
    /// Not the best, and enough: the best one is the model.
    Stop,
}

/// Judges the model after each epoch, on data of its own for instance.
pub trait Observer: Send {
    /// `users`, `[n_users, dim]`, are the fold-in solutions of `items`, `[n_items, dim]`; `epoch` counts from 1.
    fn epoch(&mut self, epoch: usize, users: &Matrix, items: &Matrix) -> Verdict;
}

/// What a caller brings; nothing by default.
#[derive(Default)]
pub struct Guide<'a> {
    /// Where to begin; without it, near zero at random.
    pub warm: Option<Warm<'a>>,
    /// Asked after each epoch; without it, all epochs are gone through and the last one's model counts.
    pub observer: Option<&'a mut dyn Observer>,
}
