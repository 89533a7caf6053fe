//! Systems `(diag(d) + Σ w y yᵀ) x = b`: a diagonal updated by the outer products of a few rows, which are never formed.
//! Conjugate gradient, preconditioned by the diagonal: where the diagonal is the spectrum that the rows come from, two
//! steps are nearly the solution (the preconditioned matrix is the unit matrix plus one of low rank). A step touches each row
//! once, four rows at a time, for both of its products.

#![allow(unsafe_code)]

use super::dispatch::{fma, kernel};
use super::lanes::{LANES, TOGETHER, add_four, four_dots, pack, prefetch, row_square, unpack, weighted_square};
use super::matrix::Rows;

/// The matrix `diag(diagonal + shift) + Σ w y yᵀ`.
#[derive(Clone, Copy, Debug)]
pub struct Updated<'a> {
    /// `[dim]`; with the shift added, every number is positive.
    pub diagonal: &'a [f32],
    /// Added to each number of the diagonal.
    pub shift: f32,
    /// Where the rows y are, `[n, dim]`.
    pub rows: Rows<'a>,
    /// Which of them count; each less than n.
    pub ids: &'a [u32],
    /// w beside `ids`, not negative.
    pub weights: &'a [f32],
}

/// When conjugate gradient has done enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// At most so many steps.
    pub steps: usize,
    /// Until the residual, measured by the inverse diagonal, has fallen to this part of the right side.
    pub tolerance: f32,
    /// The way to the solution is gone so many times over: 1 arrives, between 1 and 2 overshoots, and still lowers the
    /// quadratic that the solution minimises.
    pub relaxation: f32,
}

/// What conjugate gradient works with, kept by the caller from one solution to the next. Vectors of length `dim` are in
/// lane groups, filled up with zeros.
#[derive(Clone, Debug, Default)]
pub struct Descent {
    x: Vec<[f32; LANES]>,
    diagonal: Vec<[f32; LANES]>,
    inverse: Vec<[f32; LANES]>,
    residual: Vec<[f32; LANES]>,
    direction: Vec<[f32; LANES]>,
    image: Vec<[f32; LANES]>,
    /// y · x for each row, and y · direction.
    reached: Vec<f32>,
    ahead: Vec<f32>,
}

impl Descent {
    /// Takes `x`, `[dim]`, nearer to the minimum of `xᵀ diag x + Σ w (1 − y·x)²`, which solves the system for
    /// `b = Σ w y`. Returns `Σ w (1 − y·x)²` at the new `x`.
    pub fn fit(&mut self, system: Updated<'_>, x: &mut [f32], effort: Effort) -> f64 {
        self.prepare(system, x);
        start(self, system);
        walk(self, system, effort);
        unpack(&self.x, x);
        let miss = |(reached, weight): (&f32, &f32)| f64::from(*weight) * (1.0 - f64::from(*reached)).powi(2);
        self.reached.iter().zip(system.weights).map(miss).sum()
    }

    /// Solves the system for the `b` in `x`, `[dim]`, which becomes the solution. `false` when `effort` did not suffice:
    /// `x` is what it came to.
    pub fn solve(&mut self, system: Updated<'_>, x: &mut [f32], effort: Effort) -> bool {
        self.prepare(system, x);
        std::mem::swap(&mut self.residual, &mut self.x);
        self.x.fill([0.0; LANES]);
        let reached = walk(self, system, effort);
        unpack(&self.x, x);
        reached
    }

    fn prepare(&mut self, system: Updated<'_>, x: &[f32]) {
        pack(x, &mut self.x);
        pack(system.diagonal, &mut self.diagonal);
        for vector in [&mut self.inverse, &mut self.residual, &mut self.direction, &mut self.image] {
            vector.resize(self.x.len(), [0.0; LANES]);
        }
        self.direction.fill([0.0; LANES]);
        for products in [&mut self.reached, &mut self.ahead] {
            products.clear();
            products.resize(system.ids.len(), 0.0);
        }
        invert(self, system.shift);
    }
}

kernel! {
    /// The diagonal with its shift, and its inverse.
    fn invert(descent: &mut Descent, shift: f32) = invert_body
}

