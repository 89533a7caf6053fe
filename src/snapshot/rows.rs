//! Sparse rows as three sections: `NAME_ends`, u64, where each row ends; `NAME_items`, u32; `NAME_values`, f32.

use super::sections::{SectionFile, SectionWriter, write_floats};
use crate::error::Result;
use crate::features::Csr;

impl SectionWriter {
    /// Writes a sparse matrix.
    pub fn rows(&mut self, name: &str, rows: &Csr) -> Result<()> {
        self.section(&format!("{name}_ends"), |out| {
            let mut end = 0u64;
            (0..rows.n_rows()).try_for_each(|row| {
                end += rows.row(row).0.len() as u64;
                out.write_all(&end.to_le_bytes())
            })
        })?;
        self.section(&format!("{name}_items"), |out| {
            let items = (0..rows.n_rows()).flat_map(|row| rows.row(row).0);
            items.into_iter().try_for_each(|item| out.write_all(&item.to_le_bytes()))
        })?;
        self.section(&format!("{name}_values"), |out| {
            (0..rows.n_rows()).try_for_each(|row| write_floats(out, rows.row(row).1))
        })
    }
}

impl SectionFile {
    /// Reads a sparse matrix with so many columns back. Errors: [`crate::Error::Corrupt`] when it makes no sense or holds
    /// what is not a number.
    pub fn rows(&self, name: &str, columns: usize) -> Result<Csr> {
        let ends = self.bytes(&format!("{name}_ends"))?;
        let ends = ends.as_chunks::<8>().0.iter().map(|end| u64::from_le_bytes(*end) as usize);
        let items = self.bytes(&format!("{name}_items"))?;
        let items = items.as_chunks::<4>().0.iter().map(|item| u32::from_le_bytes(*item)).collect();
        let values = self.floats(&format!("{name}_values"))?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(self.damaged(format!("its rows \"{name}\" hold something that is not a number")));
        }
        let rows = Csr::from_parts(columns, ends.collect(), items, values);
        rows.ok_or_else(|| self.damaged(format!("its rows \"{name}\" make no sense")))
    }
}
