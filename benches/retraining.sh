#!/usr/bin/env bash
# What a question costs while the retraining policy trains in the background, proves, swaps and trains again without end, beside the
# same questions in quiet: seeded users and items, the default model and the default of one thread.
#
#   benches/retraining.sh [--users N] [--items N] [--events N] [--seconds S]
#
# The last line:
#   retraining quiet_p99_ms=… busy_p99_ms=… ratio=…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench retraining -- "$@"
