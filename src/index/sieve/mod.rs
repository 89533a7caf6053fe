//! The bounded exact scan. Every vector has a cheap upper bound of its score; only those whose bound reaches the k-th best
//! score found so far are scored in f32. Nothing that belongs to the answer is ever dropped, ties included.
//!
//! Vectors stand by falling norm, in panels of 64. Three bounds are asked, the cheapest first:
//!
//! 1. **Norm**, of a panel: q·y ≤ ‖q‖‖y‖ (Cauchy–Schwarz). Once ‖q‖ times the norm at the front of a panel is below the
//!    k-th best score, so is everything after it, and the scan ends (LEMP, Teflioudi et al., SIGMOD 2015).
//! 2. **Lead**, of 64 vectors at once: the inner product in `lead` principal directions, from codes of eight bits, plus
//!    what the other directions can add at most (FEXIPRO, Li et al., SIGMOD 2017).
//! 3. **Codes**, of one vector: the inner product of all dimensions from codes of eight bits. Left out where the lead
//!    covers all dimensions.
//!
//! # Why the bounds hold
//! Let R, `[lead, dim]`, be the axes as stored, with ‖RRᵀ − I‖ ≤ δ (`skew`, measured). Take a vector y, its coded lead
//! ẑ = s·c and r = y − Rᵀẑ; a query q, p = Rq and v = q − Rᵀp. Then, with no more than algebra and Cauchy–Schwarz,
//!
//! ```text
//! q·y = p·ẑ + q·r = p·ẑ + p·Rr + v·r ≤ p·ẑ + ‖p‖ ‖Rr‖ + ‖v‖ ‖r‖
//! p·ẑ = p̂·ẑ + (p − p̂)·ẑ ≤ p̂·ẑ + ‖p − p̂‖ ((1 + δ)‖y‖ + ‖Ry − ẑ‖),   p̂ = s_q·w the coded query
//! ‖v‖² ≤ ‖q‖² − (1 − δ)‖p‖²,   ‖r‖² ≤ ‖y‖² − 2 (Ry)·ẑ + (1 + δ)‖ẑ‖²,   ‖Rr‖ ≤ ‖Ry − ẑ‖ + δ‖ẑ‖
//! ```
//!
//! p̂·ẑ is s_q·s times a sum of whole numbers and exact until it becomes an f32. Everything else is known for a vector when
//! the index is built (`error` ≥ ‖Rr‖, `rest` ≥ ‖r‖) and for a query before the scan. The third bound is the same with R
//! the unit matrix: r is then the error of the codes, and v is zero.
//!
//! Rounding: an inner product of m terms in f32 is off by at most γ = m·2⁻²⁴/(1 − m·2⁻²⁴) times the product of both norms,
//! in whatever order it is summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). That is added where
//! a product was made in f32: Rq and Ry, the exact score that the bound must not fall short of, and the few operations of
//! the bound itself. Norms are taken in f64 and rounded up.
//!
//! Under the cosine the vectors y are taken at unit length. Under L2, −‖q − y‖² = 2q·y − ‖y‖² − ‖q‖²: the query is doubled,
//! −‖y‖² is added to each bound (`shift`) and ‖q‖² to the threshold.

mod axes;
mod code;
mod head;
mod kernel;
mod pass;
mod probe;

use std::sync::OnceLock;

use rayon::prelude::*;

use super::pages::Pages;
use super::pool::Pool;
use super::section::Section;
use super::space::{Space, by_falling_norm};
use crate::config::Metric;
use crate::error::Result;
use crate::linalg::Rows;
use axes::Axes;
pub(super) use kernel::PANEL;

