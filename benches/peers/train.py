"""Runs Savor and its peers in turn and prints how long each takes to the same loss.

    python3 train.py SAVOR PYTHON WORK RUNS THREADS ITERATIONS SET… -- DIMENSION…

PYTHON has the peers installed. WORK holds, for each SET, `SET.txt.gz` (lines `user item item …`), imported by Savor into
`SET-data`. A peer trains ITERATIONS times over; Savor trains as many epochs as take it to the peer's loss or below it,
found first and untimed. A figure is the median over RUNS, each engine once in each run. The peers' loss is taken by
objective.py; Savor's is the one that it reports, before its last pass over the users lowers it a little more, and which
its tests hold to the same definition.
"""

import json
import os
import statistics
import subprocess
import sys

import objective
import scipy.sparse as sparse

UNOBSERVED_WEIGHT = 0.05
# irspack's penalty grows with a row's events, implicit's does not: 5 is what a typical row of Gowalla pays by the former.
SETTINGS = {"implicit": {"regularization": 5.0, "exponent": 0}, "irspack": {"regularization": 0.003, "exponent": 1}}
MOST_EPOCHS = 64
HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> int:
    split = sys.argv.index("--")
    savor, python, work = sys.argv[1:4]
    runs, threads, iterations = map(int, sys.argv[4:7])
    sets, dimensions = sys.argv[7:split], [int(d) for d in sys.argv[split + 1 :]]
    keys = {}
    print(f"{'set':8} {'d':>4} {'engine':18} {'s':>8} {'epochs':>6} {'loss':>14} {'peak MiB':>9} {'ratio':>6}")
    for name in sets:
        matrix_path = os.path.join(work, f"{name}.npz")
        matrix = objective.read(os.path.join(work, f"{name}.txt.gz"))
        sparse.save_npz(matrix_path, matrix, compressed=False)
        del matrix
        prefix = "" if name == "gowalla" else f"{name}_"
        for dimension in dimensions:
            for peer, settings in SETTINGS.items():
                trial = Trial(savor, python, work, name, peer, dimension, threads, iterations, settings)
                epochs = trial.epochs_to(trial.peer()["loss"])
                theirs, ours = [], []
                for _ in range(runs):
                    theirs.append(trial.peer())
                    ours.append(trial.savor(epochs))
                ratio = median(theirs, "seconds") / median(ours, "seconds")
                for engine, results, count in ((peer, theirs, iterations), (f"savor as {peer}", ours, epochs)):
                    print(
                        f"{name:8} {dimension:4} {engine:18} {median(results, 'seconds'):8.2f} {count:6} "
                        f"{median(results, 'loss'):14.1f} {median(results, 'peak_mib'):9.0f} "
                        f"{ratio if engine != peer else 1:6.2f}",
                        flush=True,
                    )
                keys[f"{prefix}d{dimension}_vs_{peer}"] = f"{ratio:.2f}"
    print("train", *(f"{key}={value}" for key, value in keys.items()))
    return 0


def median(results: list, key: str) -> float:
    return statistics.median(result[key] for result in results)


class Trial:
    """One peer and Savor on one set at one dimension, under the objective that the peer minimises."""

    def __init__(self, savor, python, work, name, peer, dimension, threads, iterations, settings):
        self._savor, self._work, self._name = savor, work, name
        self._settings = settings
        self._dimension, self._threads = dimension, threads
        matrix, script = os.path.join(work, f"{name}.npz"), os.path.join(HERE, "peer.py")
        numbers = [dimension, iterations, threads, UNOBSERVED_WEIGHT, settings["regularization"]]
        self._peer = [python, script, peer, matrix, *map(str, numbers)]

    def peer(self) -> dict:
        # The engine's own threads are those that count.
        return json.loads(self._run(self._peer, {"OPENBLAS_NUM_THREADS": "1"})[0])

    def savor(self, epochs: int) -> dict:
        command = [self._savor, "evaluate", "--data", os.path.join(self._work, f"{self._name}-data")]
        command += ["--test", os.path.join(self._work, f"{self._name}-test.txt.gz"), "--format", "adjacency", "--format", "json"]
        settings = {
            "model": "ials",
            "dimension": self._dimension,
            "epochs": epochs,
            "threads": self._threads,
            "unobserved_weight": UNOBSERVED_WEIGHT,
            "regularization": self._settings["regularization"],
            "regularization_exponent": self._settings["exponent"],
        }
        for key, value in settings.items():
            command += ["--set", f"train.{key}={value}"]
        out, peak_mib = self._run(command, {})
        evaluation = json.loads(out)
        return {"seconds": evaluation["train_seconds"], "loss": evaluation["loss"], "peak_mib": peak_mib}

    def epochs_to(self, loss: float) -> int:
        """The least number of epochs after which Savor's loss is no larger."""
        low, high = 0, 8
        while self.savor(high)["loss"] > loss:
            low, high = high, 2 * high
            if high > MOST_EPOCHS:
                raise SystemExit(f"error: {low} epochs do not take Savor to the loss {loss:.1f}")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.savor(middle)["loss"] <= loss else (middle, high)
        return high

    @staticmethod
    def _run(command: list, environment: dict) -> tuple:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | environment)
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"error: {' '.join(command)} ended with code {process.returncode}")
        return out, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
