//! Matrices of factors: row-major, one row a vector, owned ([`Matrix`]) or borrowed ([`Rows`]), for instance from a
//! memory map.

use crate::error::{Error, Result};

/// A row-major matrix `[rows, dim]` that owns its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    dim: usize,
    data: Vec<f32>,
}

impl Matrix {
    /// Takes `data`, row after row of `dim` numbers.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `dim` is 0 or does not divide the length of `data`.
    pub fn new(dim: usize, data: Vec<f32>) -> Result<Self> {
        check_shape(dim, data.len())?;
        Ok(Self { dim, data })
    }

    /// `n` rows of `dim` zeros; without a dimension there are no rows.
    pub fn zeros(n: usize, dim: usize) -> Self {
        Self { dim: dim.max(1), data: vec![0.0; n * dim] }
    }

    /// Row `i`, `[dim]`.
    pub fn row(&self, i: usize) -> &[f32] {
        self.as_rows().row(i)
    }

    /// Row `i`, `[dim]`, to be changed.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.dim..(i + 1) * self.dim]
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Length of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All numbers, row after row.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All numbers, row after row, without the shape.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// All numbers, row after row, to be changed.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// A borrowed view of the whole matrix.
    pub fn as_rows(&self) -> Rows<'_> {
        Rows { dim: self.dim, data: &self.data }
    }
}

/// A row-major matrix `[len, dim]` that borrows its numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rows<'a> {
    dim: usize,
    data: &'a [f32],
}

impl<'a> Rows<'a> {
    /// No rows, of dimension 0.
    pub const fn empty() -> Self {
        Self { dim: 0, data: &[] }
    }

    /// Looks at `data` as rows of `dim` numbers.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `dim` is 0 or does not divide the length of `data`.
    pub fn new(dim: usize, data: &'a [f32]) -> Result<Self> {
        check_shape(dim, data.len())?;
        Ok(Self { dim, data })
    }

    /// Row `i`, `[dim]`.
    #[inline]
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.dim..(i + 1) * self.dim]
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Length of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All numbers, row after row.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }
}

fn check_shape(dim: usize, len: usize) -> Result<()> {
    if dim == 0 || !len.is_multiple_of(dim) {
        return Err(Error::invalid("matrix", format!("{len} numbers cannot be split into rows of {dim}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_where_they_were_put() {
        let mut matrix = Matrix::new(2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        matrix.row_mut(1)[0] = 9.0;
        assert_eq!(matrix.row(1), [9.0, 4.0]);
        assert_eq!((matrix.rows(), matrix.dim()), (2, 2));
        assert_eq!(matrix.as_rows(), Rows::new(2, &[1.0, 2.0, 9.0, 4.0]).unwrap());
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        assert_eq!(Matrix::new(3, vec![0.0; 4]).unwrap_err().code(), "invalid");
        assert_eq!(Rows::new(0, &[]).unwrap_err().code(), "invalid");
    }

    #[test]
    fn no_rows_are_a_matrix_too() {
        assert_eq!(Matrix::zeros(0, 4).rows(), 0);
        assert!(Rows::new(4, &[]).unwrap().is_empty());
    }
}
