#!/usr/bin/env bash
# What a question costs while 1,000 items a second are put and as many deleted, with all that follows (filters, vectors that
# wait, freezing in the background), beside the same questions in quiet: raw spaces of 100,000 × 100 by cosine and by inner
# product, and recommendations of a model whose items are hidden, shown and changed. Every answer is checked. Between the two,
# the same is done to another directory on the same machine: what questions lose then is no engine's to give.
#
#   benches/freshness.sh [--items N] [--seconds S] [--only cosine,dot,model]
#
# --seconds is the length of each run. SAVOR_BENCH_DIR=DIR puts the data on another disk than the temporary folder's. The
# last line has the worst of the three, and the ratios of each to the quiet p99:
#   freshness quiet_p99_ms=… elsewhere_p99_ms=… busy_p99_ms=… ratio=… cosine_ratio=… cosine_elsewhere_ratio=… dot_… model_…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench freshness -- "$@"
