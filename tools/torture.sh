#!/usr/bin/env bash
# Kills a real Savor at random moments and at named fault points, and compares everything with what was acknowledged. The
# schedule is that of the seed, which is printed. --help tells the rest.
#
#   tools/torture.sh [--minutes 10] [--kills 1000] [--seed N] [--all-points] [--verbose]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
say "building torture (release) in $CARGO_TARGET_DIR"
cargo build --release --locked --manifest-path "$REPO/Cargo.toml" -p torture
"$CARGO_TARGET_DIR/release/torture" "$@"
