#!/usr/bin/env bash
# The hit rate of the next like among twenty items while MovieLens-100K is replayed in the order of time: of the last 20 % of the ratings, each of at
# least four stars is asked for before it is told. Held beside each other: a snapshot that nobody touches (static), one
# that is trained anew after each day (daily), fold-in of every event at once without training (live), with items that
# follow their new events (live_refresh), and both with daily training (live_daily, live_daily_refresh). All settings are the defaults.
#
#   benches/replay.sh [--data DIR] [--only static,daily,…] [--list N] [--half-life SPAN] [--trend τ]
#
# --data DIR holds ml-100k.inter; without it it is fetched into the cache folder. --list N asks for N items; the keys say so. --half-life is events.half_life, --trend is train.trend. The last line:
#   replay hit@20_static=… hit@20_daily=… hit@20_live=… hit@20_live_refresh=… hit@20_live_daily=… hit@20_live_daily_refresh=…
set -euo pipefail

usage() { printf 'usage: %s [--data DIR] [--only NAMES] [--list N] [--half-life SPAN] [--trend NUMBER]\n' "$0" >&2 && exit 2; }
films= options=()
while [ $# -gt 0 ]; do
    case "$1" in
    --data) [ $# -ge 2 ] || usage; films="$2"; shift 2 ;;
    --only | --list | --half-life | --trend) [ $# -ge 2 ] || usage; options+=("$1" "$2"); shift 2 ;;
    *) usage ;;
    esac
done
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
find_films "$films"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench replay -- --data "$FILMS" "${options[@]}"
