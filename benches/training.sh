#!/usr/bin/env bash
# What training needs, on Gowalla and on a generated dense set of 5,000 users, 7,000 items and some 418,000 pairs: live
# memory of the library while factors are trained over that of matrix and factors (RocksDB's own caches not counted), the
# same of the default model in MiB, and the seconds of the linear item model with two threads.
#
#   benches/training.sh [--data DIR]
#
# --data DIR holds train.txt.gz, lines `user item item …`; ../shared/data/gowalla beside the repository if absent. The
# last line:
#   training d64_peak_ratio=… d128_peak_ratio=… d256_peak_ratio=… default_peak_mib=… linear_dense_s=… linear_large_s=…
set -euo pipefail

data=
if [ $# -eq 2 ] && [ "$1" = --data ]; then data="$2"; elif [ $# -gt 0 ]; then printf 'usage: %s [--data DIR]\n' "$0" >&2; exit 2; fi
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
data="${data:-$REPO/../shared/data/gowalla}"
[ -f "$data/train.txt.gz" ] || die "there is no $data/train.txt.gz. Expected the Gowalla split of NGCF and LightGCN, \
lines 'user item item …', gzipped; --data DIR names its folder"
SAVOR_BENCH_PAIRS="$(realpath "$data/train.txt.gz")" \
    cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench training
