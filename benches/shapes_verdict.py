"""Reads reports of `savor evaluate --compare … --format json` and says where the first model is worse than another.

    python3 shapes_verdict.py NAME.json…
"""

import json
import math
import os
import sys

METRICS = ("ndcg@10", "recall@20")


def main() -> int:
    keys, worse = [], []
    for path in sys.argv[1:]:
        name = os.path.basename(path).removesuffix(".json")
        with open(path) as file:
            report = json.load(file)["report"]
        baseline, model, *others = report["models"]
        # The ranker on top of the model is none of its parts.
        parts = [one for one in others if not one["name"].startswith(model["name"])]
        means = {one["name"]: mean(one, METRICS[0]) for one in report["models"]}
        print(f"{name:7} {report['users']:5} users, NDCG@10:", *(f"{key} {value:.4f}" for key, value in means.items()))
        for other in (baseline, *parts):
            for metric in METRICS:
                if not math.isfinite(mean(other, metric)) or behind(report, model["name"], other["name"], metric) > 0:
                    worse.append(f"{name}: worse than {other['name']} on {metric}")
        keys.append(f"{name}_vs_popularity={means[model['name']] - means[baseline['name']]:+.4f}")
        keys.append(f"{name}_vs_best_part={means[model['name']] - max(mean(part, METRICS[0]) for part in parts):+.4f}")
    print(*worse, sep="\n", end="\n" if worse else "", file=sys.stderr)
    print("shapes", *keys, f"worse={len(worse)}")
    return 1 if worse else 0


def mean(model: dict, metric: str) -> float:
    return next(one["mean"] for one in model["metrics"] if one["name"] == metric)


def behind(report: dict, own: str, other: str, metric: str) -> float:
    """How far the model is behind at least: the low end of the paired interval."""
    for pair in report["comparisons"]:
        if {pair["a"], pair["b"]} == {own, other}:
            difference = next(one for one in pair["metrics"] if one["name"] == metric)
            # A difference is that of the second from the first.
            return difference["low"] if pair["b"] == other else -difference["high"]
    raise SystemExit(f"error: {own} and {other} were not compared")


if __name__ == "__main__":
    sys.exit(main())