/// The codes and bounds of the vectors of a space.
pub(super) struct Sieve {
    /// `[3]`: leading dimensions, a multiple of 4; the bits of the f32 δ; dimensions.
    pub shape: Section<u32>,
    /// `[n]`: rows by falling norm, equal norms by row. Empty where norms say nothing: rows stand in their own order.
    pub order: Section<u32>,
    /// `[lead, dim]`: R. Empty where the lead is all dimensions as they are.
    pub axes: Section<f32>,
    /// `[panels, lead / 4, 64, 4]`: codes of the lead, plus 128.
    pub lead: Section<u8>,
    /// `[panels, 4, 64]`: s, ‖y‖, `error` and `rest` of the lead.
    pub bounds: Section<f32>,
    /// `[n, dim]`: codes of all dimensions, plus 128, in the order of the scan. Empty where the lead has them all.
    pub codes: Section<u8>,
    /// `[n, 2]`: s and `error` of those codes.
    pub code_bounds: Section<f32>,
    /// `[panels, 64]`: −‖y‖² under L2, else empty.
    pub shift: Section<f32>,
    /// What searches keep between them.
    pub working: Working,
}

/// Memory of searches that no file holds.
#[derive(Default)]
pub(super) struct Working {
    /// The place of each row, found out when it is first asked for.
    places: OnceLock<Vec<u32>>,
    /// The first panels and the axes as scans want them, made when they are first asked for.
    head: OnceLock<head::Head>,
    columns: OnceLock<Vec<f32>>,
    /// Arrays of what is added to each bound, `[panels, 64]`: each is given back as it was taken.
    extras: Pool<Vec<f32>>,
}

/// Panels that are coded at once.
const CHUNK: usize = 16;

impl Sieve {
    /// Codes the vectors of `space`. `queries` show in which directions to look first; without them the vectors do.
    pub fn new(space: &Space, queries: Option<Rows<'_>>) -> Result<Self> {
        let order = if space.metric == Metric::Dot { by_falling_norm(space.norms.as_slice()) } else { Vec::new() };
        let axes = Axes::choose(space, &order, queries)?;
        Ok(Self::code(space, order, axes))
    }

    fn code(space: &Space, order: Vec<u32>, axes: Axes) -> Self {
        let (rows, dim, lead) = (space.len(), space.dim, axes.lead);
        let panels = rows.div_ceil(PANEL);
        let mut coded = Sections {
            lead: Pages::filled(panels * lead * PANEL, kernel::OFFSET as u8),
            bounds: Pages::filled(panels * 4 * PANEL, 0.0),
            codes: Pages::filled(if axes.rows.is_empty() { 0 } else { rows * dim }, 0),
            code_bounds: vec![0.0; if axes.rows.is_empty() { 0 } else { rows * 2 }],
            shift: vec![0.0; if space.metric == Metric::L2 { panels * PANEL } else { 0 }],
        };
        let coder = code::Coder { space, order: &order, axes: &axes };
        coded
            .chunks(lead, dim)
            .into_par_iter()
            .enumerate()
            .for_each(|(chunk, out)| coder.code(chunk * CHUNK * PANEL, out));
        Self {
            shape: Section::owned(vec![lead as u32, axes.skew.to_bits(), dim as u32]),
            order: Section::owned(order),
            axes: Section::owned(axes.rows),
            lead: Section::paged(coded.lead),
            bounds: Section::paged(coded.bounds),
            codes: Section::paged(coded.codes),
            code_bounds: Section::owned(coded.code_bounds),
            shift: Section::owned(coded.shift),
            working: Working::default(),
        }
    }

    /// Leading dimensions.
    pub fn lead(&self) -> usize {
        self.shape.as_slice()[0] as usize
    }

