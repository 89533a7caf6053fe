#!/usr/bin/env bash
# What the ranker adds to retrieval: NDCG@10 over the whole catalogue on the last 20 % of the events by time, with the
# paired interval of the difference, of lists without what a user had any event with before, as answers are; on a line before it
# that begins with "usual" the same of lists without what was liked alone. And the time that ranking 500 candidates adds to an answer on one core, features
# included. On MovieLens-100K with genres, years and demographics; before that on a seeded shop with views, carts and
# purchases (benches/shop.py). All settings are the defaults; the ranker is learned and judged inside the training part.
#
#   benches/ranking.sh [--data DIR]
#
# --data DIR holds ml-100k.inter, .item and .user; without it they are fetched into the cache folder. The last line:
#   ranking ndcg@10_retrieval=… ndcg@10_ranked=… low=… high=… rank500_p50_ms=…
set -euo pipefail

usage() { printf 'usage: %s [--data DIR]\n' "$0" >&2 && exit 2; }
films=
while [ $# -gt 0 ]; do
    case "$1" in
    --data) [ $# -ge 2 ] || usage; films="$2"; shift 2 ;;
    *) usage ;;
    esac
done

source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
build_savor
find_films "$films"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The figures of a data directory, on two lines with a name.
measure() {
    local quality time
    gain() {
        SAVOR_DATA="$2" python3 "$REPO/benches/evaluate.py" "$1" ndcg@10_retrieval ndcg@10_ranked low high -- \
            "$SAVOR" evaluate --split time:0.8 --format json "${@:3}"
    }
    gain "usual $1" "$2"
    quality="$(gain "$1" "$2" --exclude-seen)"
    SAVOR_DATA="$2" "$SAVOR" train --activate always >&2
    time="$(cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench ranking -- "$2")"
    printf '%s %s\n' "$quality" "${time%% *}"
}

python3 "$REPO/benches/shop.py" "$work"
for kind in items users events; do
    SAVOR_DATA="$work/shop" "$SAVOR" import "$kind" "$work/$kind.jsonl" >&2
done
measure shop "$work/shop"

for kind in items:item users:user events:inter; do
    SAVOR_DATA="$work/films" "$SAVOR" import "${kind%:*}" "$FILMS/ml-100k.${kind#*:}" \
        --mapping "$REPO/tools/movielens.toml" >&2
done
measure ranking "$work/films"
