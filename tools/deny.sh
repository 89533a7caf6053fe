#!/usr/bin/env bash
# What Savor is made of: licences, second versions and sources of all dependencies (deny.toml), dependencies that nothing
# uses, and known advisories. The database of advisories is fetched; where it cannot be had, an older copy is asked, and
# without any that check is left out and said to be. Installs cargo-deny and cargo-machete into the cache folder if need be.
#
#   tools/deny.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
PATH="$CACHE/tools/bin:$PATH"
has cargo-deny || cargo install cargo-deny@0.20.2 --locked --root "$CACHE/tools"
has cargo-machete || cargo install cargo-machete@0.9.2 --locked --root "$CACHE/tools"
cd "$REPO"

say "licences, second versions, sources"
cargo deny --locked --log-level error check --hide-inclusion-graph licenses bans sources
say "dependencies that nothing uses"
cargo machete
say "advisories"
if timeout 120 cargo deny fetch db >/dev/null 2>&1; then
    cargo deny --locked check --hide-inclusion-graph advisories
elif compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/crates" >/dev/null; then
    say "the database cannot be fetched; an older copy is asked"
    cargo deny --locked --offline check --hide-inclusion-graph advisories
else
    say "NOT CHECKED: the database of advisories cannot be fetched from here, and there is no copy"
fi
