#!/usr/bin/env bash
# What one tenant's answers take while another floods the same server with questions (16 connections), batches of events (4
# connections, 500 each) and one training after the other; and what an idle tenant takes in memory.
#
#   benches/tenants.sh [-- OPTIONS OF benches/tenants.rs]
#
# Options are --seconds S (of each measurement, three rounds), --rate R (questions a second of the quiet tenant) and --idle N (tenants
# that do nothing). The data are made from a fixed seed. Measured in turn: the quiet tenant alone; beside the noise under the
# default quota (8 requests in work); and beside it without that quota. The last line:
#   tenants alone_p50_ms=… alone_p99_ms=… beside_p50_ms=… beside_p99_ms=… factor=… unlimited_p99_ms=… refused=… idle_kib=…
set -euo pipefail

[ "${1:---}" = -- ] || { printf 'usage: %s [-- OPTIONS]\n' "$0" >&2 && exit 2; }
[ $# -eq 0 ] || shift

source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
build_savor
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench tenants -- "$@"
