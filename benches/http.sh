#!/usr/bin/env bash
# How fast `GET /v1/users/{id}/recommendations` (ten items, seen ones left out) is answered over HTTP by the default model
# of Gowalla, beside a bare warp server that sends the same bytes: latency over one connection, throughput over several.
#
#   benches/http.sh [--data DIR | --movielens [DIR] [--ranked]] [--fresh] [-- OPTIONS OF benches/http.rs]
#
# --data DIR holds train.txt.gz of the Gowalla split of NGCF and LightGCN, lines `user item item …`; ../shared/data/gowalla
# beside the repository if absent. --movielens takes MovieLens-100K instead: DIR holds ml-100k.inter, .item and .user;
# without it they are fetched. --ranked has its ranker put 500 candidates in order for each answer, and asks for those whose answers have
# an order of it (such answers are never kept); otherwise none is learned. The trained directory stays in the cache folder for the next run;
# --fresh trains anew. Options of the benchmark are --seconds S (of each measurement, five rounds) and --connections C. Measured three
# times: each answer made anew; answers that are kept from before; and these without keeping what is shown. The last line:
#   http p50_ms=… p99_ms=… rps=… bare_warp_rps=… ratio=… kept_p50_ms=… kept_p99_ms=… kept_ratio=… unlogged_ratio=…
set -euo pipefail

usage() { printf 'usage: %s [--data DIR | --movielens [DIR] [--ranked]] [--fresh] [-- OPTIONS]\n' "$0" >&2 && exit 2; }
data= set=gowalla films= fresh= ranked=
while [ $# -gt 0 ]; do
    case "$1" in
    --data) [ $# -ge 2 ] || usage; data="$2"; shift 2 ;;
    --movielens)
        set=movielens; shift
        case "${1:---}" in --*) ;; *) films="$1"; shift ;; esac ;;
    --ranked) ranked=--ranked; shift ;;
    --fresh) fresh=yes; shift ;;
    --) shift; break ;;
    *) usage ;;
    esac
done

[ -z "$ranked" ] || [ "$set" = movielens ] || usage

source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
build_savor

trained="$CACHE/bench/$set${ranked:+-ranked}"
[ -z "$fresh" ] || rm -rf "$trained"
if [ ! -d "$trained" ]; then
    # Made beside and renamed: a run that was cut short leaves no half of it.
    mkdir -p "$CACHE/bench"
    work="$(mktemp -d "$CACHE/bench/.$set.XXXXXX")"
    trap 'rm -rf "$work"' EXIT
    if [ "$set" = gowalla ]; then
        data="${data:-$REPO/../shared/data/gowalla}"
        [ -f "$data/train.txt.gz" ] || die "there is no $data/train.txt.gz. Expected the Gowalla split of NGCF and LightGCN, \
lines 'user item item …', gzipped; --data DIR names its folder"
        "$SAVOR" import events "$data/train.txt.gz" --format adjacency --data "$work/data" >&2
    else
        find_films "$films"
        for kind in items:item users:user events:inter; do
            "$SAVOR" import "${kind%:*}" "$FILMS/ml-100k.${kind#*:}" --mapping "$REPO/tools/movielens.toml" --data "$work/data" >&2
        done
    fi
    options=(--no-ranker)
    [ -z "$ranked" ] || options=()
    "$SAVOR" train --data "$work/data" "${options[@]}" >&2
    mv "$work/data" "$trained"
fi
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench http -- --data "$trained" $ranked "$@"
