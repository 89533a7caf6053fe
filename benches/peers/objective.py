"""The objective that all engines are compared by, in double precision, and the matrix that they learn from.

    Σ over pairs with an event  (1 − x·y)²
    + α₀ Σ over all pairs       (x·y)²
    + λ Σ over rows of both     (count + α₀ · size of the other side)^ν |row|²
"""

import gzip

import numpy as np
import scipy.sparse as sparse

PAIRS_AT_ONCE = 200_000


def read(path: str) -> sparse.csr_matrix:
    """The users × items matrix of ones from lines `user item item …`, gzipped."""
    users, items = [], []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            row = np.array(line.split(), dtype=np.int64)
            items.append(row[1:])
            users.append(np.full(len(row) - 1, row[0] if len(row) else 0))
    users, items = np.concatenate(users), np.concatenate(items)
    matrix = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)))
    matrix.data[:] = 1.0
    return matrix


def loss(matrix, users, items, unobserved_weight: float, regularization: float, exponent: float) -> float:
    pairs = matrix.tocoo()
    total = 0.0
    for first in range(0, matrix.nnz, PAIRS_AT_ONCE):
        part = slice(first, first + PAIRS_AT_ONCE)
        scores = np.einsum("ij,ij->i", users[pairs.row[part]], items[pairs.col[part]], dtype=np.float64)
        total += ((1.0 - scores) ** 2).sum()
    users, items = users.astype(np.float64), items.astype(np.float64)
    total += unobserved_weight * ((users.T @ users) * (items.T @ items)).sum()
    for side, rows, other in ((matrix, users, len(items)), (matrix.T.tocsr(), items, len(users))):
        counts = np.diff(side.indptr)
        total += (regularization * (counts + unobserved_weight * other) ** exponent * (rows**2).sum(axis=1)).sum()
    return float(total)
