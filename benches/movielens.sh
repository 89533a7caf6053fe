#!/usr/bin/env bash
# Quality on MovieLens-100K with the default settings: global time split (measured on the last 20 % of the ratings),
# popularity beside the model, ranking over the whole catalogue.
#
#   benches/movielens.sh [--tuned] [--data DIR] [-- OPTIONS OF savor evaluate]
#
# --tuned searches settings first, by 60 trials inside the training part, and measures with what they found. --data DIR holds ml-100k.inter, .item and .user; without it they are fetched into the cache folder. The last line:
#   movielens ndcg@10=… recall@20=… pop_ndcg@10=… pop_recall@20=… train_s=…
set -euo pipefail

usage() { printf 'usage: %s [--tuned] [--data DIR] [-- OPTIONS OF savor evaluate]\n' "$0" >&2 && exit 2; }
films= tuned=
while [ $# -gt 0 ]; do
    case "$1" in
    --data) [ $# -ge 2 ] || usage; films="$2"; shift 2 ;;
    --tuned) tuned=yes; shift ;;
    --) shift; break ;;
    *) usage ;;
    esac
done

source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
build_savor
find_films "$films"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export SAVOR_DATA="$work/data"
for kind in items:item users:user events:inter; do
    "$SAVOR" import "${kind%:*}" "$FILMS/ml-100k.${kind#*:}" --mapping "$REPO/tools/movielens.toml" >&2
done
if [ -n "$tuned" ]; then
    "$SAVOR" tune --inside-split time:0.8 --trials 60 --metric ndcg@10 >&2
fi
python3 "$REPO/benches/evaluate.py" movielens ndcg@10 recall@20 pop_ndcg@10 pop_recall@20 train_s -- \
    "$SAVOR" evaluate --split time:0.8 --format json "$@"
