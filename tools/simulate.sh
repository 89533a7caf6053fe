#!/usr/bin/env bash
# People with known tastes ask a real server what to see, and click: click-through over a simulated month, through a planted
# drift, untold, told, retrained daily, and exploring, between a floor and a ceiling. The picture is simulation.svg in the
# cache folder unless --picture names another. Or load and soak: --soak SECONDS --connections N. --help tells the rest.
#
#   tools/simulate.sh [OPTIONS OF simulate]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
build_savor
say "building simulate"
cargo build --release --locked --manifest-path "$REPO/Cargo.toml" -p simulator
mkdir -p "$CACHE"
picture=(--picture "$CACHE/simulation.svg")
[[ " $* " != *" --picture"* ]] || picture=()
"$CARGO_TARGET_DIR/release/simulate" --savor "$SAVOR" "${picture[@]}" "$@"
