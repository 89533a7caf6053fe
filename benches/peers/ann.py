"""Runs Savor's indexes and their peers in turn: recall and queries per second, build time, bytes per vector, curves.

    python3 ann.py WORK SVG RUNS PEERS SET… -- BENCH…

WORK holds `SET.bundle` for each set of factors, as `savor snapshot export` writes it; the environment's WORDS names the
archive of word vectors for `glove`. BENCH is the command of benches/ann.rs. Every engine answers on one thread (the peers
in one batch, which favours them; the exact ones both query by query and in a batch) and builds with two. A rate is the median over RUNS rounds, each engine once in a round.
At a wanted recall an engine has the narrowest search that reaches it, found by bisection and untimed.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tarfile
import time

THREADS = 2
os.environ.update(OMP_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS="1", RAYON_NUM_THREADS=str(THREADS))

import numpy as np

K, QUERIES = 10, 2000
M, EF_CONSTRUCTION = 16, 200
WIDEST = 4096
CURVE = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]


def main() -> int:
    split = sys.argv.index("--")
    work, svg, runs, peers = sys.argv[1:5]
    keys = {}
    for name in sys.argv[5:split]:
        metric, base, queries, sample = glove() if name == "glove" else factors(work, name, sys.argv[split + 1 :])
        trial = Trial(work, name, metric, base, queries, sample, int(runs), sys.argv[split + 1 :])
        keys |= trial.run(peers.split(","))
        trial.draw(os.path.join(svg, f"ann-{name}.svg"))
    print("ann", *(f"{key}={value:.2f}" for key, value in keys.items()))
    return 0


def glove():
    with tarfile.open(os.environ["WORDS"]) as archive:
        member = next(m for m in archive.getmembers() if m.name.endswith("100d.json"))
        vectors = json.load(archive.extractfile(member))["vectors"]
    words = np.array([vector[:100] for vector in vectors.values()], dtype=np.float32)
    lengths = np.linalg.norm(words, axis=1)
    words = words[lengths > 0] / lengths[lengths > 0, None]
    order = np.random.default_rng(20).permutation(len(words))
    return "cosine", words[np.sort(order[QUERIES:])], words[order[:QUERIES]], None


def factors(work, name, bench):
    """Item factors as base; 2,000 users as queries, 2,000 others for the planner to measure on."""
    sections = bundle(os.path.join(work, f"{name}.bundle"))
    index, out = (os.path.join(work, f"{name}.{ending}") for ending in ("index", "vectors"))
    with open(index, "wb") as file:
        file.write(sections["index"])
    subprocess.run([*bench, "vectors", index, out], check=True)
    rows = np.frombuffer(sections["user_factors"], dtype="<f4")
    manifest = json.loads(sections["manifest"])
    base = np.fromfile(out, dtype="<f4").reshape(manifest["items"], -1)
    rows = rows.reshape(-1, base.shape[1])
    order = np.random.default_rng(20).permutation(len(rows))
    return "dot", base, rows[order[:QUERIES]], rows[order[QUERIES : 2 * QUERIES]]


def bundle(path):
    """The sections of a bundle: … | table | table length u64 | checksum u64 | magic, see src/snapshot/sections.rs."""
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[-24:-16], "little")
    table, at, sections = data[-24 - length : -24], 0, {}
    while at < len(table):
        end = at + 1 + table[at]
        offset, size = (int.from_bytes(table[end + 8 * n : end + 8 * n + 8], "little") for n in (0, 1))
        sections[table[at + 1 : end].decode()] = data[offset : offset + size]
        at = end + 24
    return sections


class Savor:
    def __init__(self, trial, bench, sample):
        paths = [trial.save("base", trial.base), trial.save("queries", trial.queries)]
        paths.append("-" if sample is None else trial.save("sample", sample))
        self._out = os.path.join(trial.work, f"{trial.name}.found")
        command = [*bench, "serve", str(trial.base.shape[1]), trial.metric, *paths]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"error: the bench ended at {line!r}")
        return json.loads(answer)

    def build(self, name, kind, recall):
        return self.ask(f"build {name} {kind} {recall}")

    def search(self, name, way):
        seconds = self.ask(f"search {name} {way} {self._out}")["seconds"]
        return np.fromfile(self._out, dtype="<u4").reshape(-1, K), seconds

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def augmented(base, queries):
    """One more dimension that gives all vectors the same length (Bachrach et al., RecSys 2014)."""
    lengths = np.linalg.norm(base.astype(np.float64), axis=1)
    rest = np.sqrt(np.maximum(lengths.max() ** 2 - lengths**2, 0)).astype(np.float32)
    return np.hstack([base, rest[:, None]]), np.hstack([queries, np.zeros((len(queries), 1), np.float32)])


class Hnswlib:
    def __init__(self, base, metric):
        import hnswlib

        self._index = hnswlib.Index("cosine" if metric == "cosine" else "ip", base.shape[1])
        self._index.init_index(len(base), M=M, ef_construction=EF_CONSTRUCTION)
        self._index.add_items(base, num_threads=THREADS)
        self.bytes = self._index.index_file_size()

    def search(self, queries, ef):
        self._index.set_ef(max(ef, K))
        return self._index.knn_query(queries, K, num_threads=1)[0]


class Faiss:
    def __init__(self, base, metric):
        import faiss

        faiss.omp_set_num_threads(THREADS)
        self._index = faiss.IndexHNSWFlat(base.shape[1], M, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = EF_CONSTRUCTION
        self._index.add(base)
        self.bytes = len(faiss.serialize_index(self._index))
        self._faiss = faiss

    def search(self, queries, ef):
        self._faiss.omp_set_num_threads(1)
        self._index.hnsw.efSearch = ef
        return self._index.search(queries, K)[1]


class Usearch:
    def __init__(self, base, metric):
        from usearch.index import Index

        metric = "cos" if metric == "cosine" else "ip"
        self._index = Index(ndim=base.shape[1], metric=metric, dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION)
        self._index.add(np.arange(len(base)), base, threads=THREADS)
        self.bytes = self._index.serialized_length

    def search(self, queries, ef):
        self._index.expansion_search = ef
        return self._index.search(queries, K, threads=1).keys


class Flat:
    def __init__(self, base):
        import faiss

        self._faiss, self._index = faiss, faiss.IndexFlatIP(base.shape[1])
        self._index.add(base)
        self.bytes = base.nbytes

    def search(self, queries):
        self._faiss.omp_set_num_threads(1)
        return self._index.search(queries, K)[1]


PEERS = {"hnswlib": Hnswlib, "faiss": Faiss, "usearch": Usearch}


class Trial:
    def __init__(self, work, name, metric, base, queries, sample, runs, bench):
        self.work, self.name, self.metric, self.runs = work, name, metric, runs
        self.base, self.queries = np.ascontiguousarray(base), np.ascontiguousarray(queries)
        self.savor = Savor(self, bench, sample)
        self.flat = Flat(self.base)
        # What counts as right: any row whose product is no smaller than the tenth of the exact answer, rounding aside.
        self.exact = self.flat.search(self.queries)
        self.best = np.sort(self._products(self.exact), axis=1)[:, 0]
        self.engines, self.curves = {}, {}

    def save(self, what, rows):
        path = os.path.join(self.work, f"{self.name}.{what}")
        np.ascontiguousarray(rows, dtype="<f4").tofile(path)
        return path

    def _products(self, found):
        known = np.minimum(found.astype(np.int64), len(self.base) - 1)
        products = np.einsum("qd,qkd->qk", self.queries, self.base[known])
        return np.where(found.astype(np.int64) < len(self.base), products, -np.inf)

    def recall(self, found):
        slack = 1e-5 * np.abs(self.best)
        return float((self._products(found) >= (self.best - slack)[:, None]).sum() / (K * len(self.best)))

    def run(self, peers):
        exact = self.savor.build("exact", "exact", 0.95)
        print(f"\n{self.name}: {len(self.base)} × {self.base.shape[1]}, {self.metric}", flush=True)
        print(f"{'engine':22} {'build s':>8} {'bytes/vector':>12}")
        self._built("savor exact", exact)
        builds = {}
        if self.metric == "dot":
            plan = self.savor.build("plan", "auto", 0.95)
            self._built(f"savor plan ({plan['kind']})", plan)
        graph = self.savor.build("graph", "hnsw", 0.9)
        if graph["kind"] == "hnsw":
            builds["savor graph"] = graph["seconds"]
            self._built("savor graph", graph)
            self.engines["savor graph"] = lambda ef: self.savor.search("graph", ef)
        for peer in peers:
            for form in ["raw", "added"] if self.metric == "dot" else ["raw"]:
                base, queries = (self.base, self.queries) if form == "raw" else augmented(self.base, self.queries)
                began = time.monotonic()
                index = PEERS[peer](base, self.metric)
                label = f"{peer} {form}" if self.metric == "dot" else peer
                builds[label] = time.monotonic() - began
                self._built(label, {"seconds": builds[label], "bytes": index.bytes})
                self.engines[label] = timed(index, queries)
        ways = {
            "savor exact": lambda: self.savor.search("exact", "plan"),
            "faiss flat": self._flat,
            "savor exact, batch": lambda: self.savor.search("exact", "batch"),
            "faiss flat, batch": self._flat_batch,
        }
        if self.metric == "dot":
            ways["savor plan"] = lambda: self.savor.search("plan", "plan")
        rates = self._rates(ways)
        print(f"{'exact and planned':22} {'recall':>7} {'qps':>9}")
        for label, (recall, rate) in rates.items():
            print(f"{label:22} {recall:7.4f} {rate:9.0f}", flush=True)
        if rates["savor exact"][0] < 0.9999:
            raise SystemExit("error: the exact scan is not exact")
        self._sweep()
        wanted = {0.9: "r90", 0.95: "r95", 0.975: "r975", 0.985: "r985"}
        reached = {recall: self._at(recall) for recall in wanted}
        return self._keys(wanted, reached, rates, builds)

    def _keys(self, wanted, reached, rates, builds):
        rate = {label: figures[1] for label, figures in rates.items()}
        keys = {
            f"{self.name}_exact_vs_flat": rate["savor exact"] / rate["faiss flat"],
            f"{self.name}_exact_vs_flat_batch": rate["savor exact, batch"] / rate["faiss flat, batch"],
        }
        if self.metric == "dot":
            for recall, ending in ((0.95, "graph95"), (0.985, "graph985")):
                graphs = [figures[1] for label, figures in reached[recall].items() if not label.startswith("savor")]
                if not graphs:
                    continue
                keys[f"{self.name}_exact_vs_{ending}"] = rate["savor exact"] / max(graphs)
                if recall == 0.95 and rates["savor plan"][0] >= 0.94:
                    keys[f"{self.name}_plan95_vs_{ending}"] = rate["savor plan"] / max(graphs)
            return keys
        for recall, ending in wanted.items():
            if "savor graph" in reached[recall] and "hnswlib" in reached[recall]:
                ratio = reached[recall]["savor graph"][1] / reached[recall]["hnswlib"][1]
                keys[f"{self.name}_vs_hnswlib_{ending}"] = ratio
        if "savor graph" in builds and "hnswlib" in builds:
            # How many times hnswlib's time ours takes.
            keys[f"{self.name}_build_vs_hnswlib"] = builds["savor graph"] / builds["hnswlib"]
        return keys

    def _built(self, label, figures):
        print(f"{label:22} {figures['seconds']:8.1f} {figures['bytes'] / len(self.base):12.0f}", flush=True)

    def _flat(self):
        """Query by query, as a server is asked; a tenth of the queries, as it takes long."""
        few = self.queries[: len(self.queries) // 10]
        began = time.monotonic()
        for query in few:
            self.flat.search(query[None])
        took = time.monotonic() - began
        return self.exact, took * len(self.queries) / len(few)

    def _flat_batch(self):
        """All queries at once: a matrix product."""
        began = time.monotonic()
        return self.flat.search(self.queries), time.monotonic() - began

    def _rates(self, ways):
        seconds = {label: [] for label in ways}
        recalls = {}
        for _ in range(self.runs):
            for label, way in ways.items():
                found, took = way()
                seconds[label].append(took)
                recalls[label] = self.recall(found)
        return {label: (recalls[label], len(self.queries) / statistics.median(seconds[label])) for label in ways}

    def _sweep(self):
        print(f"{'ef':22} " + " ".join(f"{label:>18}" for label in self.engines) + "   (recall qps)")
        for ef in CURVE:
            row = self._rates({label: (lambda engine=engine: engine(ef)) for label, engine in self.engines.items()})
            for label, point in row.items():
                self.curves.setdefault(label, []).append(point)
            print(f"{ef:<22} " + " ".join(f"{recall:9.4f} {rate:8.0f}" for recall, rate in row.values()), flush=True)

    def _at(self, wanted):
        """Each engine at the narrowest search that reaches the recall, in turn; those that do not reach it are left out."""
        breadths = {}
        for label, engine in self.engines.items():
            low, high = K - 1, WIDEST
            if self.recall(engine(high)[0]) < wanted:
                continue
            while high - low > 1 and high - low > low // 50:
                middle = (low + high) // 2
                low, high = (low, middle) if self.recall(engine(middle)[0]) >= wanted else (middle, high)
            breadths[label] = high
        ways = {label: (lambda engine=self.engines[label], ef=ef: engine(ef)) for label, ef in breadths.items()}
        rates = self._rates(ways)
        for label, (recall, rate) in rates.items():
            print(f"recall ≥ {wanted:<5}  {label:18} ef {breadths[label]:5} {recall:7.4f} {rate:9.0f} qps", flush=True)
        return rates

    def draw(self, path):
        """Recall from .7 to 1 across, queries per second on a logarithmic scale upwards."""
        width, height, left, top = 720, 440, 70, 30
        rates = [rate for curve in self.curves.values() for recall, rate in curve if recall >= 0.7]
        if not rates:
            return
        low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
        x = lambda recall: left + (recall - 0.7) / 0.3 * width
        y = lambda rate: top + (high - math.log10(rate)) / max(high - low, 1) * height
        colours = ["#d1242f", "#0969da", "#54aeff", "#1a7f37", "#4ac26b", "#9a6700", "#d4a72c"]
        out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 270} {height + 80}" font-family="sans-serif" font-size="12">']
        out.append(f'<text x="{left}" y="18">{self.name}: queries per second, one thread, by recall@{K}</text>')
        for step in range(7):
            recall = 0.7 + 0.05 * step
            out.append(f'<path d="M{x(recall):.1f} {top}V{top + height}" stroke="#ddd"/>')
            out.append(f'<text x="{x(recall) - 10:.1f}" y="{top + height + 18}">{recall:.2f}</text>')
        for power in range(low, high + 1):
            out.append(f'<path d="M{left} {y(10**power):.1f}h{width}" stroke="#ddd"/>')
            out.append(f'<text x="8" y="{y(10**power) + 4:.1f}">{10**power:,}</text>')
        for at, (label, curve) in enumerate(self.curves.items()):
            colour = colours[at % len(colours)]
            points = " ".join(f"{x(recall):.1f},{y(rate):.1f}" for recall, rate in curve if recall >= 0.7)
            out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
            out.append(f'<text x="{left + width + 12}" y="{top + 16 + 18 * at}" fill="{colour}">{label}</text>')
        with open(path, "w") as file:
            file.write("\n".join([*out, "</svg>\n"]))
        self.savor.close()
        print(f"curves: {path}", flush=True)


def timed(index, queries):
    def search(ef):
        began = time.monotonic()
        found = index.search(queries, ef)
        return found, time.monotonic() - began

    return search


if __name__ == "__main__":
    sys.exit(main())
