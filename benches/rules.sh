#!/usr/bin/env bash
# What a scenario adds to an answer of ten items: no rule; two boosts and a bury; these with an exclusion, only new items, a pin,
# two slots, a quota and a frequency cap. Made data: 2,000 users, 80,000 events, 20,000 items or as many as are said; the default
# model; one thread, the ways of asking in turn.
#
#   benches/rules.sh [--items N]
#
# The last line, times in microseconds, medians:
#   rules items=… plain_p50_us=… plain_adds_us=… empty_p50_us=… empty_adds_us=… boosts_p50_us=… boosts_adds_us=… all_p50_us=… all_adds_us=…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench rules -- "$@"
