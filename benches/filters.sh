#!/usr/bin/env bash
# Filters that 50 %, 5 %, 0.5 % and 0.01 % of the items pass, on 40,981 and on a million items with vectors in the shape of
# learned factors (d = 64): the time to make a filter a bitmap, first and again; the time of a question with the filter
# beside the same one without; and recall@10 against all candidates scored.
#
#   benches/filters.sh [--items N,N,…] [--index exact|hnsw|auto]
#
# SAVOR_BENCH_DIR=DIR puts the data (about 2 GB for a million items) on another disk than the temporary folder's. The index
# is the exact scan if nothing is said. The last line, its keys for each number of items N and each share of 50, 5, 0.5, 0.01:
#   filters nN.put_per_s=… nN.range_ms@50=… nN.match_ms@50=… nN.again_us@50=… nN.compound_us@50=… … nN.plain_ms=… nN.ms@50=…
#   nN.ratio@50=… nN.recall@50=… …
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench filters -- "$@"
