"""Writes a synthetic set in the shape of MovieLens-20M, by default 138,493 users, 26,744 items and 20 million events.

    python3 synthetic.py OUT.txt.gz [--users N] [--items N] [--events N] [--seed S]

Items and users have power-law degrees. Taste is of low rank: a user mixes a few of 64 archetypes, an archetype is a
distribution over items that tilts their popularity, and each event draws an archetype of the user and an item of it, so
that what is not taste is sampling noise. Lines are `user item item …`. The same arguments give the same file.
"""

import argparse
import gzip

import numpy as np

ARCHETYPES = 64
USERS_AT_ONCE = 8192


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--users", type=int, default=138_493)
    parser.add_argument("--items", type=int, default=26_744)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=20)
    args = parser.parse_args()
    random = np.random.default_rng(args.seed)

    tastes = archetypes(random, args.items)
    degrees = user_degrees(random, args.users, args.events, args.items // 4)
    with gzip.open(args.out, "wt", compresslevel=1) as out:
        for first in range(0, args.users, USERS_AT_ONCE):
            for user, items in draw(random, tastes, degrees[first : first + USERS_AT_ONCE]):
                out.write(f"{first + user} {' '.join(map(str, items))}\n")


def archetypes(random: np.random.Generator, items: int) -> np.ndarray:
    """Cumulative distributions over items, `[ARCHETYPES, items]`."""
    popularity = (np.arange(items) + 20.0) ** -1.1
    tilted = popularity * np.exp(random.normal(0.0, 1.5, (ARCHETYPES, items)))
    return np.cumsum(tilted / tilted.sum(axis=1, keepdims=True), axis=1)


def user_degrees(random: np.random.Generator, users: int, events: int, most: int) -> np.ndarray:
    """Events of each user: 20 and a Pareto tail, in sum about `events`."""
    tail = random.pareto(1.3, users)
    low, high = 0.0, 1e6
    for _ in range(60):
        scale = (low + high) / 2
        low, high = (scale, high) if np.minimum(20 + scale * tail, most).sum() < events else (low, scale)
    return np.minimum(20 + low * tail, most).astype(np.int64)


def draw(random: np.random.Generator, tastes: np.ndarray, degrees: np.ndarray):
    """Items of each user, without repeats."""
    mixtures = np.cumsum(random.dirichlet(np.full(ARCHETYPES, 0.05), len(degrees)), axis=1)
    for user, degree in enumerate(degrees):
        # Repeats are dropped, so more is drawn than wanted; of a user who repeats too much, fewer are left.
        draws = 3 * degree
        kinds = np.minimum(np.searchsorted(mixtures[user], random.random(draws)), ARCHETYPES - 1)
        items = np.empty(draws, np.int64)
        places = random.random(draws)
        for kind in np.unique(kinds):
            chosen = kinds == kind
            items[chosen] = np.searchsorted(tastes[kind], places[chosen])
        _, at = np.unique(items, return_index=True)
        yield user, np.minimum(items[np.sort(at)[:degree]], tastes.shape[1] - 1)


if __name__ == "__main__":
    main()
