//! What a caller may bring to training: where to begin, and an eye on how it goes.

use crate::linalg::Matrix;

/// Rows to begin with, those of an earlier model for instance; what is not known begins as if there were nothing. A row
/// of another length counts as unknown.
#[derive(Clone, Copy)]
pub struct Warm<'a> {
    /// The factors of a user, `[dim]`, by row of the matrix.
    pub user: &'a dyn Fn(usize) -> Option<&'a [f32]>,
    /// The factors of an item, `[dim]`, by column of the matrix.
    pub item: &'a dyn Fn(usize) -> Option<&'a [f32]>,
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
