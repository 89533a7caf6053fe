#!/usr/bin/env bash
# Training time at equal loss, beside implicit 0.7.3 and irspack 0.5.2: two threads, Gowalla and a synthetic set in the
# shape of MovieLens-20M, engines in turn, medians. What is compared under which objective, train.py and peer.py say.
#
#   benches/peers/train.sh [--dim D]… [--data DIR] [--runs N] [--only gowalla|ml20m]
#
# --dim may be given several times (64, 128 and 256 if absent); --data DIR holds train.txt.gz of Gowalla, lines
# `user item item …`, ../shared/data/gowalla beside the repository if absent. The peers are installed from the package
# registry into the cache folder. The table has the peak of each whole process beside the time; memory of training alone
# is measured by benches/training.sh. The last line, with their time over ours:
#   train d64_vs_implicit=… d64_vs_irspack=… … ml20m_d64_vs_implicit=… …
set -euo pipefail

usage() { printf 'usage: %s [--dim D]… [--data DIR] [--runs N] [--only gowalla|ml20m]\n' "$0" >&2 && exit 2; }
data= dimensions=() runs=5 sets=(gowalla ml20m)
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case "$1" in
    --data) data="$2" ;;
    --dim) dimensions+=("$2") ;;
    --runs) runs="$2" ;;
    --only) sets=("$2") ;;
    *) usage ;;
    esac
    shift 2
done
[ ${#dimensions[@]} -gt 0 ] || dimensions=(64 128 256)
threads=2 iterations=15

source "$(dirname "${BASH_SOURCE[0]}")/../../tools/setup.sh"
peers="$REPO/benches/peers"
data="${data:-$REPO/../shared/data/gowalla}"
[ -f "$data/train.txt.gz" ] || die "there is no $data/train.txt.gz. Expected the Gowalla split of NGCF and LightGCN, \
lines 'user item item …', gzipped; --data DIR names its folder"
# The workplace may force a slower kernel on an old OpenBLAS; a current one must not be handicapped.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

venv="$CACHE/peers"
if ! "$venv/bin/python" -c 'import implicit, irspack, scipy' 2>/dev/null; then
    say "installing the peers into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q implicit==0.7.3 irspack==0.5.2 numpy scipy >&2
fi
build_savor

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for name in "${sets[@]}"; do
    say "importing $name"
    case "$name" in
    gowalla) cp "$data/train.txt.gz" "$work/gowalla.txt.gz" ;;
    ml20m)
        made="$CACHE/ml20m-seed20.txt.gz"
        [ -f "$made" ] || { "$venv/bin/python" "$peers/synthetic.py" "$made.part" && mv "$made.part" "$made"; }
        ln -s "$made" "$work/ml20m.txt.gz" ;;
    *) usage ;;
    esac
    "$SAVOR" import events "$work/$name.txt.gz" --format adjacency --data "$work/$name-data" >&2
    # Something to be evaluated on is asked for; what comes out is not looked at.
    echo 0 {0..200} | gzip > "$work/$name-test.txt.gz"
done
"$venv/bin/python" "$peers/train.py" "$SAVOR" "$venv/bin/python" "$work" "$runs" "$threads" "$iterations" \
    "${sets[@]}" -- "${dimensions[@]}"
