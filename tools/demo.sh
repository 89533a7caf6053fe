#!/usr/bin/env bash
# From nothing to recommendations of films to real people: builds Savor, fetches MovieLens-100K, imports it, trains,
# evaluates, shows what three users liked beside what they are recommended, and serves. Run it as often as you like.
#
#   tools/demo.sh [--no-serve]
#
# Data goes to ~/.cache/savor (XDG_CACHE_HOME moves it, SAVOR_DATA names another data directory), nothing into the clone.
set -euo pipefail

serve=yes
for option in "$@"; do
    case "$option" in
    --no-serve) serve=no ;;
    *) printf 'usage: %s [--no-serve]\n' "$0" >&2 && exit 2 ;;
    esac
done

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
build_savor

mapping="$REPO/tools/movielens.toml"
export SAVOR_DATA="${SAVOR_DATA:-$CACHE/demo}"

say "fetching MovieLens-100K"
find_films ""

say "importing into $SAVOR_DATA"
"$SAVOR" import items "$FILMS/ml-100k.item" --mapping "$mapping"
"$SAVOR" import users "$FILMS/ml-100k.user" --mapping "$mapping"
"$SAVOR" import events "$FILMS/ml-100k.inter" --mapping "$mapping"

say "evaluating: trained on the first 80 % of the ratings, measured on the rest"
"$SAVOR" evaluate

say "training on everything"
"$SAVOR" train --activate always

say "three users: what they liked last, and what they are recommended"
"$SAVOR" recommend 1 196 405 --liked

if [ "$serve" = no ]; then
    printf '\nto serve this: SAVOR_DATA=%s %s serve\n' "$SAVOR_DATA" "$SAVOR"
    exit 0
fi
say "serving; try: curl -s 'http://127.0.0.1:8380/v1/users/1/recommendations?limit=5'"
exec "$SAVOR" serve
