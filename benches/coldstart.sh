#!/usr/bin/env bash
# Cold start with the default settings, on MovieLens-100K: a tenth of the films hidden from training, then put in as new
# and asked for by the people who liked them (ten rounds, each film is new once); a fifth of the people hidden from training,
# then known by their profile and by their first 0, 1, 2 and 5 films (five rounds). Recall@20 with 95 % intervals over
# people, beside what can be had without a model; and people who came after the training at five moments, from their first films,
# with and without the ranker that time has taught. With --data, also new users of Gowalla from 1, 2 and 5 places.
#
#   benches/coldstart.sh [--films DIR] [--data DIR] [--config FILE] [--only items|people|arriving|gowalla]
#
# --films DIR holds ml-100k.inter, .item and .user; without it they are fetched into the cache folder. --data DIR holds
# train.txt.gz and test.txt.gz of Gowalla; ../shared/data/gowalla beside the repository if it is there. --config FILE has settings
# in place of the defaults. The last line:
#   coldstart cold_item_recall@20=… random=… popular=… genre=… popular_known=… all_recall@20=… all_random=… all_genre=…
#   cold_user_0=… cold_user_1=… cold_user_2=… cold_user_5=… popular_user=… … arriving_1=… arriving_1_retrieval=… … gowalla_user_1=… … gowalla_popular=…
set -euo pipefail

usage() { printf 'usage: %s [--films DIR] [--data DIR] [--config FILE] [--only items|people|arriving|gowalla]\n' "$0" >&2 && exit 2; }
films= data= only= config=
while [ $# -gt 0 ]; do
    case "$1" in
    --films) [ $# -ge 2 ] || usage; films="$2"; shift 2 ;;
    --data) [ $# -ge 2 ] || usage; data="$2"; shift 2 ;;
    --config) [ $# -ge 2 ] || usage; config="$2"; shift 2 ;;
    --only) [ $# -ge 2 ] || usage; only="$2"; shift 2 ;;
    *) usage ;;
    esac
done

source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup.sh"
find_films "$films"
options=(--films "$FILMS")
[ -n "$config" ] && options+=(--config "$config")
[ -n "$only" ] && options+=(--only "$only")
[ -n "$data" ] && [ ! -f "$data/train.txt.gz" ] && die "there is no $data/train.txt.gz. Expected the Gowalla split of NGCF \
and LightGCN, lines 'user item item …', gzipped"
data="${data:-$REPO/../shared/data/gowalla}"
[ -f "$data/train.txt.gz" ] && options+=(--gowalla "$data")
cargo bench --quiet --locked --manifest-path "$REPO/Cargo.toml" --bench coldstart -- "${options[@]}"
