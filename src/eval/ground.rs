//! What is known of a hold-out before any model: how popular items are, who has each of them, and how users and items
//! are cut into slices.

use super::lists::item_counts;
use super::report::SliceKind;
use crate::features::Holdout;

/// Tenths of the catalogue.
pub const DECILES: usize = 10;
/// Quarters of the users.
const QUARTILES: usize = 4;
/// Users with at most so many training pairs are new.
pub const NEW_USER_PAIRS: usize = 5;
/// The head of the catalogue has this share of all training pairs.
const HEAD_SHARE: f64 = 0.8;

/// A hold-out, looked at once for all models.
pub struct Ground<'h> {
    /// The hold-out.
    pub holdout: &'h Holdout,
    /// Number of training users of each item, `[items]`.
    pub popularity: Vec<u32>,
    /// The training users of each item, one item after the other.
    rows: Vec<u32>,
    /// Where each item's end.
    ends: Vec<usize>,
    /// The slices, those of users first.
    pub slices: Vec<Cut>,
}

/// A slice of a hold-out.
pub struct Cut {
    /// How it was cut.
    pub kind: SliceKind,
    /// Its number among those of its kind, from 1.
    pub number: usize,
    /// Fewest and most training pairs of a member, if there is one.
    pub bounds: Option<(u64, u64)>,
    /// Who is in it.
    pub members: Members,
}

/// Who is in a slice.
pub enum Members {
    /// Places in the hold-out's list of test users, ascending.
    Users(Vec<u32>),
    /// Whether an item is in it, by column.
    Items(Vec<bool>),
}

impl<'h> Ground<'h> {
    /// Cost: one pass over the training pairs, one sort of the items and one of the test users.
    pub fn new(holdout: &'h Holdout) -> Self {
        let matrix = &holdout.train.matrix;
        let popularity = item_counts(matrix);
        let mut ends: Vec<usize> = popularity
            .iter()
            .scan(0, |start, count| {
                let own = *start;
                *start += *count as usize;
                Some(own)
            })
            .collect();
        let mut rows = vec![0; matrix.nnz()];
        for row in 0..matrix.n_rows() {
            for column in matrix.row(row).0 {
                if let Some(end) = ends.get_mut(*column as usize) {
                    if let Some(slot) = rows.get_mut(*end) {
                        *slot = row as u32;
                    }
                    *end += 1;
                }
            }
        }
        let mut slices = of_users(holdout);
        slices.extend(of_items(&popularity));
        Self { holdout, popularity, rows, ends, slices }
    }

    /// The rows of an item's training users, ascending.
    pub fn users_of(&self, column: u32) -> &[u32] {
        let column = column as usize;
        let start = column.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(column).and_then(|end| self.rows.get(start..*end)).unwrap_or(&[])
    }
}

fn of_users(holdout: &Holdout) -> Vec<Cut> {
    let pairs = |row: u32| holdout.train.matrix.row(row as usize).0.len();
    let counts: Vec<usize> = holdout.test.iter().map(|(row, _)| pairs(*row)).collect();
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let cut = |kind, number, within: &dyn Fn(usize) -> bool| {
        let members = || counts.iter().enumerate().filter(|(_, count)| within(**count));
        Cut {
            kind,
            number,
            bounds: bounds(members().map(|(_, count)| *count as u64)),
            members: Members::Users(members().map(|(place, _)| place as u32).collect()),
        }
    };
    // The most that a user of a quarter has; equals stay together, so that quarters may be of unequal size.
    let most = |quarter: usize| match quarter {
        0 => None,
        QUARTILES => Some(usize::MAX),
        _ => sorted.get((sorted.len() * quarter / QUARTILES).saturating_sub(1)).copied(),
    };
    let quarter = |number: usize| {
        let (over, most) = (most(number - 1), most(number).unwrap_or(0));
        cut(SliceKind::UserActivity, number, &|count| over.is_none_or(|over| count > over) && count <= most)
    };
    let mut cuts: Vec<Cut> = (1..=QUARTILES).map(quarter).collect();
    cuts.push(cut(SliceKind::NewUsers, 1, &|count| count <= NEW_USER_PAIRS));
    cuts
}

/// Items of the same popularity are told apart by their number, so that each tenth is one.
fn of_items(popularity: &[u32]) -> Vec<Cut> {
    let mut order: Vec<usize> = (0..popularity.len()).collect();
    let count = |column: usize| popularity.get(column).copied().unwrap_or(0);
    order.sort_by_key(|column| (count(*column), *column));
    let cut = |kind, number, columns: &[usize]| {
        let mut is_in = vec![false; popularity.len()];
        columns.iter().filter_map(|column| is_in.get_mut(*column).map(|slot| *slot = true)).for_each(drop);
        let bounds = bounds(columns.iter().map(|column| u64::from(count(*column))));
        Cut { kind, number, bounds, members: Members::Items(is_in) }
    };
    let end = |decile: usize| order.len() * decile / DECILES;
    let decile = |number: usize| order.get(end(number - 1)..end(number)).unwrap_or(&[]);
    let mut cuts: Vec<Cut> =
        (1..=DECILES).map(|number| cut(SliceKind::ItemPopularity, number, decile(number))).collect();
    let total: f64 = popularity.iter().map(|count| f64::from(*count)).sum();
    let mut above = 0.0;
    let is_head = |column: &&usize| {
        let head = above < HEAD_SHARE * total;
        above += f64::from(count(**column));
        head
    };
    let head = order.iter().rev().take_while(is_head).count();
    cuts.push(cut(SliceKind::LongTail, 1, order.get(..order.len() - head).unwrap_or(&[])));
    cuts
}

fn bounds(counts: impl Iterator<Item = u64> + Clone) -> Option<(u64, u64)> {
    counts.clone().min().zip(counts.max())
}
