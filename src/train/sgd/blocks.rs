//! Threads that never touch the same row: distributed stochastic gradient descent by strata (Gemulla, Nijkamp, Haas &
//! Sismanis, KDD 2011). Users and items are dealt into B blocks each. Stratum s pairs user block p with item block
//! (p + s) mod B, so its B cells share no row and are worked on at once; B strata are an epoch and see every pair once.
//!
//! B depends on the data alone, and every cell has a random generator of its own: the result is the same bit for bit
//! whatever the number of threads. The negatives of a cell come from its own item block. That would tie each item to
//! always the same rivals, so items are dealt anew at random before each epoch: over epochs each item meets each other
//! with the same chance, and [`Cell::chance`] is what the losses need to weigh a draw as if it were from the whole
//! catalogue.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::sampling::Sampler;
use crate::features::Csr;
use crate::linalg::Matrix;

/// Most blocks on a side: so many cells can be in work at once.
const MAX_BLOCKS: usize = 8;
/// A block of items has at least so many to draw negatives from.
const MIN_ITEMS: usize = 32;

/// The number of blocks on a side for so many users and items.
pub fn block_count(n_users: usize, n_items: usize) -> usize {
    (n_items / MIN_ITEMS).min(n_users).clamp(1, MAX_BLOCKS)
}

/// Rows of one side that belong together.
#[derive(Clone, Debug)]
pub struct Block {
    /// Which rows of the side.
    pub ids: Vec<u32>,
    /// Their numbers, `[ids, dim]`.
    pub rows: Matrix,
    /// For each row the mean square of all gradients until now, summed up (the step sizes of Adagrad).
    pub squares: Vec<f32>,
}

/// One side in blocks.
#[derive(Clone, Debug)]
pub struct Side {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// For each row of the side its block and its place there.
    places: Vec<(u32, u32)>,
}

impl Side {
    /// All rows, `[n, dim]`, in `count` blocks of nearly the same size, dealt at random.
    pub fn new(rows: &Matrix, count: usize, random: &mut ChaCha8Rng) -> Self {
        let whole =
            Block { ids: (0..rows.rows() as u32).collect(), squares: vec![0.0; rows.rows()], rows: rows.clone() };
        let mut side = Self { blocks: vec![whole], places: vec![(0, 0); rows.rows()] };
        for (row, place) in side.places.iter_mut().enumerate() {
            place.1 = row as u32;
        }
        side.deal(count, random);
        side
    }

    /// Deals all rows anew.
    pub fn deal(&mut self, count: usize, random: &mut ChaCha8Rng) {
        let mut order: Vec<u32> = (0..self.places.len() as u32).collect();
        order.shuffle(random);
        let dim = self.blocks.first().map_or(1, |block| block.rows.dim());
        let mut blocks = Vec::with_capacity(count);
        let mut places = vec![(0, 0); order.len()];
        for ids in order.chunks(order.len().div_ceil(count).max(1)) {
            let mut block = Block {
                ids: ids.to_vec(),
                rows: Matrix::zeros(ids.len(), dim),
                squares: Vec::with_capacity(ids.len()),
            };
            for (to, &id) in ids.iter().enumerate() {
                let (from, row) = self.places[id as usize];
                let from = &self.blocks[from as usize];
                block.rows.row_mut(to).copy_from_slice(from.rows.row(row as usize));
                block.squares.push(from.squares[row as usize]);
                places[id as usize] = (blocks.len() as u32, to as u32);
            }
            blocks.push(block);
        }
        *self = Self { blocks, places };
    }

    /// All rows in their order, `[n, dim]`.
    pub fn collect(&self) -> Matrix {
        let dim = self.blocks.first().map_or(1, |block| block.rows.dim());
        let mut rows = Matrix::zeros(self.places.len(), dim);
        for block in &self.blocks {
            for (from, &id) in block.ids.iter().enumerate() {
                rows.row_mut(id as usize).copy_from_slice(block.rows.row(from));
            }
        }
        rows
    }
}

/// A preference by places within the blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Place of the user.
    pub user: u32,
    /// Place of the item.
    pub item: u32,
    /// The confidence over the mean one.
    pub weight: f32,
}

/// The pairs of all cells, `[user blocks · item blocks]`, user block by user block; those of a cell by user.
pub fn cells(matrix: &Csr, users: &Side, items: &Side, mean_weight: f32) -> Vec<Vec<Pair>> {
    let count = items.blocks.len();
    let mut cells = vec![Vec::new(); users.blocks.len() * count];
    for block in &users.blocks {
        for (user, &row) in block.ids.iter().enumerate() {
            let (ids, weights) = matrix.row(row as usize);
            for (&id, &weight) in ids.iter().zip(weights) {
                let (of_user, _) = users.places[row as usize];
                let (of_item, item) = items.places[id as usize];
                cells[of_user as usize * count + of_item as usize].push(Pair {
                    user: user as u32,
                    item,
                    weight: weight / mean_weight,
                });
            }
        }
    }
    cells
}

/// What one thread works on: the pairs of a block of users with a block of items.
pub struct Cell<'a> {
    /// The users.
    pub users: &'a mut Block,
    /// The items.
    pub items: &'a mut Block,
    /// Draws negatives among the items.
    pub sampler: &'a Sampler,
    /// The pairs, by user.
    pub pairs: &'a [Pair],
    /// How likely an item is in the block of another one.
    pub chance: f64,
    /// The cell's own.
    pub random: ChaCha8Rng,
}

/// How likely one of `n_items` is among the other items of a block of `block`.
pub fn chance(block: usize, n_items: usize) -> f64 {
    (block.saturating_sub(1)).max(1) as f64 / (n_items.saturating_sub(1)).max(1) as f64
}

/// The generator number `stream` of a seed.
pub fn random(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}
