#!/usr/bin/env bash
# What experiments add to an answer: 10,000 questions of ten items each, asked in turns of an engine that keeps nothing, of
# one that keeps what it shows (exposures), and of one on which two experiments run as well, one with a filter on profiles.
#
#   benches/experiments.sh
#
# The last line:
#   experiments plain.p50_ms=… plain.p99_ms=… kept.p50_ms=… … tested.p50_ms=… … report.answers=… report.ms=…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench experiments -- "$@"
