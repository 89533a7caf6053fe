"""Runs `savor evaluate --format json …`, and prints the line that a benchmark ends with.

    python3 evaluate.py NAME KEY… -- COMMAND…

A key is a metric of the model (`ndcg@10`), one of popularity in the same run (`pop_ndcg@10`), an error of foretold ratings
(`rmse`, and `mean_rmse`, `bias_rmse` of the baselines in the same run), `train_s` (as the engine
measured it), `ndcg@10_retrieval`, `ndcg@10_ranked` and the interval of their difference, `low` and `high`, or `peak_mib` (resident memory of the command, as the kernel counted it). What was not measured is not
printed: the exit code is 1 then.
"""

import json
import resource
import subprocess
import sys


def main() -> int:
    split = sys.argv.index("--")
    name, keys, command = sys.argv[1], sys.argv[2:split], sys.argv[split + 1 :]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if run.returncode != 0:
        print(f"error: {' '.join(command)} ended with code {run.returncode}", file=sys.stderr)
        return 1
    # Kibibytes on Linux.
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    figures = read(json.loads(run.stdout)) | {"peak_mib": f"{peak_mib:.0f}"}
    missing = [key for key in keys if key not in figures]
    if missing:
        print(f"error: not measured: {', '.join(missing)}", file=sys.stderr)
        return 1
    print(name, *(f"{key}={figures[key]}" for key in keys))
    return 0


def ranked(evaluation: dict, retrieval: str) -> dict[str, str]:
    """What the ranker adds to NDCG@10, paired by user: nothing where its gate kept it out, as it does in serving."""
    report = evaluation["report"]
    of = lambda name: next(m["mean"] for x in report["models"] if x["name"] == name for m in x["metrics"] if m["name"] == "ndcg@10")
    pairs = [pair for pair in report["comparisons"] if (pair["a"], pair["b"]) == (retrieval, f"{retrieval} + ranker")]
    if not evaluation.get("ranker"):
        return {}
    if not pairs:
        plain = f"{of(retrieval):.4f}"
        return {"ndcg@10_retrieval": plain, "ndcg@10_ranked": plain, "low": "0.0000", "high": "0.0000"}
    difference = next(metric for metric in pairs[0]["metrics"] if metric["name"] == "ndcg@10")
    return {
        "ndcg@10_retrieval": f"{of(retrieval):.4f}",
        "ndcg@10_ranked": f"{of(retrieval + ' + ranker'):.4f}",
        "low": f"{difference['low']:.4f}",
        "high": f"{difference['high']:.4f}",
    }


def read(evaluation: dict) -> dict[str, str]:
    """The figures of an evaluation, by their keys in the last line. The first model is popularity, the baseline."""
    baseline, model = evaluation["report"]["models"][:2]
    figures = {metric["name"]: f"{metric['mean']:.4f}" for metric in model["metrics"]}
    figures |= {f"pop_{metric['name']}": f"{metric['mean']:.4f}" for metric in baseline["metrics"]}
    for errors in (evaluation.get("ratings") or {}).get("models", []):
        prefix = "" if errors["name"] == "ratings" else f"{errors['name']}_"
        figures |= {f"{prefix}{error['name']}": f"{error['mean']:.4f}" for error in errors["errors"]}
    figures |= ranked(evaluation, model["name"])
    figures["train_s"] = f"{evaluation['train_seconds']:.2f}"
    return figures


if __name__ == "__main__":
    sys.exit(main())
