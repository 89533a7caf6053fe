"""Trains one peer once and prints `{"seconds": …, "loss": …, "peak_mib": …}`.

    python3 peer.py ENGINE MATRIX.npz DIMENSION ITERATIONS THREADS UNOBSERVED_WEIGHT REGULARIZATION

`irspack` minimises the common objective with ν = 1 as it stands. `implicit` minimises Σ c (1 − s)² over pairs with an
event, + Σ s² over the others, + λ |row|². With c = 1 + 1/α₀, s = t · c/(c − 1) turns it, but for a constant and the factor
c²/(c − 1), into the common one for t with ν = 0 and λ/c. So it is given c and c times the penalty, and its factors are
divided by √(c/(c − 1)) before their loss is taken. Each trains one iteration first, untimed, to warm up.
"""

import contextlib
import json
import resource
import sys
import time

import numpy as np
import scipy.sparse as sparse

import objective


def implicit(matrix, dimension, iterations, threads, unobserved_weight, regularization):
    from implicit.cpu.als import AlternatingLeastSquares

    confidence = 1.0 + 1.0 / unobserved_weight

    def train(iterations):
        model = AlternatingLeastSquares(
            factors=dimension,
            regularization=regularization * confidence,
            alpha=confidence,
            iterations=iterations,
            num_threads=threads,
            random_state=1,
        )
        began = time.perf_counter()
        model.fit(matrix, show_progress=False)
        return model, time.perf_counter() - began

    train(1)
    model, seconds = train(iterations)
    scale = np.sqrt(confidence / (confidence - 1.0))
    return seconds, model.user_factors / scale, model.item_factors / scale, 0.0


def irspack(matrix, dimension, iterations, threads, unobserved_weight, regularization):
    from irspack import IALSRecommender

    def train(iterations):
        model = IALSRecommender(
            matrix,
            n_components=dimension,
            alpha0=unobserved_weight,
            reg=regularization,
            nu=1.0,
            n_threads=threads,
            train_epochs=iterations,
        )
        # Its progress bar goes where the result is read.
        with contextlib.redirect_stdout(sys.stderr):
            began = time.perf_counter()
            model.learn()
            return model, time.perf_counter() - began

    train(1)
    model, seconds = train(iterations)
    return seconds, model.get_user_embedding(), model.get_item_embedding(), 1.0


def main() -> None:
    engine = {"implicit": implicit, "irspack": irspack}[sys.argv[1]]
    matrix = sparse.load_npz(sys.argv[2])
    dimension, iterations, threads = map(int, sys.argv[3:6])
    unobserved_weight, regularization = map(float, sys.argv[6:8])
    seconds, users, items, exponent = engine(
        matrix, dimension, iterations, threads, unobserved_weight, regularization
    )
    # Before the loss is taken, which needs memory of its own. Kibibytes on Linux.
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loss = objective.loss(matrix, np.asarray(users), np.asarray(items), unobserved_weight, regularization, exponent)
    print(json.dumps({"seconds": seconds, "loss": loss, "peak_mib": peak_mib}))


if __name__ == "__main__":
    main()
