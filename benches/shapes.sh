#!/usr/bin/env bash
# The default model on six synthetic sets of different shapes (dense, sparse, with times and several event types, ratings,
# nothing but popularity, tiny), beside popularity and beside each of its parts alone, on the same test users. Ends with
# code 1 where the default model is worse than popularity or than a part, beyond the paired 95 % interval on NDCG@10 or
# Recall@20, or where a figure is not a number.
#
#   benches/shapes.sh
#
# The last line, with how far the default model is ahead of popularity and of the best part on NDCG@10:
#   shapes dense_vs_popularity=… dense_vs_best_part=… sparse_vs_popularity=… … worse=…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
build_savor

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 "$REPO/benches/shapes.py" "$work"
for file in "$work"/*.csv; do
    name="$(basename "$file" .csv)"
    "$SAVOR" import events "$file" --data "$work/$name" >&2
    "$SAVOR" evaluate --data "$work/$name" --format json \
        --compare model=ials --compare model=filter --compare model=linear > "$work/$name.json"
done
python3 "$REPO/benches/shapes_verdict.py" "$work"/*.json
