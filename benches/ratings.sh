#!/usr/bin/env bash
# Errors of foretold ratings on MovieLens-100K with the default settings: pairs drawn at random into five parts, each
# foretold once from the other four, all ratings counted; beside them the mean rating and the biases alone.
#
#   benches/ratings.sh [--data DIR] [-- OPTIONS OF savor evaluate]
#
# --data DIR holds ml-100k.inter; without it the file is fetched into the cache folder. The last line:
#   ratings rmse=… mae=… mean_rmse=… bias_rmse=… bias_mae=… train_s=…
# Published for five random folds (README of the package Surprise, RMSE/MAE): SVD .934/.737, SVD++ .92/.722.
set -euo pipefail

usage() { printf 'usage: %s [--data DIR] [-- OPTIONS OF savor evaluate]\n' "$0" >&2 && exit 2; }
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
export SAVOR_DATA="$work/data"
"$SAVOR" import events "$FILMS/ml-100k.inter" --mapping "$REPO/tools/movielens.toml" >&2
python3 "$REPO/benches/evaluate.py" ratings rmse mae mean_rmse bias_rmse bias_mae train_s -- \
    "$SAVOR" evaluate --model ratings --split folds:5 --format json "$@"