    /// Checks what a search relies on in a sieve that comes from a file, whose sections have the lengths that its shape asks
    /// for: it is for vectors of this length, and its order names rows that exist.
    pub fn check_bounds(&self, space: &Space) -> std::result::Result<(), &'static str> {
        let (lead, dim, turned) = (self.lead(), space.dim, !self.axes.as_slice().is_empty());
        let fits = if turned { lead <= dim } else { lead == dim.next_multiple_of(kernel::GROUP) };
        if !lead.is_multiple_of(kernel::GROUP) || !fits || self.shape.as_slice()[2] as usize != dim {
            return Err("its sieve is not for vectors of this length");
        }
        if self.order.as_slice().iter().any(|row| *row as usize >= space.len()) {
            return Err("its order names a row that is none");
        }
        Ok(())
    }

    /// Checks what only answers rely on: the order names every row once, by falling norm.
    pub fn check_all(&self, space: &Space) -> std::result::Result<(), &'static str> {
        let (order, norms) = (self.order.as_slice(), space.norms.as_slice());
        let mut seen = fixedbitset::FixedBitSet::with_capacity(norms.len());
        if order.iter().any(|row| seen.put(*row as usize)) {
            return Err("its order does not name every row once");
        }
        if order.windows(2).any(|pair| norms[pair[0] as usize] < norms[pair[1] as usize]) {
            return Err("its order is not that of the norms");
        }
        Ok(())
    }

    fn skew(&self) -> f32 {
        f32::from_bits(self.shape.as_slice()[1])
    }

    /// The row that stands at a place of the scan.
    #[inline]
    fn row(&self, place: usize) -> u32 {
        self.order.as_slice().get(place).map_or(place as u32, |row| *row)
    }

    /// `[dim, lead]`: R, turned over.
    fn columns(&self) -> &[f32] {
        self.working.columns.get_or_init(|| {
            let (axes, dim) = (self.axes.as_slice(), self.shape.as_slice()[2] as usize);
            (0..dim).flat_map(|at| axes.iter().skip(at).step_by(dim.max(1)).copied()).collect()
        })
    }

    fn head(&self) -> &head::Head {
        self.working.head.get_or_init(|| head::Head::new(self))
    }

    /// `[n]`: the place of each row.
    fn places(&self) -> &[u32] {
        self.working.places.get_or_init(|| {
            let order = self.order.as_slice();
            let mut places: Vec<u32> = (0..(self.panels() * PANEL) as u32).collect();
            for (place, row) in order.iter().enumerate() {
                places[*row as usize] = place as u32;
            }
            places
        })
    }
}

/// What is being coded.
struct Sections {
    lead: Pages<u8>,
    bounds: Pages<f32>,
    codes: Pages<u8>,
    code_bounds: Vec<f32>,
    shift: Vec<f32>,
}

/// The part of the sections that belongs to [`CHUNK`] panels; the same shapes.
struct Chunk<'a> {
    lead: &'a mut [u8],
    bounds: &'a mut [f32],
    codes: &'a mut [u8],
    code_bounds: &'a mut [f32],
    shift: &'a mut [f32],
}

impl Sections {
    fn chunks(&mut self, lead: usize, dim: usize) -> Vec<Chunk<'_>> {
        let places = CHUNK * PANEL;
        let mut codes = self.codes.chunks_mut(places * dim);
        let mut code_bounds = self.code_bounds.chunks_mut(places * 2);
        let mut shift = self.shift.chunks_mut(places);
        let chunks = self.lead.chunks_mut(places * lead).zip(self.bounds.chunks_mut(places * 4));
        chunks
            .map(|(lead, bounds)| Chunk {
                lead,
                bounds,
                codes: codes.next().unwrap_or_default(),
                code_bounds: code_bounds.next().unwrap_or_default(),
                shift: shift.next().unwrap_or_default(),
            })
            .collect()
    }
}

/// The next f32 that is not below `value`.
fn up(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) < value { nearest.next_up() } else { nearest }
}

/// The next f32 that is not above `value`.
fn down(value: f64) -> f32 {
    -up(-value)
}

/// γ of a sum of `terms` products in f32, twice over, and with room for the operations of a bound.
fn rounding(terms: usize) -> f64 {
    (terms + 32) as f64 * f64::from(f32::EPSILON)
}

#[cfg(test)]
mod tests;
