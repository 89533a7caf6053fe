#!/usr/bin/env bash
# Quality, training time and memory on Gowalla, in the split of NGCF and LightGCN: all of train.txt.gz is trained on, all
# of test.txt.gz is tested, ranking over the whole catalogue.
#
#   benches/gowalla.sh [--dim D] [--tuned] [--data DIR] [-- OPTIONS OF savor evaluate]
#
# --dim D measures iALS alone with factors of that length; without it, the default model. --tuned searches settings
# first, by 40 trials or 30 minutes inside the training part, and measures with what they found; SAVOR_TUNE_MINUTES
# changes the minutes. --data DIR holds train.txt.gz and test.txt.gz, lines `user item item …`; ../shared/data/gowalla
# beside the repository if absent. The last line, with the peak of resident memory of `savor evaluate`:
#   gowalla recall@20=… ndcg@20=… train_s=… peak_mib=…
set -euo pipefail

usage() { printf 'usage: %s [--dim D] [--tuned] [--data DIR] [-- OPTIONS OF savor evaluate]\n' "$0" >&2 && exit 2; }
data= tuned= settings=()
while [ $# -gt 0 ]; do
    case "$1" in
    --data) [ $# -ge 2 ] || usage; data="$2"; shift 2 ;;
    --dim) [ $# -ge 2 ] || usage; settings+=(--model ials --dimension "$2"); shift 2 ;;
    --tuned) tuned=yes; shift ;;
    --) shift; break ;;
    *) usage ;;
    esac
done

source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
data="${data:-$REPO/../shared/data/gowalla}"
for part in train test; do
    [ -f "$data/$part.txt.gz" ] || die "there is no $data/$part.txt.gz. Expected the Gowalla split of NGCF and LightGCN, \
lines 'user item item …', gzipped; --data DIR names its folder"
done
build_savor

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export SAVOR_DATA="$work/data"
"$SAVOR" import events "$data/train.txt.gz" --format adjacency >&2
if [ -n "$tuned" ]; then
    # All that is stored is the training part: the test pairs are in a file of their own.
    "$SAVOR" tune --trials 40 --minutes "${SAVOR_TUNE_MINUTES:-30}" --metric ndcg@20 >&2
fi
python3 "$REPO/benches/evaluate.py" gowalla recall@20 ndcg@20 train_s peak_mib -- \
    "$SAVOR" evaluate --test "$data/test.txt.gz" --format adjacency --format json "${settings[@]}" "$@"
