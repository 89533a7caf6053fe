#!/usr/bin/env bash
# Is it worth places of an answer to say what people take next? A replay of the last fifth of MovieLens-100K, film by film,
# for several recommend.next_share, with and without the ranker. (Gowalla's check-ins have no times: nothing follows there.)
#
#   benches/next.sh [--films DIR]
#
# --films DIR holds ml-100k.inter and .item; without it they are fetched into the cache folder. The last line has hit@10:
#   next retrieval_0.0=… retrieval_0.1=… … ranked_0.0=… …
set -euo pipefail

usage() { printf 'usage: %s [--films DIR]\n' "$0" >&2 && exit 2; }
films=
while [ $# -gt 0 ]; do
    case "$1" in
    --films) [ $# -ge 2 ] || usage; films="$2"; shift 2 ;;
    *) usage ;;
    esac
done

source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
find_films "$films"
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench next -- --films "$FILMS"
