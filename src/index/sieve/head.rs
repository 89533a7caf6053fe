//! The first panels of a scan once more, by the codes of all dimensions side by side. The longest vectors stand there: their
//! lead rules out next to none, and to bound them one by one would take longer than all the rest.

use super::Sieve;
use super::kernel::{GROUP, OFFSET, PANEL, Panel};

/// Panels that are kept so: of those that were tried with 41,000 factors of 64, 256 and 704 dimensions, the quickest number.
const PANELS: usize = 48;

/// Those panels; none where the lead has all dimensions.
pub struct Head {
    /// `[panels, dim / 4, 64, 4]`, dim rounded up to a multiple of four: codes, plus 128.
    codes: Vec<u8>,
    /// `[panels, 4, 64]`: what a code is worth, ‖y‖, the error of the codes, and zeros.
    bounds: Vec<[[f32; PANEL]; 4]>,
}

impl Head {
    pub fn new(sieve: &Sieve) -> Self {
        let dim = sieve.shape.as_slice()[2] as usize;
        let (lead_bounds, _) = sieve.bounds.as_slice().as_chunks::<PANEL>();
        let (code_bounds, _) = sieve.code_bounds.as_slice().as_chunks::<2>();
        let panels = if code_bounds.is_empty() { 0 } else { sieve.panels().min(PANELS) };
        let width = dim.next_multiple_of(GROUP);
        let mut head =
            Self { codes: vec![OFFSET as u8; panels * width * PANEL], bounds: vec![[[0.0; PANEL]; 4]; panels] };
        let vectors = sieve.codes.as_slice().chunks_exact(dim.max(1)).zip(code_bounds);
        for (place, (codes, [worth, error])) in vectors.enumerate().take(panels * PANEL) {
            let (panel, item) = (place / PANEL, place % PANEL);
            let to = &mut head.codes[panel * width * PANEL..(panel + 1) * width * PANEL];
            for (dim, code) in codes.iter().enumerate() {
                to[dim / GROUP * PANEL * GROUP + item * GROUP + dim % GROUP] = *code;
            }
            let norm = lead_bounds.get(panel * 4 + 1).map_or(f32::INFINITY, |norms| norms[item]);
            for (kind, value) in [*worth, norm, *error].into_iter().enumerate() {
                head.bounds[panel][kind][item] = value;
            }
        }
        head
    }

    /// A panel by all its codes, if it is one of the first.
    pub fn panel<'a>(&'a self, at: usize, extra: &'a [f32; PANEL]) -> Option<Panel<'a>> {
        let bounds = self.bounds.get(at)?;
        let length = self.codes.len() / self.bounds.len();
        Some(Panel { codes: self.codes.get(at * length..(at + 1) * length)?, bounds, extra })
    }
}
