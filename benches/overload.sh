#!/usr/bin/env bash
# Asks a server for up to ten times what it can answer: goodput (answers within 250 ms), what the answers were, latency,
# refusals and memory, with and without the ladder; then idle, slow and deaf connections, 10,000 of the first.
#
#   benches/overload.sh [--fresh] [-- OPTIONS OF benches/overload]
#
# Capacity is what the same server answers in full in a closed loop over 16 connections. Then questions come in an open loop,
# as they are due, over up to 2,000 connections, one in twenty a write; how many come is counted by the client. The server has the first processor to
# itself and the client the second (taskset), so what the client costs takes nothing from the server; --unpinned leaves that to
# the kernel. Data are made up, seeded, and learned from, ranker included; they stay in the cache folder for the next run, and
# --fresh makes them anew. --seconds S is how long each load lasts. The last line:
#   overload capacity_rps=… goodput_10x_ratio=… whole_10x_ratio=… without_ladder_10x_ratio=… peak_mib=… bound_mib=… PASS
set -euo pipefail

fresh=
while [ $# -gt 0 ]; do
    case "$1" in
    --fresh) fresh=yes; shift ;;
    --) shift; break ;;
    *) printf 'usage: %s [--fresh] [-- OPTIONS]\n' "$0" >&2; exit 2 ;;
    esac
done
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
build_savor
data="$CACHE/bench/overload"
[ -z "$fresh" ] || rm -rf "$data"
mkdir -p "$CACHE/bench"
# 10,000 connections at each end.
ulimit -n "$(ulimit -Hn)"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench overload -- --data "$data" "$@"
