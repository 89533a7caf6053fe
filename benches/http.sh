#!/usr/bin/env bash
# How fast `GET /v1/users/{id}/recommendations` is answered over HTTP on MovieLens-100K with the default settings, beside a
# bare warp server that sends an answer of the same content: latency over one connection, throughput over several.
#
#   benches/http.sh [--data DIR] [-- OPTIONS OF benches/http.rs]
#
# --data DIR holds ml-100k.inter, .item and .user; without it they are fetched into the cache folder. Options of the
# benchmark are --seconds S (of each measurement, five rounds) and --connections C. The last line:
#   http p50_ms=… p99_ms=… rps=… bare_warp_rps=… ratio=…
set -euo pipefail

usage() { printf 'usage: %s [--data DIR] [-- OPTIONS OF benches/http.rs]\n' "$0" >&2 && exit 2; }
films=
while [ $# -gt 0 ]; do
    case "$1" in
    --data) [ $# -ge 2 ] || usage; films="$2"; shift 2 ;;
    --) shift; break ;;
    *) usage ;;
    esac
done

source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
build_savor
find_films "$films"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for kind in items:item users:user events:inter; do
    "$SAVOR" import "${kind%:*}" "$FILMS/ml-100k.${kind#*:}" --mapping "$REPO/tools/movielens.toml" --data "$work/data" >&2
done
"$SAVOR" train --data "$work/data" >&2
cargo bench --quiet --manifest-path "$REPO/Cargo.toml" --bench http -- --data "$work/data" "$@"
