"""Writes six synthetic sets of different shapes: NAME.csv with the columns user, item, type, and time or value where they have them.

    python3 shapes.py FOLDER [--seed S]

Items have power-law popularity. Taste is of low rank: a user mixes a few archetypes, each a tilt of popularity; `noise` has
none, so that popularity is all there is to learn. The same arguments give the same files.
"""

import argparse
import csv
import itertools
import math
import os
import random

DAY = 86_400_000
BEGIN = 1_700_000_000_000
# Users, items, events a user on average, archetypes, how far they tilt, event types, whether there are times.
SHAPES = {
    "dense": (1500, 800, 58, 12, 1.5, ["view"], False),
    "sparse": (2500, 3000, 12, 40, 2.0, ["view"], False),
    "timed": (2000, 1500, 30, 20, 1.5, ["view", "click", "purchase"], True),
    "rated": (1200, 900, 50, 12, 1.5, ["rating"], True),
    "noise": (1500, 500, 19, 1, 0.0, ["view"], False),
    "tiny": (30, 40, 10, 3, 1.0, ["view"], False),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    for name, shape in SHAPES.items():
        with open(os.path.join(args.folder, f"{name}.csv"), "w", newline="") as file:
            write(csv.writer(file), random.Random(f"{args.seed} {name}"), *shape)


def write(out, rng, users, items, mean, archetypes, tilt, types, timed) -> None:
    popularity = [(rank + 5.0) ** -0.9 for rank in range(items)]
    tastes = [list(tilted(rng, popularity, tilt)) for _ in range(archetypes)]
    out.writerow(["user", "item", "type"] + ["time"] * timed + ["value"] * ("rating" in types))
    for user in range(users):
        degree = min(items // 3, 2 + int((mean - 2) * rng.paretovariate(1.5) / 3.0))
        mixed = rng.choices(tastes, k=3)
        begin = BEGIN + rng.randrange(200) * DAY
        own = set()
        for _ in range(20 * degree):
            if len(own) < degree:
                own.add(rng.choices(range(items), cum_weights=rng.choice(mixed))[0])
        for item in sorted(own):
            row = [f"u{user}", f"i{item}", rng.choice(types)]
            row += [int(begin + rng.expovariate(1 / 60) * DAY)] * timed
            row += [min(5, max(1, round(rng.gauss(4 - item / items, 1))))] * ("rating" in types)
            out.writerow(row)


def tilted(rng, popularity, tilt):
    return itertools.accumulate(share * math.exp(rng.gauss(0, tilt)) for share in popularity)


if __name__ == "__main__":
    main()