kernel! {
    /// The residual for `b = Σ w y` at `x`, and y · x of each row.
    fn start(descent: &mut Descent, system: Updated<'_>) = start_body
}

kernel! {
    /// Conjugate gradient from the residual on. Whether the tolerance is reached.
    fn walk(descent: &mut Descent, system: Updated<'_>, effort: Effort) -> bool = walk_body
}

#[inline(always)]
fn invert_body<const FMA: bool>(descent: &mut Descent, shift: f32) {
    for (diagonal, inverse) in descent.diagonal.iter_mut().zip(&mut descent.inverse) {
        for l in 0..LANES {
            diagonal[l] += shift;
            inverse[l] = 1.0 / diagonal[l];
        }
    }
}

#[inline(always)]
fn start_body<const FMA: bool>(descent: &mut Descent, system: Updated<'_>) {
    let Descent { x, diagonal, residual, reached, .. } = descent;
    for ((residual, diagonal), x) in residual.iter_mut().zip(&*diagonal).zip(&*x) {
        for l in 0..LANES {
            residual[l] = -diagonal[l] * x[l];
        }
    }
    through_rows::<FMA>(system, x, reached, 1.0, -1.0, Some(residual), true);
}

#[inline(always)]
fn walk_body<const FMA: bool>(descent: &mut Descent, system: Updated<'_>, effort: Effort) -> bool {
    let Descent { x, diagonal, inverse, residual, direction, image, reached, ahead } = descent;
    let mut steep = weighted_square::<FMA>(inverse, residual);
    // The right side is as large as the residual at zero; from elsewhere, x tells how large.
    let enough = effort.tolerance.powi(2) * weighted_square::<FMA>(diagonal, x).max(steep);
    let mut turn = 0.0f32;
    for step in 1..=effort.steps {
        // Also ends on what is not a number.
        if !(steep > enough && steep.is_finite()) {
            break;
        }
        for (((direction, image), inverse), residual) in
            direction.iter_mut().zip(&mut *image).zip(&*inverse).zip(&*residual)
        {
            for l in 0..LANES {
                direction[l] = fma!(FMA, turn, direction[l], inverse[l] * residual[l]);
                image[l] = 0.0;
            }
        }
        let last = step == effort.steps;
        through_rows::<FMA>(system, direction, ahead, 0.0, 1.0, if last { None } else { Some(image) }, false);
        let curvature = weighted_square::<FMA>(diagonal, direction) + row_square(system.weights, ahead);
        let length = steep / curvature;
        if !(curvature > 0.0 && length.is_finite()) {
            break;
        }
        let way = effort.relaxation * length;
        for (x, direction) in x.iter_mut().zip(&*direction) {
            for l in 0..LANES {
                x[l] = fma!(FMA, way, direction[l], x[l]);
            }
        }
        for (reached, ahead) in reached.iter_mut().zip(&*ahead) {
            *reached = fma!(FMA, way, *ahead, *reached);
        }
        if last {
            return false;
        }
        for (((residual, image), direction), diagonal) in
            residual.iter_mut().zip(&*image).zip(&*direction).zip(&*diagonal)
        {
            for l in 0..LANES {
                let product = fma!(FMA, diagonal[l], direction[l], image[l]);
                residual[l] = fma!(FMA, -length, product, residual[l]);
            }
        }
        let next = weighted_square::<FMA>(inverse, residual);
        turn = next / steep;
        steep = next;
    }
    steep <= enough
}

/// Sets `products[j] = yⱼ · x`, and adds `Σ w (at_zero + slope · product) y` to `onto`. On first touch, rows are asked
/// for ahead.
#[inline(always)]
fn through_rows<const FMA: bool>(
    system: Updated<'_>,
    x: &[[f32; LANES]],
    products: &mut [f32],
    at_zero: f32,
    slope: f32,
    mut onto: Option<&mut Vec<[f32; LANES]>>,
    first_touch: bool,
) {
    let groups = system.ids.chunks(TOGETHER).zip(system.weights.chunks(TOGETHER)).zip(products.chunks_mut(TOGETHER));
    for (at, ((ids, weights), products)) in groups.enumerate() {
        if first_touch {
            let ahead = system.ids.iter().skip((at + 1) * TOGETHER).take(TOGETHER);
            ahead.for_each(|&id| prefetch(system.rows.row(id as usize)));
        }
        let Some(&first) = ids.first() else { return };
        // Fewer than four are filled up with the first, at a weight of zero.
        let mut rows = [system.rows.row(first as usize); TOGETHER];
        let mut factors = [0.0; TOGETHER];
        for (row, &id) in rows.iter_mut().zip(ids) {
            *row = system.rows.row(id as usize);
        }
        let found = four_dots::<FMA>(rows, x);
        for (((factor, weight), product), found) in factors.iter_mut().zip(weights).zip(products).zip(found) {
            *product = found;
            *factor = weight * fma!(FMA, slope, found, at_zero);
        }
        if let Some(onto) = &mut onto {
            add_four::<FMA>(factors, rows, onto);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `(diag + Σ w y yᵀ) x` in double precision.
    fn naive_product(system: Updated<'_>, x: &[f32]) -> Vec<f64> {
        let mut out: Vec<f64> =
            system.diagonal.iter().zip(x).map(|(d, x)| f64::from(d + system.shift) * f64::from(*x)).collect();
        for (&id, &weight) in system.ids.iter().zip(system.weights) {
            let y = system.rows.row(id as usize);
            let product: f64 = y.iter().zip(x).map(|(y, x)| f64::from(*y) * f64::from(*x)).sum();
            out.iter_mut().zip(y).for_each(|(out, y)| *out += f64::from(weight) * product * f64::from(*y));
        }
        out
    }

    fn naive_loss(system: Updated<'_>, x: &[f32]) -> (f64, f64) {
        let miss = |(&id, &weight): (&u32, &f32)| {
            let y = system.rows.row(id as usize);
            let product: f64 = y.iter().zip(x).map(|(y, x)| f64::from(*y) * f64::from(*x)).sum();
            f64::from(weight) * (1.0 - product).powi(2)
        };
        let own = system.diagonal.iter().zip(x).map(|(d, x)| f64::from(d + system.shift) * f64::from(*x).powi(2));
        let observed = system.ids.iter().zip(system.weights).map(miss).sum();
        (observed, observed + own.sum::<f64>())
    }

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    const FULL: Effort = Effort { steps: 500, tolerance: 1e-6, relaxation: 1.0 };

    proptest! {
        #[test]
        fn solutions_satisfy_the_equations_and_a_short_way_lowers_the_loss(
            dim in 1usize..40, ids in prop::collection::vec(0u32..30, 0..30), seed in 0u32..1000,
            shift in 0.05f32..2.0, steps in 1usize..4, relaxation in 1.0f32..1.9,
        ) {
            let (rows, b) = (numbers(30 * dim, seed), numbers(dim, seed + 1));
            let diagonal: Vec<f32> = numbers(dim, seed + 2).iter().map(|x| x.abs()).collect();
            let weights: Vec<f32> = ids.iter().map(|id| 0.5 + (id % 3) as f32).collect();
            let rows = Rows::new(dim, &rows).unwrap();
            let system = Updated { diagonal: &diagonal, shift, rows, ids: &ids, weights: &weights };
            let mut x = b.clone();
            let mut descent = Descent::default();
            prop_assert!(descent.solve(system, &mut x, FULL));
            for (product, b) in naive_product(system, &x).iter().zip(&b) {
                prop_assert!((product - f64::from(*b)).abs() < 1e-3, "{product} for {b}");
            }

            let mut x = b.clone();
            let before = naive_loss(system, &x).1;
            let observed = descent.fit(system, &mut x, Effort { steps, tolerance: 0.0, relaxation });
            let (naive, after) = naive_loss(system, &x);
            prop_assert!((observed - naive).abs() < 1e-3 * (1.0 + naive), "{observed} for {naive}");
            prop_assert!(after <= before * (1.0 + 1e-5), "{after} after {before}");
        }

        #[test]
        fn the_portable_kernels_agree_with_the_wide_ones(dim in 1usize..40, h in 0usize..30, seed in 0u32..1000) {
            let (rows, x) = (numbers(30 * dim, seed), numbers(dim, seed + 1));
            let (ids, weights) = ((0..h as u32).collect::<Vec<_>>(), vec![1.5; h]);
            let rows = Rows::new(dim, &rows).unwrap();
            let system = Updated { diagonal: &vec![0.5; dim], shift: 0.5, rows, ids: &ids, weights: &weights };
            let effort = Effort { steps: 2, tolerance: 0.0, relaxation: 1.3 };
            let (mut wide, mut portable) = (Descent::default(), Descent::default());
            wide.prepare(system, &x);
            portable.prepare(system, &x);
            start(&mut wide, system);
            start_body::<false>(&mut portable, system);
            walk(&mut wide, system, effort);
            walk_body::<false>(&mut portable, system, effort);
            for (a, b) in wide.x.as_flattened().iter().zip(portable.x.as_flattened()) {
                prop_assert!((a - b).abs() < 1e-3, "{a} and {b}");
            }
        }
    }

    #[test]
    fn without_rows_the_diagonal_alone_is_solved() {
        let system = Updated { diagonal: &[0.0, 3.0], shift: 1.0, rows: Rows::empty(), ids: &[], weights: &[] };
        let mut x = [2.0, 2.0];
        assert!(Descent::default().solve(system, &mut x, FULL));
        assert_eq!(x, [2.0, 0.5]);
        assert_eq!(Descent::default().fit(system, &mut x, FULL), 0.0);
        assert!(x.iter().all(|x| x.abs() < 1e-6));
    }
}
