//! A sparse matrix by compressed rows, the shape in which preferences reach training: one row for each user, one column
//! for each item, and a confidence wherever there is a preference. Entries of a row are sorted by column and each
//! column occurs at most once, so that a matrix has one form only and everything computed from it is reproducible.

/// A sparse matrix `[n_rows, n_cols]` by compressed rows.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Csr {
    /// Row i owns the entries `indptr[i]..indptr[i + 1]`; `[n_rows + 1]`.
    indptr: Vec<usize>,
    /// Columns, ascending within a row; `[nnz]`.
    indices: Vec<u32>,
    /// Values beside their columns; `[nnz]`.
    values: Vec<f32>,
    n_cols: usize,
}

impl Csr {
    /// Builds the matrix from each row's entries `(column, value)`, in any order. Of several entries with one column
    /// the last counts; the matrix is as wide as its largest column demands, and at least `n_cols`.
    pub fn from_rows(n_cols: usize, rows: Vec<Vec<(u32, f32)>>) -> Self {
        let entries = rows.iter().map(Vec::len).sum();
        let mut matrix = Self {
            indptr: Vec::with_capacity(rows.len() + 1),
            indices: Vec::with_capacity(entries),
            values: Vec::with_capacity(entries),
            n_cols,
        };
        matrix.indptr.push(0);
        for mut row in rows {
            // A stable sort keeps entries of one column in the order they came in.
            row.sort_by_key(|&(column, _)| column);
            for (position, &(column, value)) in row.iter().enumerate() {
                if row.get(position + 1).is_some_and(|&(next, _)| next == column) {
                    continue;
                }
                matrix.indices.push(column);
                matrix.values.push(value);
                matrix.n_cols = matrix.n_cols.max(column as usize + 1);
            }
            matrix.indptr.push(matrix.indices.len());
        }
        matrix
    }

    /// The matrix from its arrays: where each row ends, columns and values. `None` when they do not make a matrix of
    /// `n_cols` columns whose rows are ascending.
    pub fn from_parts(n_cols: usize, ends: Vec<usize>, indices: Vec<u32>, values: Vec<f32>) -> Option<Self> {
        let mut indptr = vec![0];
        indptr.extend(ends);
        let is_whole = indptr.is_sorted() && indptr.last() == Some(&indices.len()) && indices.len() == values.len();
        if !is_whole || indices.iter().any(|column| *column as usize >= n_cols) {
            return None;
        }
        let matrix = Self { indptr, indices, values, n_cols };
        let is_ascending = |row| matrix.row(row).0.is_sorted_by(|a, b| a < b);
        (0..matrix.n_rows()).all(is_ascending).then_some(matrix)
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Number of entries.
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Columns, ascending, and values of row `i`; a row past the end is empty.
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        match (self.indptr.get(i), self.indptr.get(i + 1)) {
            (Some(&from), Some(&to)) => (&self.indices[from..to], &self.values[from..to]),
            _ => (&[], &[]),
        }
    }

    /// The matrix with entry (i, j) multiplied by `rows[i] · columns[j]`; a missing factor is 0.
    pub fn scaled(&self, rows: &[f32], columns: &[f32]) -> Self {
        let factor = |factors: &[f32], place: usize| factors.get(place).copied().unwrap_or(0.0);
        let mut scaled = self.clone();
        for row in 0..self.n_rows() {
            let of_row = factor(rows, row);
            for place in self.indptr[row]..self.indptr[row + 1] {
                scaled.values[place] *= of_row * factor(columns, self.indices[place] as usize);
            }
        }
        scaled
    }

    /// The transposed matrix, in one counting pass and one placing pass: O(nnz + n_rows + n_cols).
    pub fn transpose(&self) -> Self {
        let mut indptr = vec![0; self.n_cols + 1];
        for &column in &self.indices {
            indptr[column as usize + 1] += 1;
        }
        for i in 0..self.n_cols {
            indptr[i + 1] += indptr[i];
        }
        let mut next = indptr.clone();
        let mut indices = vec![0; self.nnz()];
        let mut values = vec![0.0; self.nnz()];
        for i in 0..self.n_rows() {
            let (columns, row_values) = self.row(i);
            for (&column, &value) in columns.iter().zip(row_values) {
                let place = &mut next[column as usize];
                indices[*place] = i as u32;
                values[*place] = value;
                *place += 1;
            }
        }
        Self { indptr, indices, values, n_cols: self.n_rows() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dense(matrix: &Csr) -> Vec<Vec<f32>> {
        let mut out = vec![vec![0.0; matrix.n_cols()]; matrix.n_rows()];
        for (i, row) in out.iter_mut().enumerate() {
            let (columns, values) = matrix.row(i);
            for (&column, &value) in columns.iter().zip(values) {
                row[column as usize] = value;
            }
        }
        out
    }

    #[test]
    fn entries_are_sorted_and_the_last_of_a_column_counts() {
        let matrix = Csr::from_rows(4, vec![vec![(3, 1.0), (1, 2.0), (3, 5.0)], vec![], vec![(0, 7.0)]]);
        assert_eq!(matrix.row(0), (&[1, 3][..], &[2.0, 5.0][..]));
        assert_eq!(matrix.row(1), (&[][..], &[][..]));
        assert_eq!((matrix.n_rows(), matrix.n_cols(), matrix.nnz()), (3, 4, 3));
    }

    #[test]
    fn a_row_past_the_end_is_empty() {
        assert_eq!(Csr::from_rows(2, vec![vec![(0, 1.0)]]).row(1), (&[][..], &[][..]));
        assert_eq!(Csr::default().row(0), (&[][..], &[][..]));
        assert_eq!(Csr::default().n_rows(), 0);
    }

    #[test]
    fn a_column_beyond_the_width_widens_the_matrix() {
        assert_eq!(Csr::from_rows(1, vec![vec![(4, 1.0)]]).transpose().n_rows(), 5);
    }

    proptest! {
        #[test]
        fn the_transpose_has_the_entries_of_the_dense_transpose(
            rows in prop::collection::vec(prop::collection::vec((0u32..9, 1f32..9.0), 0..12), 0..12)
        ) {
            let matrix = Csr::from_rows(9, rows);
            let transposed = matrix.transpose();
            let (a, b) = (dense(&matrix), dense(&transposed));
            for (i, row) in a.iter().enumerate() {
                for (j, value) in row.iter().enumerate() {
                    prop_assert_eq!(*value, b[j][i]);
                }
            }
            prop_assert_eq!(transposed.transpose(), matrix);
        }
    }
}
