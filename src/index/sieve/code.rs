//! Codes the vectors of a space, a chunk of panels at a time.

use super::axes::Axes;
use super::kernel::{GROUP, OFFSET, PANEL};
use super::{Chunk, rounding, up};
use crate::index::coding::{self, encode, worth};
use crate::index::space::{Space, euclidean};
use crate::linalg::{Rows, project};

pub struct Coder<'a> {
    pub space: &'a Space,
    /// Empty for the rows' own order.
    pub order: &'a [u32],
    pub axes: &'a Axes,
}

impl Coder<'_> {
    /// Codes the vectors from place `first` on into `out`, as many as there are.
    pub fn code(&self, first: usize, out: Chunk<'_>) {
        let (dim, lead) = (self.space.dim, self.axes.lead);
        let places = first..self.space.len().min(first + out.bounds.len() / 4);
        let mut points = Vec::with_capacity(places.len() * dim);
        for place in places.clone() {
            let row = self.order.get(place).map_or(place, |row| *row as usize);
            self.space.extend_point(&mut points, row);
        }
        let Ok(points) = Rows::new(dim, &points) else { return };
        let turned = (!self.axes.rows.is_empty()).then(|| project(points, &self.axes.rows));
        // What the turn may be off by, for a vector of length 1: the rounding of each of its inner products.
        let turn = if turned.is_some() { rounding(dim) * (lead as f64).sqrt() } else { 0.0 };
        let skew = f64::from(self.axes.skew);

        for at in 0..places.len() {
            let (panel, item) = (at / PANEL, at % PANEL);
            let point = points.row(at);
            let norm = euclidean(point);
            let z = turned.as_ref().map_or(point, |turned| turned.row(at));
            let worth = worth(z);
            let lead_codes = &mut out.lead[panel * lead * PANEL..(panel + 1) * lead * PANEL];
            let mut error = 0.0;
            let (mut inner, mut squares) = (0.0, 0.0);
            for (dim, (value, code)) in z.iter().zip(encode(z, worth)).enumerate() {
                lead_codes[dim / GROUP * PANEL * GROUP + item * GROUP + dim % GROUP] = (code + OFFSET) as u8;
                let coded = f64::from(worth) * f64::from(code);
                error += (f64::from(*value) - coded).powi(2);
                inner += f64::from(*value) * coded;
                squares += coded * coded;
            }
            let coded = squares.sqrt();
            let rest = norm * norm - 2.0 * inner + (1.0 + skew) * squares + 2.0 * turn * norm * coded;
            // The squares cancel where little is left; f64 leaves some 2⁻⁵⁰ of them.
            let rest = (rest + 1e-14 * (norm * norm + squares)).max(0.0).sqrt();
            let bounds = &mut out.bounds[panel * 4 * PANEL..(panel + 1) * 4 * PANEL];
            let values =
                [f64::from(worth), norm * (1.0 + 1e-12 + skew), error.sqrt() + turn * norm + skew * coded, rest];
            for (kind, value) in values.into_iter().enumerate() {
                bounds[kind * PANEL + item] = up(value);
            }
            bounds[item] = worth;
            if let Some(shift) = out.shift.get_mut(at) {
                *shift = up(-norm * norm * (1.0 - 2.0 * rounding(dim)));
            }
            if turned.is_some() {
                let worth = coding::worth(point);
                let mut error = 0.0;
                let slots = &mut out.codes[at * dim..(at + 1) * dim];
                for ((slot, value), code) in slots.iter_mut().zip(point).zip(encode(point, worth)) {
                    *slot = (code + OFFSET) as u8;
                    error += (f64::from(*value) - f64::from(worth) * f64::from(code)).powi(2);
                }
                out.code_bounds[2 * at..2 * at + 2].copy_from_slice(&[worth, up(error.sqrt())]);
            }
        }
    }
}
