#!/usr/bin/env bash
# Asks a running server everything that its OpenAPI document allows, and what it does not, with schemathesis and all of its
# checks: no fault of the server, no answer that is not in the document, none without a key. The server holds a small world of
# users and items that is made here, with a trained model. Installs schemathesis into the cache folder if need be.
#
#   tools/schemathesis.sh [EXAMPLES [SEED]]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
examples="${1:-50}"
seed="${2:-1}"
build_savor
st="$CACHE/tools/schemathesis/bin/st"
[ -x "$st" ] || { python3 -m venv "$CACHE/tools/schemathesis" && "${st%/st}/pip" install --quiet schemathesis==4.32.5; }

dir="$(mktemp -d)"
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT

say "a world of 200 users and 300 films"
awk 'BEGIN { srand(1); print "user_id,item_id,rating,timestamp"
    for (n = 0; n < 6000; n++) printf "u%d,i%d,%d,%d\n", rand() * 200, rand() * rand() * 300, 1 + rand() * 5, 881250949 + n * 60 }' > "$dir/events.csv"
awk 'BEGIN { srand(2); print "item_id,title,genres,year,embedding"
    for (n = 0; n < 300; n++) printf "i%d,Film %d,g%d|g%d,%d,%.3f %.3f %.3f\n", n, n, n % 7, n % 5, 1950 + n % 50, rand(), rand(), rand() }' > "$dir/items.csv"
printf '[items]\nvectors = { image = "embedding" }\n' > "$dir/mapping.toml"
printf '[train]\ndimension = 8\nepochs = 3\n[evaluate]\nbootstrap = 20\n[store]\ndurability = "async"\n' > "$dir/savor.toml"
run() { "$SAVOR" --data "$dir/data" --config "$dir/savor.toml" "$@" >&2; }
run import items "$dir/items.csv" --mapping "$dir/mapping.toml"
run import events "$dir/events.csv"
run train
SAVOR_API_KEY="$("$SAVOR" --data "$dir/data" key create schemathesis --scope read,write,manage,operate)"
export SAVOR_API_KEY

say "schemathesis, $examples examples for each operation, seed $seed"
"$SAVOR" --data "$dir/data" --config "$dir/savor.toml" serve --listen 127.0.0.1:0 2> "$dir/log" &
server=$!
for _ in $(seq 100); do
    url="$(sed -n 2p "$dir/data/LOCK" 2>/dev/null || true)"
    [ -z "$url" ] || break
    sleep 0.1
done
[ -n "$url" ] || { cat "$dir/log" >&2; die "the server did not start"; }
cd "$dir"
"$st" --config-file "$REPO/tools/schemathesis.toml" run "$url/openapi.json" --checks all --max-examples "$examples" \
    --seed "$seed" --continue-on-failure --suppress-health-check all --generation-database none --no-color
kill -0 "$server" || die "the server is gone"
