#!/usr/bin/env bash
# Ten million vectors of 64 values in the shape of learned factors (clusters in a falling spectrum, lognormal lengths; a fixed
# seed): written as a stream, indexed for the inner product by one process and served by another from the mapped file. Tells
# how long the build takes and its largest resident memory; the time to open a file that is in no cache; memory after the
# questions, mapped pages of the file included and, as anon, without them; questions a second on one thread, k = 10; recall
# beside a pass over all vectors; and the time to verify the whole file.
#
#   benches/scale.sh [--rows N] [--index exact|hnsw|auto]
#
# SAVOR_BENCH_DIR=DIR puts the data (some 7 GB) on another disk than the temporary folder's. The last line:
#   scale rows=… build_s=… build_peak_mib=… file_mib=… open_ms=… serve_rss_mib=… serve_anon_mib=… qps=… recall=… verify_s=…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench scale -- "$@"
